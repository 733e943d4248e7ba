"""How a network goes down its loss: optimizer, learning rates, averaged weights."""

import math
from dataclasses import dataclass
from typing import Annotated, Generic, Literal, TypeVar, cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR, LRScheduler
from torch.optim.swa_utils import AveragedModel

from stages.core.params import StageParams
from stages.training.averaging import averaged_model
from stages.training.checkpoint import Part
from stages.training.loop import decay_groups, one_cycle

Network = TypeVar("Network", bound=nn.Module)


class SgdParams(StageParams):
    """`name: sgd`, with Nesterov's momentum."""

    name: Literal["sgd"]

    learning_rate: float = Field(gt=0)
    """The schedule's peak."""

    momentum: float = Field(ge=0, lt=1)

    weight_decay: float = Field(ge=0)
    """Of matrices and kernels; normalisations and biases are left free."""


class AdamParams(StageParams):
    """`name: adam`, its weight decay decoupled (Loshchilov and Hutter 2017, https://arxiv.org/abs/1711.05101)."""

    name: Literal["adam"]

    learning_rate: float = Field(gt=0)
    """The schedule's peak."""

    beta1: float = Field(ge=0, lt=1)

    beta2: float = Field(ge=0, lt=1)

    weight_decay: float = Field(ge=0)
    """Of matrices and kernels; normalisations and biases are left free."""


OptimizerParams = Annotated[SgdParams | AdamParams, Field(discriminator="name")]


class ScheduleParams(StageParams):
    """How the learning rate goes over all steps."""

    name: Literal["one-cycle", "cosine"]
    """After its rise it falls to about zero in a straight line, or as a cosine does."""

    warmup: float = Field(gt=0, lt=1)
    """Share of the steps in which it rises from a tenth."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Learner(Generic[Network]):
    """The network with what trains it."""

    network: Network
    averaged: AveragedModel | None
    optimizer: torch.optim.Optimizer
    schedule: LRScheduler

    @property
    def judged(self) -> Network:
        """The network that is validated and saved: with the averaged weights, where there are any."""
        if self.averaged is None:
            return self.network
        return cast("Network", self.averaged.module)

    def step(self, loss: Tensor) -> None:
        """One step down the gradient of `loss`."""
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.schedule.step()
        if self.averaged is not None:
            self.averaged.update_parameters(self.network)

    def parts(self) -> dict[str, Part]:
        """What a checkpoint keeps of it: all."""
        parts: dict[str, Part] = {
            "network": self.network,
            "optimizer": self.optimizer,
            "scheduler": self.schedule,
        }
        return parts if self.averaged is None else {**parts, "averaged": self.averaged}


def build_learner(
    network: Network,
    *,
    optimizer: SgdParams | AdamParams,
    schedule: ScheduleParams,
    steps: int,
    average_decay: float | None,
) -> Learner[Network]:
    """What trains `network` for so many steps; `average_decay` is that of the averaged weights, if any."""
    descending = build_optimizer(network, optimizer)
    averaged = None if average_decay is None else averaged_model(network, average_decay)
    return Learner(
        network=network,
        averaged=averaged,
        optimizer=descending,
        schedule=build_schedule(descending, schedule, steps=steps, peak=optimizer.learning_rate),
    )


def build_optimizer(network: nn.Module, params: SgdParams | AdamParams) -> torch.optim.Optimizer:
    """The optimizer, its learning rate at the peak."""
    groups, rate = decay_groups(network, params.weight_decay), params.learning_rate
    if isinstance(params, SgdParams):
        return torch.optim.SGD(groups, lr=rate, momentum=params.momentum, nesterov=params.momentum > 0)
    return torch.optim.AdamW(groups, lr=rate, betas=(params.beta1, params.beta2))


def build_schedule(
    optimizer: torch.optim.Optimizer, params: ScheduleParams, *, steps: int, peak: float
) -> LRScheduler:
    """The learning rates of so many steps."""
    if params.name == "one-cycle":
        return one_cycle(optimizer, steps=steps, warmup=params.warmup, peaks=peak)
    return LambdaLR(optimizer, lambda step: cosine(step, steps=steps, warmup=params.warmup))


def cosine(step: int, *, steps: int, warmup: float) -> float:
    """The learning rate of step number `step`, from 0, as a share of the peak.

    I. Loshchilov and F. Hutter 2016, without restarts, https://arxiv.org/abs/1608.03983.
    """
    rise = max(1, round(warmup * steps))
    if step < rise:
        return 0.1 + 0.9 * step / rise
    return (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise))) / 2
