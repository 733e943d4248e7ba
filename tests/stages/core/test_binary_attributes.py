"""Which numbers of the data say yes or no, and what is learnt of them."""

import numpy as np
import pytest

from stages.core.packed import binary_names, targets_of

NAN = float("nan")


@pytest.mark.parametrize(
    ("numbers", "says_yes_or_no"),
    [
        ([0, 1, NAN], True),
        ([-1, 1], True),
        ([1, 1], True),
        ([0, 0], True),
        ([-1, 0, 1], False),
        ([0, 0.5], False),
        ([NAN, NAN], False),
        ([], False),
    ],
)
def test_what_says_yes_or_no(numbers: list[float], says_yes_or_no: bool) -> None:
    assert (binary_names({"one": np.array(numbers, dtype=np.float64)}) == ["one"]) == says_yes_or_no


def test_both_ways_of_writing_no_become_zero_and_what_is_unknown_stays_so() -> None:
    columns = {"a": np.array([0, 1, NAN]), "b": np.array([-1, NAN, 1]), "price": np.array([3.0, 4, 5])}
    assert binary_names(columns) == ["a", "b"]
    targets = targets_of(columns, ["b", "a", "absent"], 3)
    assert targets.tolist()[0] == [0, 0, pytest.approx(NAN, nan_ok=True)]
    np.testing.assert_array_equal(targets[:, 0], [0, NAN, 1])
    np.testing.assert_array_equal(targets[:, 1], [0, 1, NAN])
    assert np.isnan(targets[:, 2]).all()
