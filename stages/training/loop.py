"""The loop of every training: epochs of steps, validation, early stopping, the best weights, checkpoints.

`Training` has what all trainings share, and a `Trainer` what one network adds.
"""

import math
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from torch import Tensor, nn
from tqdm import tqdm

from stages.core.errors import TrainingError
from stages.training.checkpoint import Checkpoint
from stages.training.state import Part, TrainingState

Batch = TypeVar("Batch")

BAR_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Judgement:
    """What is found of a network after an epoch."""

    row: Mapping[str, float]
    """The epoch's columns of the history, beside its number."""
    shown: Mapping[str, float]
    """The figures that the line of progress has."""
    warnings: Sequence[str] = ()
    """Lines for whoever watches."""
    details: Any = None
    """What else the trainer wants to know of it; kept with the weights where they are the best."""


class Trainer(ABC, Generic[Batch]):
    """What one network adds to the loop: its batches, a step, how it is judged."""

    @property
    @abstractmethod
    def judged(self) -> nn.Module:
        """The network that is validated and saved."""

    @abstractmethod
    def parts(self) -> dict[str, Part]:
        """All that steps change, beside the `TrainingState` and the global random generators."""

    @abstractmethod
    def batches(self, epoch: int, *, done: int) -> Iterable[Batch]:
        """The batches of epoch `epoch`, from 1, but the first `done`."""

    def begin_epoch(self) -> None:
        """Put the networks into the mode that steps want."""

    @abstractmethod
    def step(self, batch: Batch, state: TrainingState) -> dict[str, float]:
        """Train on a batch; the figures of the step, which is number `state.step` + 1 of its epoch.

        Raises:
            TrainingError: A loss is not finite.

        """

    @abstractmethod
    def judge(self, state: TrainingState) -> Judgement:
        """Judge the epoch whose last step is done; a signal may end this at once, so it changes nothing."""

    def after_epoch(self, judgement: Judgement, state: TrainingState) -> None:
        """Keep what is wanted of the epoch, which is the last row of `state.history`.

        Raises:
            TrainingError: Training has failed.

        """


@dataclass(frozen=True, kw_only=True, slots=True)
class Training:
    """How long a training goes on, and which of its epochs counts."""

    epochs: int
    """Epochs at most."""
    steps: int
    """Steps of an epoch."""
    judged_by: str | None = None
    """The column of the history that epochs are compared by, the greater the better; rows may lack it."""
    keeps_best: bool = False
    """Whether the best epoch's weights are those that training ends with, or the last one's."""
    patience: int | None = None
    """Training ends when so many judgements were no better than the best before them; None: never."""

    def run(self, trainer: Trainer[Batch], checkpoint: Checkpoint) -> TrainingState:
        """Train, from a checkpoint on if there is one; `trainer.judged` ends with the weights that count.

        Raises:
            TrainingError: A loss is not finite, or the trainer finds that training has failed.

        """
        state = TrainingState()
        with checkpoint.keeping(state, **trainer.parts()):
            progress = Progress(self.epochs, done=state.epoch - 1)
            while state.epoch <= self.epochs and not self._is_over(state.history):
                self._train_one_epoch(trainer, state, checkpoint, progress)
        if state.best:
            trainer.judged.load_state_dict(state.best["weights"])
        return state

    def _is_over(self, history: Sequence[Mapping[str, float]]) -> bool:
        return self.judged_by is not None and is_stopped(history, self.patience, by=self.judged_by)

    def _train_one_epoch(
        self, trainer: Trainer[Batch], state: TrainingState, checkpoint: Checkpoint, progress: "Progress"
    ) -> None:
        epoch = state.epoch
        trainer.begin_epoch()
        batches = trainer.batches(epoch, done=state.step)
        shown = progress.batches(batches, total=self.steps, epoch=epoch, done=state.step)
        for batch in checkpoint.steps(shown):
            state.figures.append(trainer.step(batch, state))
        with checkpoint.interruptible():
            judgement = trainer.judge(state)
        self._keep_best(trainer, judgement, state)
        state.end_epoch({"epoch": epoch, **judgement.row})
        progress.epoch_done(epoch, **judgement.shown)
        for warning in judgement.warnings:
            tqdm.write(f"epoch {epoch}, {warning}", file=sys.stderr)
        trainer.after_epoch(judgement, state)

    def _keep_best(self, trainer: Trainer[Batch], judgement: Judgement, state: TrainingState) -> None:
        """Keep weights and details in `state` if they are the best so far."""
        if not self.keeps_best or self.judged_by is None or self.judged_by not in judgement.row:
            return
        score = judgement.row[self.judged_by]
        if not state.best or score > state.best["score"]:
            weights = {name: weight.clone() for name, weight in trainer.judged.state_dict().items()}
            state.best = {"score": score, "weights": weights, "details": judgement.details}


def is_stopped(history: Sequence[Mapping[str, float]], patience: int | None, *, by: str) -> bool:
    """Whether the last `patience` rows that have column `by` are no better in it than the best before."""
    judged = [row[by] for row in history if by in row]
    if patience is None or len(judged) <= patience:
        return False
    return max(judged[-patience:]) <= max(judged[:-patience])


def finite(loss: Tensor, state: TrainingState) -> float:
    """`loss` as a number.

    Raises:
        TrainingError: It is not one; the message names the epoch and the step under way.

    """
    value = loss.item()
    if not math.isfinite(value):
        raise TrainingError(
            f"epoch {state.epoch}, step {state.step + 1}: the loss is {value};"
            " lower the learning rate in params.yaml"
        )
    return value


class Progress:
    """Progress on stderr: a line an epoch, and a bar within an epoch that takes long.

    On a terminal the bar moves; elsewhere it is written every `BAR_SECONDS`.
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
        shown = " ".join(f"{name.replace('_', ' ')} {value:.4f}" for name, value in figures.items())
        tqdm.write(f"epoch {epoch}/{self._epochs} {shown} left {left:.0f} s", file=sys.stderr)
