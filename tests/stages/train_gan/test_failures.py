"""When training counts as failed."""

from typing import Any

import numpy as np
import pytest

from stages.core.errors import TrainingError
from stages.train_gan.failures import fail, recall, troubles, won_since
from stages.train_gan.params import FailureParams


def params(**changes: Any) -> FailureParams:
    own = {"discriminator_accuracy_max": 0.99, "window": 3, "recall_min": 0.02, "grace": 1, "patience": 2}
    return FailureParams(**(own | changes))


def steps(*accuracies: float) -> list[dict[str, float]]:
    return [{"d_accuracy_real": 1.0, "d_accuracy_fake": accuracy} for accuracy in accuracies]


@pytest.mark.parametrize(
    ("accuracies", "since"),
    [
        ((1.0, 1.0, 1.0, 1.0), 1),
        ((0.5, 0.5, 1.0, 1.0, 1.0, 1.0), 3),
        ((1.0, 1.0, 1.0, 0.5), None),
        ((0.5, 1.0, 1.0), None),
        ((1.0, 1.0), 1),  # fewer than the window
    ],
)
def test_who_wins_outright_and_since_when(accuracies: tuple[float, ...], since: int | None) -> None:
    assert won_since(steps(*accuracies), params()) == since


def test_a_healthy_epoch_has_no_troubles() -> None:
    assert list(troubles(steps(0.6, 0.7), 0.5, params(), wins=True, young=False)) == []


def test_troubles_say_the_step() -> None:
    said = list(troubles(steps(0.5, 1.0, 1.0, 1.0), 0.001, params(), wins=True, young=False))
    assert said[0].startswith("step 2: the discriminator wins outright")
    assert said[1].startswith("step 4: collapse, only 0.0010 of the real pictures")
    assert list(troubles(steps(1.0, 1.0, 1.0), 0.001, params(), wins=False, young=True)) == []


def test_training_fails_when_it_lasts_or_is_over() -> None:
    one, two = [{"troubles": 1.0}], [{"troubles": 1.0}, {"troubles": 1.0}]
    fail(one, ["step 4: collapse"], params(), epochs=9)
    fail(two, [], params(), epochs=2)  # mended in the last
    with pytest.raises(
        TrainingError,
        match=r"^epoch 1, step 4: collapse; no generator is written; if none is wanted: train-gan: null$",
    ):
        fail(one, ["step 4: collapse"], params(), epochs=1)
    all_met = "epoch 3, step 2: wins; epoch 3, step 4: collapse; in trouble since epoch 2; no generator is"
    with pytest.raises(TrainingError, match=all_met):
        fail([{"troubles": 0.0}, *two], ["step 2: wins", "step 4: collapse"], params(), epochs=9)


def test_recall_of_the_same_of_copies_and_of_others() -> None:
    draw = np.random.default_rng(0)
    real, others = draw.integers(0, 256, (2, 60, 8, 8, 1), dtype=np.uint8)
    assert recall(real, real) == 1
    assert recall(real, others) > 0.8
    assert recall(real, np.repeat(others[:1], 60, axis=0)) == 0
    assert recall(real[:1], real[:1]) == 1  # of a single picture there is nothing to tell
