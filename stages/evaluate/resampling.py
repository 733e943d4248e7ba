"""Figures measured anew on test pictures drawn with replacement: how far they can be believed (Efron 1979).

Draws of as many pictures are always the same ones. So two models that were measured on the same pictures can
be held against each other draw by draw, whatever the figure is.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Resampled = dict[str, Floats]
"""Figures by name, each in every draw: [R]; nan where a draw leaves one undefined."""

SEED = 1979
LEVEL = 0.95  # of the intervals
BIASED = ("calibration_error", "frechet_distance")
"""Greater in a draw, which has fewer different pictures, than in all: only their differences can be told."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Interval:
    """Between these the figure lies in 95 % of the draws."""

    low: float
    high: float


def draws(pictures: int, resamples: int) -> Iterator[Counts]:
    """How often each of the pictures is in a draw of as many, [N]; one draw after the other."""
    random = np.random.default_rng(SEED)
    for _ in range(resamples):
        yield np.bincount(random.integers(pictures, size=pictures), minlength=pictures)


def mean_of(each: npt.ArrayLike, drawn: Iterable[Counts]) -> Floats:
    """The mean of what is known of each picture [N], in every draw: [R]."""
    values = np.asarray(each, dtype=np.float64)
    return np.array([counts @ values / len(values) for counts in drawn])


def intervals(figures: Mapping[str, Floats]) -> dict[str, Interval]:
    """Of each figure that some draw defines, and that is not `BIASED`."""
    found = {}
    for name, values in figures.items():
        if name not in BIASED and (defined := values[np.isfinite(values)]).size:
            low, high = np.quantile(defined, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]).tolist()
            found[name] = Interval(low=low, high=high)
    return found
