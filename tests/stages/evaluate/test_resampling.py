"""Draws of pictures with replacement, and what lies between."""

import numpy as np
import pytest

from stages.evaluate.resampling import Interval, draws, intervals, mean_of


def test_each_draw_is_of_as_many_pictures_and_always_the_same():
    drawn = np.stack(list(draws(7, 50)))
    assert drawn.shape == (50, 7)
    assert (drawn.sum(axis=1) == 7).all()
    assert (drawn == np.stack(list(draws(7, 50)))).all()
    assert (np.stack(list(draws(7, 20))) == drawn[:20]).all()  # more of them change none


def test_a_picture_is_left_out_of_a_third_of_the_draws():
    # (1 - 1/n)^n: .366 for n = 100
    assert (np.stack(list(draws(100, 400))) == 0).mean() == pytest.approx(0.99**100, abs=0.01)


def test_the_mean_of_a_draw_by_hand():
    drawn = np.array([[1, 1, 1], [0, 3, 0], [2, 0, 1]])
    assert mean_of([1, 2, 6], drawn).tolist() == pytest.approx([3, 2, 8 / 3])


def test_the_interval_of_a_hundred_and_one_even_steps():
    found = intervals({"a": np.arange(101.0), "none": np.full(5, np.nan), "frechet_distance": np.ones(5)})
    assert list(found) == ["a"]
    assert (found["a"].low, found["a"].high) == pytest.approx((2.5, 97.5))


def test_draws_that_leave_a_figure_undefined_do_not_count():
    assert intervals({"a": np.array([np.nan, 1.0, 1.0])}) == {"a": Interval(low=1.0, high=1.0)}
