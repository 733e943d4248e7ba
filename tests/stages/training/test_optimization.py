"""What trains a classifier, held against values worked out by hand and against scikit-learn."""

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight

from stages.classifier.loss import class_weights
from stages.training.loop import is_stopped
from stages.training.optimization import ScheduleParams, build_schedule, cosine


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
    schedule = build_schedule(optimizer, params, steps=steps, peak=0.2)
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
    assert is_stopped([{"val_accuracy": accuracy} for accuracy in accuracies], patience) == stopped
