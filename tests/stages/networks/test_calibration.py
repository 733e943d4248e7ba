import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stages.networks.calibration import (
    LogisticCalibration,
    fitted_binary_temperature,
    fitted_logistic,
    fitted_temperature,
)


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
def test_the_temperature_that_made_logits_too_sure_or_unsure_is_found(temperature):
    draw = np.random.default_rng(1)
    honest = torch.from_numpy(draw.normal(0, 2, (20000, 5)))
    labels = torch.multinomial(honest.softmax(dim=1), 1, generator=torch.Generator().manual_seed(1))[:, 0]
    assert fitted_temperature(honest * temperature, labels.numpy()) == pytest.approx(temperature, rel=0.03)


def test_no_temperature_is_out_of_all_bounds():
    always_right = torch.eye(3).repeat(5, 1)
    labels = np.tile(np.arange(3), 5)
    assert fitted_temperature(always_right, labels) == pytest.approx(0.05, rel=0.01)
    assert fitted_temperature(-always_right, labels) == pytest.approx(20, rel=0.01)


def test_scores_become_how_often_they_are_right():
    draw = np.random.default_rng(1)
    scores = draw.uniform(0.02, 1, 40000)
    odds = (scores / (1 - scores)) ** 0.5 * np.exp(-1)
    right = draw.random(40000) < odds / (1 + odds)
    fitted = fitted_logistic(scores, right)
    assert fitted.slope == pytest.approx(0.5, abs=0.03)
    assert fitted.offset == pytest.approx(-1, abs=0.05)
    told = fitted(scores)
    for low in np.arange(0.05, 0.75, 0.1):
        within = (told >= low) & (told < low + 0.1)
        assert right[within].mean() == pytest.approx(told[within].mean(), abs=0.03)


def test_scores_stay_what_they_are_where_nothing_can_be_learnt():
    scores = np.array([0.1, 0.4, 0.9, 1.0], dtype=np.float32)
    for right in ([True] * 4, [False] * 4, [True, True, False, False], []):
        fitted = fitted_logistic(scores[: len(right)], np.array(right, dtype=bool))
        assert fitted == LogisticCalibration()
        assert np.array_equal(fitted(scores), scores)


@given(st.floats(0.1, 3), st.floats(-3, 3), st.lists(st.floats(0, 1, width=32), min_size=2, max_size=20))
def test_the_order_of_scores_stays(slope, offset, scores):
    told = LogisticCalibration(slope=slope, offset=offset)(np.sort(np.array(scores, dtype=np.float32)))
    assert np.all(np.diff(told) >= 0)
    assert np.all((told >= 0) & (told <= 1))


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_the_temperature_of_yes_and_no_is_found_over_what_is_known(temperature):
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (20_000, 2))
    truth = (rng.random(logits.shape) < 1 / (1 + np.exp(-logits))).astype(np.float32)
    truth[rng.random(logits.shape) < 0.2] = np.nan
    found = fitted_binary_temperature(torch.from_numpy(logits * temperature), truth)
    assert found == pytest.approx(temperature, rel=0.05)
    assert fitted_binary_temperature(torch.ones(2, 1), np.full((2, 1), np.nan, np.float32)) == 1
