import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch

from darkroom.show.progress import is_bar, step_of
from stages.training import loop as training
from stages.training.checkpoint import Checkpoint
from stages.training.loop import Judgement, Progress, Trainer, Training, is_stopped
from stages.training.state import Part, TrainingState


def test_the_line_of_an_epoch_is_one_that_runs_show_as_progress(capsys: pytest.CaptureFixture[str]) -> None:
    Progress(10, done=2).epoch_done(3, train_loss=0.5, accuracy=0.925)
    step = step_of(capsys.readouterr().err.strip())
    assert step is not None
    assert (step.unit, step.number, step.total, step.done) == ("epoch", 3, 10, 3)
    assert step.figures == (("train loss", "0.5000"), ("accuracy", "0.9250"))
    assert step.left is not None


def test_within_a_long_epoch_a_bar_is_told_that_runs_show_as_progress(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "BAR_SECONDS", 0.05)
    for _ in Progress(4).batches(range(10), total=20, epoch=2, done=10):
        time.sleep(0.02)
    told = [line for line in capsys.readouterr().err.split("\r") if is_bar(line)]
    step = step_of(told[-1])
    assert step is not None
    assert (step.unit, step.number, step.total) == ("epoch", 2, 4)
    assert 1.5 < step.done <= 2


def test_a_short_epoch_tells_no_bar(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(Progress(4).batches(range(10), total=10, epoch=1)) == list(range(10))
    assert "%" not in capsys.readouterr().err


class Counting(Trainer[int]):
    """A network of one weight, to which each step adds its batch; scores are given beforehand."""

    def __init__(self, scores: list[float | None]) -> None:
        self.network = torch.nn.Linear(1, 1, bias=False)
        self.network.weight.data.zero_()
        self.scores = scores
        self.seen: list[tuple[int, int]] = []
        self.ended: list[int] = []

    @property
    def judged(self) -> torch.nn.Module:
        return self.network

    @property
    def weight(self) -> float:
        return self.network.weight.item()

    def parts(self) -> dict[str, Part]:
        return {"network": self.network}

    def batches(self, epoch: int, *, done: int) -> Iterable[int]:  # noqa: ARG002 - all epochs alike
        return [1, 10][done:]

    def step(self, batch: int, state: TrainingState) -> dict[str, float]:
        self.seen.append((state.epoch, state.step))
        self.network.weight.data += batch
        return {"batch": batch}

    def judge(self, state: TrainingState) -> Judgement:
        assert [step["batch"] for step in state.figures] == [1, 10]
        score = self.scores[state.epoch - 1]
        row = {"weight": self.weight} | ({} if score is None else {"score": score})
        return Judgement(row=row, shown=row, warnings=["take care"], details=f"after {state.epoch}")

    def after_epoch(self, judgement: Judgement, state: TrainingState) -> None:
        assert judgement.details == f"after {len(state.history)}"
        self.ended.append(len(state.history))


def checkpoint_in(folder: Path, *, seconds: float = 3600) -> Checkpoint:
    return Checkpoint(folder / "checkpoint", key={}, seconds=seconds)


def test_every_step_of_every_epoch_and_a_row_each(tmp_path: Path, capsys: Any) -> None:
    trainer = Counting([None, None])
    state = Training(epochs=2, steps=2).run(trainer, checkpoint_in(tmp_path))
    assert trainer.seen == [(1, 0), (1, 1), (2, 0), (2, 1)]
    assert state.history == [{"epoch": 1, "weight": 11}, {"epoch": 2, "weight": 22}]
    assert trainer.ended == [1, 2]
    assert state.best == {}
    first, warned = capsys.readouterr().err.splitlines()[:2]
    assert first.startswith("epoch 1/2 weight 11.0000 left ")
    assert warned == "epoch 1, take care"


@pytest.mark.parametrize("scores", [[0.1, 0.4, 0.3, 0.4, 0.9], [0.1, 0.4, None, 0.3, 0.4, 0.9]])
def test_it_ends_where_nothing_gets_better_with_the_best_epoch_s_weights(
    tmp_path: Path, scores: list[float | None]
) -> None:
    trainer = Counting(scores)
    training = Training(epochs=len(scores), steps=2, judged_by="score", keeps_best=True, patience=2)
    state = training.run(trainer, checkpoint_in(tmp_path))
    assert len(state.history) == len(scores) - 1  # the last one is not reached
    assert trainer.weight == 22
    assert state.best["score"] == 0.4
    assert state.best["details"] == "after 2"


def test_without_patience_it_goes_on_and_the_last_weights_may_count(tmp_path: Path) -> None:
    trainer = Counting([0.4, 0.3, 0.2, 0.1])
    Training(epochs=4, steps=2, judged_by="score").run(trainer, checkpoint_in(tmp_path))
    assert trainer.weight == 44


@pytest.mark.parametrize("steps", range(1, 8))
def test_left_anywhere_it_goes_on_there(tmp_path: Path, monkeypatch: Any, steps: int) -> None:
    training = Training(epochs=4, steps=2, judged_by="score", keeps_best=True, patience=3)
    scores: list[float | None] = [0.5, 0.4, 0.6, 0.1]
    whole = training.run(Counting(scores), checkpoint_in(tmp_path / "whole"))
    left = Counting(scores)

    def step(batch: int, state: TrainingState) -> dict[str, float]:
        if len(left.seen) == steps:
            raise KeyboardInterrupt
        return Counting.step(left, batch, state)

    monkeypatch.setattr(left, "step", step)
    with pytest.raises(KeyboardInterrupt):
        training.run(left, checkpoint_in(tmp_path / "left", seconds=0))
    taken_up = Counting(scores)
    state = training.run(taken_up, checkpoint_in(tmp_path / "left"))
    assert left.seen + taken_up.seen == [(epoch, step) for epoch in range(1, 5) for step in range(2)]
    assert (state.history, taken_up.weight) == (whole.history, 33)


@pytest.mark.parametrize(
    ("accuracies", "patience", "stopped"),
    [
        ([0.5, 0.6, 0.6, 0.6], 2, True),
        ([0.5, 0.6, 0.6, 0.7], 2, False),
        ([0.5, 0.4], 2, False),
        ([0.9, 0.1, 0.1, 0.1], None, False),
        ([], 1, False),
    ],
)
def test_stopped_after_so_many_epochs_without_a_better_one(
    accuracies: list[float], patience: int | None, stopped: bool
) -> None:
    history = [{"val_accuracy": accuracy} for accuracy in accuracies]
    assert is_stopped(history, patience, by="val_accuracy") == stopped
    seldom = [row for judged in history for row in ({"epoch": 1.0}, judged)]
    assert is_stopped(seldom, patience, by="val_accuracy") == stopped  # rows without one do not count
