import time

import pytest
import torch

from darkroom.show.progress import is_bar, step_of
from stages.training import loop as training
from stages.training.loop import Progress, one_cycle


def rates(steps: int, warmup: float) -> list[float]:
    optimizer = torch.optim.SGD(torch.nn.Linear(1, 1).parameters())
    scheduler = one_cycle(optimizer, steps=steps, warmup=warmup, peaks=1.0)
    seen = []
    for _ in range(steps):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return seen


def test_rises_to_the_peak_and_falls_towards_zero() -> None:
    seen = rates(steps=99, warmup=0.2)
    assert seen[0] == pytest.approx(0.1)
    assert seen.index(max(seen)) == 19  # a fifth of the way
    assert max(seen) == pytest.approx(1.0)
    assert seen[-1] < 0.02


@pytest.mark.parametrize("steps", range(1, 7))
def test_a_handful_of_steps_is_enough(steps: int) -> None:
    seen = rates(steps, warmup=0.2)
    assert seen[:2] == pytest.approx([0.1, 1.0][:steps])
    assert seen[1:] == sorted(seen[1:], reverse=True)


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
