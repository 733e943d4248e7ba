"""How a network is optimized: optimizer, learning rates and averaged weights."""

import math
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, assert_never, cast

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR
from torch.optim.swa_utils import AveragedModel

from stages.training.averaging import averaged_model
from stages.training.params import AdamParams, OptimizerParams, ScheduleParams, SgdParams
from stages.training.state import Part

Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True, kw_only=True, slots=True)
class Learner(Generic[Network]):
    """A network with what trains it."""

    network: Network
    averaged: AveragedModel | None
    """Follows the network's weights, if they are averaged."""
    optimizer: torch.optim.Optimizer
    schedule: LRScheduler | None
    """How the learning rate goes; None: it stays what it is."""
    gradient_max: float | None
    """Gradients with a larger norm are scaled down to it; None: none are."""

    @property
    def judged(self) -> Network:
        """The network that is validated and saved: with the averaged weights, where there are any."""
        if self.averaged is None:
            return self.network
        return cast("Network", self.averaged.module)

    @property
    def learning_rate(self) -> float:
        """The learning rate of the next step."""
        return float(self.optimizer.param_groups[0]["lr"])

    def step(self, loss: Tensor) -> None:
        """One step down the gradient of `loss`."""
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        if self.gradient_max is not None:
            nn.utils.clip_grad_norm_(self.network.parameters(), self.gradient_max)
        self.optimizer.step()
        if self.schedule is not None:
            self.schedule.step()
        if self.averaged is not None:
            self.averaged.update_parameters(self.network)

    def parts(self, prefix: str = "") -> dict[str, Part]:
        """What a checkpoint keeps of it: all. `prefix` tells its parts from those of another network."""
        parts: dict[str, Part | None] = {
            "network": self.network,
            "averaged": self.averaged,
            "optimizer": self.optimizer,
            "schedule": self.schedule,
        }
        return {prefix + name: part for name, part in parts.items() if part is not None}


def build_learner(
    network: Network,
    *,
    optimizer: OptimizerParams,
    schedule: ScheduleParams | None,
    steps: int,
    average_decay: float | None = None,
    gradient_max: float | None = None,
    fused: bool = False,
) -> Learner[Network]:
    """What trains `network` for so many steps.

    `average_decay` is that of the averaged weights, if any. `fused` is PyTorch's quicker kernel of Adam, with
    other last bits.
    """
    descending = build_optimizer(network, optimizer, fused=fused)
    averaged = None if average_decay is None else averaged_model(network, average_decay)
    return Learner(
        network=network,
        averaged=averaged,
        optimizer=descending,
        schedule=None if schedule is None else build_schedule(descending, schedule, steps=steps),
        gradient_max=gradient_max,
    )


def build_optimizer(
    network: nn.Module, params: OptimizerParams, *, fused: bool = False
) -> torch.optim.Optimizer:
    """The optimizer, its learning rate at the schedule's peak."""
    groups, rate = decay_groups(network, params.weight_decay), params.learning_rate
    match params:
        case SgdParams(momentum=momentum):
            return torch.optim.SGD(groups, lr=rate, momentum=momentum, nesterov=momentum > 0)
        case AdamParams(beta1=beta1, beta2=beta2):
            return torch.optim.AdamW(groups, lr=rate, betas=(beta1, beta2), fused=fused or None)
        case _:
            assert_never(params)


def decay_groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Parameter groups: weight decay on matrices and kernels, none on biases and normalisations.

    There it would only shift the outputs.
    """
    decayed = [weight for weight in network.parameters() if weight.ndim > 1]
    free = [weight for weight in network.parameters() if weight.ndim <= 1]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": free, "weight_decay": 0.0}]


def build_schedule(optimizer: torch.optim.Optimizer, params: ScheduleParams, *, steps: int) -> LRScheduler:
    """The learning rates of so many steps, at their peak those that the optimizer was built with."""
    match params.name:
        case "one-cycle":
            return one_cycle(optimizer, steps=steps, warmup=params.warmup)
        case "cosine":
            return LambdaLR(optimizer, lambda step: cosine(step, steps=steps, warmup=params.warmup))
        case _:
            assert_never(params.name)


def one_cycle(optimizer: torch.optim.Optimizer, *, steps: int, warmup: float) -> OneCycleLR:
    """Learning rates that rise to the optimizer's over the first `warmup` of the steps, then fall to about 0.

    L. Smith and N. Topin 2018, https://arxiv.org/abs/1708.07120.
    """
    states = steps + 1  # torch counts the one before the first step
    return OneCycleLR(
        optimizer,
        max_lr=[group["lr"] for group in optimizer.param_groups],
        total_steps=states,
        pct_start=max(warmup, 2 / states),  # torch divides by zero where no step rises
        anneal_strategy="linear",
        cycle_momentum=False,
        div_factor=10,
        final_div_factor=1e3,
    )


def cosine(step: int, *, steps: int, warmup: float) -> float:
    """The learning rate of step number `step`, from 0, as a share of the peak.

    I. Loshchilov and F. Hutter 2016, without restarts, https://arxiv.org/abs/1608.03983.
    """
    rise = max(1, round(warmup * steps))
    if step < rise:
        return 0.1 + 0.9 * step / rise
    return (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise))) / 2
