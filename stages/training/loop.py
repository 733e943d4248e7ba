"""What all training stages share: batches, weight decay, one-cycle schedule, checked losses, progress."""

import math
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import OneCycleLR
from tqdm import tqdm

from stages.core.errors import TrainingError

Batch = TypeVar("Batch")

BAR_SECONDS = 10.0


def epoch_generator(seed: int, epoch: int) -> torch.Generator:
    """A generator whose numbers depend on `seed` and `epoch` alone, not on what was drawn before."""
    # The epoch in the low bits: runs whose seeds differ by one must not share epochs.
    return torch.Generator().manual_seed((seed << 16) + epoch)


def batch_count(count: int, batch_size: int) -> int:
    """How many batches `shuffled_batches` makes."""
    return max(1, count // batch_size)


def shuffled_batches(
    count: int, batch_size: int, *, seed: int, epoch: int, done: int = 0
) -> Iterator[Tensor]:
    """Indices 0..count-1, shuffled, in batches of exactly `batch_size`, or in one where there are fewer.

    The first `done` batches are left out; the others do not depend on that.

    What does not fill a batch is left to another epoch: a batch of one would upset batch normalisation.
    """
    order = torch.randperm(count, generator=epoch_generator(seed, epoch))
    for batch in range(done, batch_count(count, batch_size)):
        yield order[batch * batch_size : (batch + 1) * batch_size]


def decay_groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Parameter groups: weight decay on matrices and kernels, none on biases and normalisations.

    There it would only shift the outputs.
    """
    decayed = [weight for weight in network.parameters() if weight.ndim > 1]
    free = [weight for weight in network.parameters() if weight.ndim <= 1]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": free, "weight_decay": 0.0}]


def one_cycle(
    optimizer: torch.optim.Optimizer, *, steps: int, warmup: float, peaks: float | list[float]
) -> OneCycleLR:
    """Learning rates that rise to `peaks` over the first `warmup` of the steps, then fall to about zero.

    One peak for all parameter groups, or one each.
    L. Smith and N. Topin 2018, https://arxiv.org/abs/1708.07120.
    """
    states = steps + 1  # torch counts the one before the first step
    return OneCycleLR(
        optimizer,
        max_lr=peaks,
        total_steps=states,
        pct_start=max(warmup, 2 / states),  # torch divides by zero where no step rises
        anneal_strategy="linear",
        cycle_momentum=False,
        div_factor=10,
        final_div_factor=1e3,
    )


def finite(loss: Tensor, *, epoch: int, step: int) -> float:
    """`loss` as a number.

    Raises:
        TrainingError: it is not one.

    """
    value = loss.item()
    if not math.isfinite(value):
        raise TrainingError(
            f"epoch {epoch}, step {step}: the loss is {value}; lower the learning rate in params.yaml"
        )
    return value


class Progress:
    """Progress on stderr: a line an epoch, and a bar within an epoch that takes long.

    On a terminal the bar moves; elsewhere it is told every `BAR_SECONDS`.
    """

    def __init__(self, epochs: int, *, done: int = 0) -> None:
        """`done` epochs of `epochs` are behind us."""
        self._epochs = epochs
        self._done = done
        self._started = time.monotonic()

    def batches(self, batches: Iterable[Batch], *, total: int, epoch: int, done: int = 0) -> Iterable[Batch]:
        """The batches, counted from `done` on."""
        pace = 0.1 if sys.stderr.isatty() else BAR_SECONDS
        return tqdm(
            batches,
            f"epoch {epoch}/{self._epochs}",
            total,
            leave=False,
            initial=done,
            mininterval=pace,
            maxinterval=pace,
            delay=pace,
        )

    def epoch_done(self, epoch: int, **figures: float) -> None:
        """Say the epoch's figures and the time left, judged by the mean epoch so far."""
        left = (time.monotonic() - self._started) / (epoch - self._done) * (self._epochs - epoch)
        said = " ".join(f"{name.replace('_', ' ')} {value:.4f}" for name, value in figures.items())
        tqdm.write(f"epoch {epoch}/{self._epochs} {said} left {left:.0f} s", file=sys.stderr)


def is_stopped(history: Sequence[Mapping[str, float]], patience: int | None) -> bool:
    """Whether the last `patience` epochs' validation accuracy is no better than the best before them."""
    if patience is None or len(history) <= patience:
        return False
    accuracies = [row["val_accuracy"] for row in history]
    return max(accuracies[-patience:]) <= max(accuracies[:-patience])
