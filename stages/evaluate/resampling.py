"""Figures measured anew on halves of the pictures, and the intervals that follow from them.

A half is drawn without replacement, and what it leaves is the next half. Half the difference of the two
deviates as the figure of all pictures does from one set of pictures to the next (McCarthy,
"Pseudo-replication: half samples", 1969), and for a mean so does the half alone. For figures that are no
means the former is rather too small, the latter too large: the mean of both variances is taken. Draws with
replacement (Efron 1979) would not do: a picture that is drawn twice is its own nearest neighbour.

Halves of as many pictures are always the same ones. So two models that were measured on the same pictures can
be compared half by half, whatever the figure is.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

DrawCounts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Resampled = dict[str, Floats]
"""Figures by name, each in every half: [R]; nan where a half leaves one undefined."""

SEED = 1979
DEVIATIONS = 1.959964  # that a normal distribution has 95 % within
NEVER_BELOW = ("calibration_error",)
"""Near 0 these are above it by noise alone, so that no interval around them holds the true value."""
SQUARED_DISTANCES = ("frechet_distance", "kernel_distance")
"""Squares of a distance of two distributions, or estimates of one: from 0 upwards, without a bound."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Interval:
    """The bounds that hold a figure's mean over sets of as many pictures in 95 % of the cases."""

    low: float
    high: float


def halves(pictures: int, resamples: int, *, seed: int = SEED) -> Iterator[DrawCounts]:
    """Yield so many random halves of N pictures: 1 for those in the half, [N].

    Every second is the other half of the one before. A single picture is in all of them.
    """
    random = np.random.default_rng(seed)
    counts = np.zeros(pictures, dtype=np.int64)
    for number in range(resamples):
        if number % 2 == 0:
            counts = np.zeros(pictures, dtype=np.int64)
            counts[random.permutation(pictures)[: max(1, pictures // 2)]] = 1
        elif pictures > 1:
            counts = 1 - counts
        yield counts


def mean_of(each: npt.ArrayLike, drawn: Iterable[DrawCounts]) -> Floats:
    """The mean of the values of pictures [N] in every half: [R]."""
    values = np.asarray(each, dtype=np.float64)
    return np.array([counts @ values / counts.sum() for counts in drawn])


def deviation(drawn: Floats) -> float:
    """The standard deviation of a figure from its values in halves [R]; nan where most are undefined."""
    pairs = _defined_pairs(drawn)
    return float(np.sqrt((_variance_of_differences(pairs) + pairs.var()) / 2)) if len(pairs) else float("nan")


def deviation_of_distance(drawn: Floats) -> float:
    """The standard deviation of a distance from its values in halves [R]; nan where most are undefined.

    Distances of halves are larger than those of all pictures and deviate more: the differences alone tell.
    """
    pairs = _defined_pairs(drawn)
    return float(np.sqrt(_variance_of_differences(pairs))) if len(pairs) else float("nan")


def _defined_pairs(drawn: Floats) -> Floats:
    """Values in halves [R] by pairs of a half and the other half, [P, 2]; none where most are undefined."""
    pairs = drawn[: len(drawn) // 2 * 2].reshape(-1, 2)
    defined = pairs[np.isfinite(pairs).all(axis=1)]
    return defined if 2 * len(defined) > len(pairs) else defined[:0]


def _variance_of_differences(pairs: Floats) -> float:
    return float(np.square((pairs[:, 0] - pairs[:, 1]) / 2).mean())


def intervals(
    figures: Mapping[str, float], resampled: Resampled, shares: Mapping[str, int]
) -> dict[str, Interval]:
    """The 95 % interval of each figure that was measured in halves.

    `shares`: of the figures that lie between 0 and 1, how many pictures or boxes each was measured on; they
    get `share_interval`, `SQUARED_DISTANCES` get `distance_interval`, others the normal distribution's.
    Figures that are `NEVER_BELOW` 0, or undefined in most halves, have none.
    """
    found = {}
    for name, drawn in resampled.items():
        squared = name in SQUARED_DISTANCES
        deviates = deviation_of_distance(drawn) if squared else deviation(drawn)
        if name in NEVER_BELOW or np.isnan(deviates):
            continue
        if name in shares:
            found[name] = share_interval(figures[name], deviates, shares[name])
        elif squared:
            found[name] = distance_interval(figures[name], deviates)
        else:
            reach = DEVIATIONS * deviates
            found[name] = Interval(low=figures[name] - reach, high=figures[name] + reach)
    return found


def share_interval(share: float, deviation: float, number: int) -> Interval:
    """The interval of a figure between 0 and 1, from its standard deviation.

    Wilson's ("Probable inference, the law of succession, and statistical inference", 1927), which holds near
    0 and 1, too, and on few pictures. For figures that are no plain shares (F1, average precision, recall of
    features) the number of pictures is the one with which a share would deviate as much (Korn and Graubard,
    "Confidence intervals for proportions with small expected number of positive counts", 1998). A figure that
    is the same in every half has a deviation of 0, which tells nothing: there it is `number` itself.
    """
    effective = share * (1 - share) / deviation**2 if deviation > 0 and 0 < share < 1 else number
    square = DEVIATIONS**2 / effective
    middle = (share + square / 2) / (1 + square)
    reach = np.sqrt(square * share * (1 - share) + square**2 / 4) / (1 + square)
    return Interval(low=max(0.0, float(middle - reach)), high=min(1.0, float(middle + reach)))


def distance_interval(distance: float, deviation: float) -> Interval:
    """The interval of a squared distance, from its standard deviation.

    A squared distance deviates in proportion to its root. One that came out small has too small a deviation,
    and the normal distribution's interval then lies below the mean too often. The root itself deviates by as
    much whatever it is (Bartlett, "The use of transformations", 1947), so the root's interval is taken and
    squared: it reaches as far, and lies higher by (half its width)^2 / (4 `distance`). Where `distance` is
    less than half the width, that is a quarter of half the width.
    """
    reach = DEVIATIONS * deviation
    higher = reach**2 / (4 * max(distance, reach)) if reach else 0.0
    return Interval(low=distance - reach + higher, high=distance + reach + higher)
