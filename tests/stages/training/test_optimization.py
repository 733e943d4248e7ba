"""What trains a classifier, held against values worked out by hand and against scikit-learn."""

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight

from stages.classifier.loss import class_weights
from stages.training.optimization import build_schedule, cosine, one_cycle
from stages.training.params import ScheduleParams


def test_class_weights_are_scikit_learn_s() -> None:
    labels = np.repeat([0, 1, 3], [6, 3, 1])
    weights = class_weights(labels, 4)
    wanted = compute_class_weight("balanced", classes=np.array([0, 1, 3]), y=labels)
    assert weights[[0, 1, 3]].tolist() == pytest.approx(wanted.tolist(), abs=1e-6)
    assert weights[2] == 0  # no picture of it
    assert weights[labels].mean() == pytest.approx(1)


def test_cosine_by_hand() -> None:
    rates = [cosine(step, steps=12, warmup=0.33) for step in range(13)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[2] == pytest.approx(0.55)
    assert rates[4] == 1  # a third of the way
    assert rates[8] == pytest.approx(0.5)
    assert rates[12] == pytest.approx(0)


@pytest.mark.parametrize("name", ["one-cycle", "cosine"])
@pytest.mark.parametrize("steps", [1, 2, 50])
def test_schedules_rise_to_the_peak_and_fall(name: str, steps: int) -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.2)
    params = ScheduleParams(name=name, warmup=0.2)  # type: ignore[arg-type]
    schedule = build_schedule(optimizer, params, steps=steps)
    rates = []
    for _ in range(steps):
        rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    assert max(rates) <= 0.2 + 1e-9
    if steps == 50:
        assert rates[0] == pytest.approx(0.02)
        assert max(rates) == pytest.approx(0.2, rel=0.03)
        assert schedule.get_last_lr()[0] == pytest.approx(0, abs=1e-3)


def rates(steps: int, warmup: float) -> list[float]:
    optimizer = torch.optim.SGD(torch.nn.Linear(1, 1).parameters(), lr=1.0)
    scheduler = one_cycle(optimizer, steps=steps, warmup=warmup)
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
