"""How certain a figure is, and the difference of two figures.

A metrics file has the interval itself: for `accuracy` it has `low` and `high` under `intervals.accuracy`. For
the metrics of the gate the two models are compared picture by picture, which is more precise.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from darkroom.base.text import is_number
from darkroom.releases import paired
from darkroom.releases.gate import Gate, metric_value
from darkroom.releases.paired import Difference, NotPairedError
from darkroom.repository.recorded.revisions import Recorded

INTERVALS = "intervals"


class Interval(NamedTuple):
    """What a figure lies in, most likely."""

    low: float
    high: float


def interval_of(figures: Mapping[str, object], name: str) -> Interval | None:
    """The interval that a metrics file, flattened, holds for its figure `name`.

    That of `classifier.accuracy` stands under `classifier.intervals.accuracy`.
    """
    parts = name.split(".")
    for at in range(len(parts) - 1, -1, -1):
        key = ".".join((*parts[:at], INTERVALS, *parts[at:]))
        low, high = figures.get(f"{key}.low"), figures.get(f"{key}.high")
        if is_number(low) and is_number(high):
            return Interval(float(low), float(high))  # type: ignore[arg-type]
    return None


def interval_of_change(
    then: object, then_in: Interval | None, now: object, now_in: Interval | None
) -> Interval | None:
    """The interval of the difference of two figures that have one each, as if they were independent.

    That is the method of variance estimates recovery (Zou and Donner 2008). On the same test pictures both
    rise and fall together, so that it is wider than it need be.
    """
    if then_in is None or now_in is None or not (is_number(then) and is_number(now)):
        return None
    one, other = float(then), float(now)  # type: ignore[arg-type]
    below = math.hypot(other - now_in.low, then_in.high - one)
    above = math.hypot(now_in.high - other, one - then_in.low)
    return Interval(other - one - below, other - one + above)


def paired_differences(
    root: Path, gate: Gate | None, then: Recorded, now: Recorded
) -> dict[str, Difference | str]:
    """The differences of the two models, by the gate's names of metrics, or why there are none.

    It takes two commits: what lies in the workspace may be half of two runs.
    """
    if gate is None or then.commit is None or now.commit is None:
        return {}
    commits = then.commit, now.commit
    found: dict[str, Difference | str] = {}
    for name, pictures in gate.by_pictures():
        values = [metric_value(one.figures, name) for one in (then, now)]
        if values[0] == values[1] or None in values:
            continue
        try:
            before, after = (
                paired.measure_model(root, commit, pictures, value)
                for commit, value in zip(commits, values, strict=True)
            )
            found[name] = paired.difference_of(
                pictures, before, after, confidence=gate.confidence, resamples=gate.resamples
            )
        except NotPairedError as error:
            found[name] = str(error)
    return found
