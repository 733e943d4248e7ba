"""Figures measured anew on test pictures drawn with replacement: how far they can be believed (Efron 1979).

Draws of as many pictures are always the same ones. So two models that were measured on the same pictures can
be held against each other draw by draw, whatever the figure is.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

DrawCounts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Resampled = dict[str, Floats]
"""Figures by name, each in every draw: [R]; nan where a draw leaves one undefined."""

SEED = 1979
LEVEL = 0.95  # of the intervals
BIASED = ("calibration_error", "frechet_distance")
"""Greater in a draw, which has fewer different pictures, than in all: only their differences can be told."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Interval:
    """The bounds between which a figure lies in 95 % of the draws."""

    low: float
    high: float


def draws(pictures: int, resamples: int) -> Iterator[DrawCounts]:
    """Yield so many draws of N pictures with replacement: how often each is in the draw, [N]."""
    random = np.random.default_rng(SEED)
    for _ in range(resamples):
        yield np.bincount(random.integers(pictures, size=pictures), minlength=pictures)


def mean_of(each: npt.ArrayLike, drawn: Iterable[DrawCounts]) -> Floats:
    """The mean of the values of pictures [N] in every draw: [R]."""
    values = np.asarray(each, dtype=np.float64)
    return np.array([counts @ values / len(values) for counts in drawn])


def intervals(figures: Mapping[str, Floats]) -> dict[str, Interval]:
    """The 95 % interval of each figure, unless it is `BIASED` or undefined in every draw."""
    found = {}
    for name, values in figures.items():
        if name not in BIASED and (defined := values[np.isfinite(values)]).size:
            low, high = np.quantile(defined, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]).tolist()
            found[name] = Interval(low=low, high=high)
    return found
