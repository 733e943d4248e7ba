"""Halves of pictures, and the intervals that follow from what is measured on them."""

import numpy as np
import pytest
from scipy.stats import binomtest

from stages.evaluate.resampling import (
    Interval,
    deviation,
    deviation_of_distance,
    distance_interval,
    halves,
    intervals,
    mean_of,
    share_interval,
)


def test_each_half_is_always_the_same_and_has_no_picture_twice():
    drawn = np.stack(list(halves(7, 50)))
    assert drawn.shape == (50, 7)
    assert (drawn[::2].sum(axis=1) == 3).all()
    assert (drawn[::2] + drawn[1::2] == 1).all()
    assert drawn.max() == 1
    assert (drawn == np.stack(list(halves(7, 50)))).all()
    assert (np.stack(list(halves(7, 20))) == drawn[:20]).all()  # more of them change none
    assert (drawn != np.stack(list(halves(7, 50, seed=1)))).any()
    assert np.stack(list(halves(1, 2))).tolist() == [[1], [1]]


def test_each_picture_is_in_half_of_the_halves():
    assert np.stack(list(halves(10, 2000))).mean(axis=0) == pytest.approx(np.full(10, 0.5), abs=0.05)


def test_the_mean_of_a_half_by_hand():
    drawn = np.array([[1, 1, 0, 0], [0, 1, 0, 1]])
    assert mean_of([1, 2, 6, 8], drawn).tolist() == pytest.approx([1.5, 5])


def test_halves_deviate_as_means_do():
    """The standard error of the mean of 1, 2, ... 400."""
    values = np.arange(1, 401)
    drawn = mean_of(values, halves(400, 4000))
    assert deviation(drawn) == pytest.approx(values.std(ddof=1) / 20, rel=0.03)


@pytest.mark.parametrize(("right", "of"), [(90, 100), (100, 100), (0, 8), (1, 30)])
def test_of_a_plain_share_the_interval_is_wilsons(right, of):
    expected = binomtest(right, of).proportion_ci(0.95, method="wilson")
    share = right / of
    found = share_interval(share, (share * (1 - share) / of) ** 0.5, of)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-6)


def test_a_share_that_no_half_changes_is_as_sure_as_one_of_its_pictures():
    found = share_interval(0.5, 0.0, 100)
    assert (found.low, found.high) == pytest.approx((0.4038, 0.5962), abs=1e-4)


def test_a_figure_without_bounds_lies_within_two_deviations_by_hand():
    # Half the differences are 1 and 1, and the variance of the four is 3.25: the root of 2.125.
    drawn = np.array([1.0, 3.0, 6.0, 4.0, 9.0])
    found = intervals({"a": 5.0}, {"a": drawn, "calibration_error": drawn, "none": np.full(5, np.nan)}, {})
    assert list(found) == ["a"]
    assert (found["a"].low, found["a"].high) == pytest.approx((5 - 2.8571, 5 + 2.8571), abs=1e-3)


@pytest.mark.parametrize("name", ["frechet_distance", "kernel_distance"])
def test_a_squared_distance_has_the_interval_of_its_root_by_hand(name):
    # Half the differences are 1 and 1: it deviates by 1, and the root of 9 by 1 / (2 x 3).
    drawn = np.array([1.0, 3.0, 6.0, 4.0, 9.0])
    found = intervals({name: 9.0}, {name: drawn}, {})[name]
    assert (found.low, found.high) == pytest.approx((2.67334**2, 3.32666**2), abs=1e-4)


@pytest.mark.parametrize("distance", [-0.5, 0.0, 1.0, 1.9599])
def test_near_nought_the_interval_of_a_distance_is_as_wide_and_lies_higher(distance):
    found = distance_interval(distance, 1.0)
    assert found.high - found.low == pytest.approx(2 * 1.959964)
    assert found.low == pytest.approx(distance - 0.75 * 1.959964)


def test_a_distance_that_no_half_changes_is_its_own_interval():
    assert distance_interval(0.0, 0.0) == Interval(low=0.0, high=0.0)


def test_halves_that_leave_a_figure_undefined_do_not_count():
    drawn = np.array([np.nan, 1.0, 1.0, 1.0, 1.0, 1.0])
    assert intervals({"a": 1.0}, {"a": drawn}, {"a": 10})["a"].low == pytest.approx(0.7225, abs=1e-4)
    assert intervals({"b": 2.0}, {"b": drawn}, {}) == {"b": Interval(low=2.0, high=2.0)}
    assert intervals({"a": 1.0}, {"a": np.array([np.nan, 1.0, 2.0, 1.0])}, {"a": 10}) == {}


def test_halves_are_counts_and_of_two_pictures_each_has_one():
    drawn = np.stack(list(halves(2, 4)))
    assert drawn.dtype == np.int64
    assert drawn.sum(axis=1).tolist() == [1, 1, 1, 1]
    assert drawn.sum(axis=0).tolist() == [2, 2]
    assert list(halves(5, 0)) == []


def test_a_distance_deviates_by_the_differences_of_halves_alone():
    assert deviation_of_distance(np.array([1.0, 3.0, 6.0, 2.0])) == pytest.approx(np.sqrt((1 + 4) / 2))
    assert np.isnan(deviation_of_distance(np.array([np.nan, 1.0])))
    assert np.isnan(deviation(np.array([np.nan, 1.0])))
    assert np.isnan(deviation(np.array([1.0])))  # no pair


def test_the_interval_of_a_share_at_a_bound_is_that_of_its_number():
    for share in (0.0, 1.0):
        expected = binomtest(round(100 * share), 100).proportion_ci(0.95, method="wilson")
        found = share_interval(share, 0.1, 100)
        assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-6)
        assert 0 <= found.low <= found.high <= 1


def test_figures_without_an_interval_stop_no_other():
    drawn = np.array([0.5, 0.7, 0.6, 0.4])
    resampled = {"calibration_error": drawn, "none": np.full(4, np.nan), "share": drawn, "free": drawn}
    found = intervals(dict.fromkeys(resampled, 0.5), resampled, {"share": 50, "none": 50})
    assert list(found) == ["share", "free"]
    assert found["share"] == share_interval(0.5, deviation(drawn), 50)
