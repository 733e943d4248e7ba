import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stages.networks.calibration import (
    LogisticCalibration,
    average_precisions,
    best_thresholds,
    counts_at,
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


def test_a_calibrated_score_by_hand():
    """The logit of .8 is log 4: with slope 2 and offset log 2 the odds are 4 ** 2 times 2."""
    calibration = LogisticCalibration(slope=2.0, offset=float(np.log(2)))
    told = calibration(np.array([0.8, 0.5], dtype=np.float32))
    assert told.dtype == np.float32
    assert told.tolist() == pytest.approx([32 / 33, 2 / 3], rel=1e-6)
    assert LogisticCalibration(offset=float(np.log(3)))(np.array([0.5])).tolist() == pytest.approx([0.75])
    assert LogisticCalibration(slope=3.0)(np.array([0.5, 0.8])).tolist() == pytest.approx([0.5, 64 / 65])


def test_scores_of_nought_and_one_count_as_a_millionth_from_there():
    told = LogisticCalibration(slope=0.5)(np.array([0.0, 1.0]))
    assert told.tolist() == pytest.approx([1 / 1001, 1000 / 1001], rel=1e-4)


def test_the_likeliest_line_by_hand():
    """Of scores of .2 a half is right, of those of .8 nine in ten: odds of 1 and 9 at 1/4 and 4."""
    scores = np.repeat([0.2, 0.8], [20, 20])
    right = np.array([True] * 10 + [False] * 10 + [True] * 18 + [False] * 2)
    fitted = fitted_logistic(scores, right)
    assert fitted.slope == pytest.approx(np.log(9) / np.log(16), abs=1e-4)
    assert fitted.offset == pytest.approx(np.log(3), abs=1e-4)
    assert (fitted.slope, fitted.offset) == (round(fitted.slope, 6), round(fitted.offset, 6))
    assert np.allclose(fitted(np.array([0.2, 0.8])), [0.5, 0.9], atol=1e-4)


def test_temperatures_by_hand_are_told_to_six_digits():
    """Right in nine of ten at a difference of 3: the temperature makes log 9 of it."""
    logits, labels = torch.tensor([[3.0, 0.0]] * 10), np.array([0] * 9 + [1])
    expected = 3 / np.log(9)
    assert fitted_temperature(logits, labels) == pytest.approx(expected, abs=6e-7)
    assert fitted_temperature(logits, labels) == round(fitted_temperature(logits, labels), 6)
    yes = torch.full((10, 1), 3.0)
    targets = np.array([[1]] * 9 + [[0]], dtype=np.float32)
    assert fitted_binary_temperature(yes, targets) == pytest.approx(expected, abs=6e-7)


NAN = np.nan
SCORES = np.array([[0.9, 0.2, 0.4], [0.7, 0.6, 0.3], [0.5, 0.4, 0.2], [0.1, 0.8, 0.1]])
TARGETS = np.array([[1, 0, 0], [0, 1, NAN], [1, NAN, 0], [0, 0, 0]], dtype=np.float32)


def test_average_precision_of_attributes_by_hand():
    found = average_precisions(SCORES, TARGETS)
    assert found == pytest.approx([0.5 * 1 + 0.5 * 2 / 3, 0.5, NAN], nan_ok=True)


def test_counts_at_thresholds_by_hand():
    """A score that is the threshold is above it; what is unknown counts for nothing."""
    counts = counts_at(SCORES, TARGETS, np.array([0.7, 0.3, 0.3]))
    assert [of.tolist() for of in counts] == [[1, 1, 0], [2, 2, 1], [2, 1, 0]]


def test_thresholds_lie_half_way_to_the_next_score_below_that_would_be_wrong():
    # F1 of the first is .67 from .9 on, .5 from .7, .8 from .5; of the second 1 / 1.5 from .6 on
    assert best_thresholds(SCORES, TARGETS) == [0.3, 0.4, 0.5]
    assert best_thresholds(SCORES[:, ::-1], TARGETS[:, ::-1]) == [0.5, 0.4, 0.3]
    everything = np.array([[1.0], [1.0]], dtype=np.float32)
    assert best_thresholds(SCORES[:2, :1], everything) == [0.5]


def test_of_equal_f1_the_highest_threshold_counts_and_nothing_lies_below_the_least():
    # .9 alone: P 1, R 1/2; down to .6: P 2/4, R 1: both have an F1 of 2/3
    scores = np.array([[0.9], [0.8], [0.7], [0.6]])
    assert best_thresholds(scores, np.array([[1], [0], [0], [1]], np.float32)) == [0.85]
    assert best_thresholds(scores, np.array([[1], [1], [0], [1]], np.float32)) == [0.3]
    assert best_thresholds(scores / 3, np.array([[1], [0], [0], [0]], np.float32)) == [round(1.7 / 6, 6)]
