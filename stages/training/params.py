"""The parameters of all trainings: optimizer, learning rates, and how often checkpoints are written."""

from typing import Annotated, Literal

from pydantic import Field

from stages.core.params import StageParams


class CheckpointParams(StageParams):
    """Section `checkpoints`: no result depends on it, so that no stage does."""

    MAY_BE_LEFT_OUT = True

    seconds: float = Field(ge=0, default=30.0)
    """Seconds between two checkpoints; 0 is one a step."""


class SgdParams(StageParams):
    """`name: sgd`, with Nesterov's momentum."""

    name: Literal["sgd"]

    learning_rate: float = Field(gt=0, default=0.15)
    """The schedule's peak."""

    momentum: float = Field(ge=0, lt=1, default=0.9)
    """Share of the last step that goes into the next one."""

    weight_decay: float = Field(ge=0, default=0.0005)
    """Weight decay of matrices and kernels; normalisations and biases are left free."""


class AdamParams(StageParams):
    """`name: adam`, its weight decay decoupled (Loshchilov and Hutter 2017, https://arxiv.org/abs/1711.05101)."""

    name: Literal["adam"]

    learning_rate: float = Field(gt=0, default=0.001)
    """The schedule's peak."""

    beta1: float = Field(ge=0, lt=1, default=0.9)
    """Share of the old mean of gradients that each step keeps."""

    beta2: float = Field(ge=0, lt=1, default=0.999)
    """Share of the old mean of squared gradients that each step keeps."""

    weight_decay: float = Field(ge=0, default=0.0)
    """Weight decay of matrices and kernels; normalisations and biases are left free."""


OptimizerParams = Annotated[SgdParams | AdamParams, Field(discriminator="name")]


class ScheduleParams(StageParams):
    """How the learning rate goes over all steps."""

    name: Literal["one-cycle", "cosine"]
    """How the rate falls after its rise: to about zero in a straight line, or as a cosine does."""

    warmup: float = Field(gt=0, lt=1, default=0.2)
    """Share of the steps in which the rate rises from a tenth of its peak."""


def check_either(name: str, value: object, **short: float | None) -> None:
    """Refuse a section that names both `name` and the keys that stand for it in short, or not all of either.

    Raises:
        ValueError: Says which keys are wanted.

    """
    given = [key for key, number in short.items() if number is not None]
    if (value is None and len(given) < len(short)) or (value is not None and given):
        raise ValueError(f"{name} is wanted, or {' and '.join(short)} in its place, not both")
