"""A learning-rate range test: the loss of a few steps at rates that rise from step to step.

L. Smith 2015, https://arxiv.org/abs/1506.01186. A good peak lies well below where the loss turns up.
"""

import copy
import math
from collections.abc import Callable, Iterable

import torch
from pydantic import Field, model_validator
from torch import Tensor

from stages.classifier.network import Classifier
from stages.core.params import StageParams

SMOOTHING = 0.9  # of the loss from step to step: single batches scatter
HOPELESS = 4  # times the least loss so far: the test ends


class RangeTestParams(StageParams):
    """Rates that are tried, each step a constant factor above the one before."""

    lowest: float = Field(gt=0, default=0.001)
    """The first learning rate."""

    highest: float = Field(gt=0, default=10.0)
    """The last learning rate."""

    steps: int = Field(ge=2, default=60)
    """Training steps, each at a higher rate."""

    @model_validator(mode="after")
    def _rises(self) -> "RangeTestParams":
        if self.highest <= self.lowest:
            raise ValueError("highest must be above lowest")
        return self

    def rates(self) -> list[float]:
        """From lowest to highest."""
        factor = (self.highest / self.lowest) ** (1 / (self.steps - 1))
        return [self.lowest * factor**step for step in range(self.steps)]


def range_test(
    network: Classifier,
    batches: Iterable[tuple[Tensor, Tensor]],
    params: RangeTestParams,
    *,
    optimizer_of: Callable[[Classifier], torch.optim.Optimizer],
    loss_of: Callable[[Classifier, Tensor, Tensor], Tensor],
) -> list[dict[str, float]]:
    """The smoothed loss at each rate; `network` and the random generators stay as they are.

    Ends early where the loss is no longer finite, or far above its least.
    """
    trained = copy.deepcopy(network).train()
    optimizer = optimizer_of(trained)
    rows: list[dict[str, float]] = []
    smoothed = 0.0
    devices = [parameter.device for parameter in trained.parameters() if parameter.is_cuda][:1]
    with torch.random.fork_rng(devices=devices):
        for step, (rate, (images, labels)) in enumerate(zip(params.rates(), batches, strict=False), start=1):
            for group in optimizer.param_groups:
                group["lr"] = rate
            loss = loss_of(trained, images, labels)
            smoothed = SMOOTHING * smoothed + (1 - SMOOTHING) * loss.item()
            unbiased = smoothed / (1 - SMOOTHING**step)  # the mean began at zero
            least = min((row["loss"] for row in rows), default=unbiased)
            if not math.isfinite(unbiased) or unbiased > HOPELESS * least:
                break
            rows.append({"log10_learning_rate": math.log10(rate), "loss": unbiased})
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    return rows
