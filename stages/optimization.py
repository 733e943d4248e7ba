"""How a classifier is trained: loss, optimizer, learning rates, averaged weights, early stop."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, cast

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR, LRScheduler
from torch.optim.swa_utils import AveragedModel

from stages.averaging import averaged_model
from stages.compute import Compute
from stages.models.classifier import Classifier
from stages.params import StageParams
from stages.resume import Part
from stages.training import decay_groups, one_cycle


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
class Loss:
    """Cross-entropy."""

    compute: Compute
    smoothing: float
    """Share of the target that is spread over all classes."""
    weights: Tensor | None
    """Of the classes [K]; None: all alike."""

    def __call__(self, network: Classifier, images: Tensor, labels: Tensor) -> Tensor:
        """Of the network on images [B, C, H, W] in 0..1 with labels [B]."""
        with self.compute.autocast():
            logits = network(self.compute.images(images))
        device = self.compute.device
        weights = None if self.weights is None else self.weights.to(device)
        target = labels.to(device)
        return F.cross_entropy(logits.float(), target, weights, label_smoothing=self.smoothing)


@dataclass(frozen=True, kw_only=True, slots=True)
class Learner:
    """The network with what trains it."""

    network: Classifier
    averaged: AveragedModel | None
    optimizer: torch.optim.Optimizer
    schedule: LRScheduler

    @property
    def judged(self) -> Classifier:
        """The network that is validated and saved: with the averaged weights, where there are any."""
        if self.averaged is None:
            return self.network
        return cast("Classifier", self.averaged.module)

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
    network: Classifier,
    *,
    optimizer: SgdParams | AdamParams,
    schedule: ScheduleParams,
    steps: int,
    average_decay: float | None,
) -> Learner:
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


def class_weights(labels: npt.NDArray[np.int64], classes: int) -> Tensor:
    """Weights [classes] in the loss that let every class count alike: the mean over all `labels` is 1.

    A class without a picture weighs nothing.
    """
    counts = torch.bincount(torch.from_numpy(labels), minlength=classes).double()
    present = int((counts > 0).sum())
    return torch.where(counts > 0, counts.sum() / (present * counts.clamp_min(1)), 0.0).float()


def is_stopped(history: Sequence[Mapping[str, float]], patience: int | None) -> bool:
    """Whether the last `patience` epochs' validation accuracy is no better than the best before them."""
    if patience is None or len(history) <= patience:
        return False
    accuracies = [row["val_accuracy"] for row in history]
    return max(accuracies[-patience:]) <= max(accuracies[:-patience])
