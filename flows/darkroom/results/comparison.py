"""Compares two revisions: which figures are better, and which parameters and data differ."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from darkroom.base.text import format_difference, format_figure, is_number
from darkroom.releases.gate import Bound, Gate
from darkroom.releases.paired import Difference
from darkroom.repository.recorded.revisions import FileKind, Recorded, RecordedFile
from darkroom.results.intervals import INTERVALS, Interval, interval_of, interval_of_change
from darkroom.runs.metrics import Trend, flat_figures, trend_of

SHOWN_A_GROUP = 6
SHOWN_A_STAGE = 18
LEAST_A_GROUP = 2
LAST_DIGITS = 1e-6
"""A relative difference up to this one is another processor's rounding."""


class Standing(StrEnum):
    """How a figure stands to the one it is compared with."""

    NEW = "new"
    GONE = "gone"
    SAME = "same"
    BETTER = "better"
    WORSE = "worse"
    UNCLEAR = "no clear change"
    """The difference may be chance: its interval holds zero, or the gate calls it noise."""
    CHANGED = "changed"
    """Neither dvc.yaml nor the gate says which way is better."""
    OTHER_DATA = "other data"
    """The two were measured on other data: neither is better."""
    OTHER_INSTRUMENT = "other measure"
    """The two were measured by other means, such as another network's features."""


INCOMPARABLE = (Standing.OTHER_DATA, Standing.OTHER_INSTRUMENT)


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """One figure of a metrics file, at two revisions; None: it has none there."""

    file: str
    """The metrics file's path from the root."""
    stage: str
    name: str
    """The figure's name, with dots for what is nested: `val.accuracy`."""
    then: object
    now: object
    direction: int
    """1 where a higher value is better, -1 where a lower one is, 0 where nothing says so."""
    standing: Standing
    interval: Interval | None
    """The interval of the value now."""
    change: Interval | None
    """The interval of the difference."""
    gated: bool
    """Whether the gate asks for it."""

    @property
    def group(self) -> tuple[str, str]:
        """The stage, and the top key of the file if the figure is nested."""
        head, dot, _ = self.name.partition(".")
        return self.stage, head if dot else ""

    @property
    def short_name(self) -> str:
        """The name within the group."""
        return self.name.removeprefix(f"{self.group[1]}.") if self.group[1] else self.name

    @property
    def difference(self) -> str:
        """The difference with its sign; empty where there is none."""
        return format_difference(self.then, self.now)

    @property
    def is_seen_to_differ(self) -> bool:
        """Whether the two values differ as they are shown, not in later digits alone."""
        return self.standing is not Standing.SAME and format_figure(self.then) != format_figure(self.now)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        change = self.now - self.then if is_number(self.then) and is_number(self.now) else None  # type: ignore[operator]
        return {
            "file": self.file,
            "stage": self.stage,
            "name": self.name,
            "then": self.then,
            "now": self.now,
            "change": change,
            "standing": self.standing.value,
            "better": {1: "higher", -1: "lower"}.get(self.direction),
            "interval": list(self.interval) if self.interval else None,
            "change_interval": list(self.change) if self.change else None,
            "gate": self.gated,
        }


@dataclass(frozen=True, slots=True)
class ParameterChange:
    """A parameter that differs; None: it is not there."""

    file: str
    name: str
    then: object
    now: object


@dataclass(frozen=True, slots=True)
class Datum:
    """A file or folder that differs; None: it is not recorded there."""

    path: str
    then: RecordedFile | None
    now: RecordedFile | None

    @property
    def kind(self) -> FileKind:
        """Where the path comes from."""
        known = self.now or self.then
        assert known is not None  # or it would not differ
        return known.kind


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """What differs between two revisions."""

    then: Recorded
    now: Recorded
    figures: tuple[Figure, ...]
    """All, most important first, by group; those that are the same, too."""
    params: tuple[ParameterChange, ...]
    files: tuple[Datum, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "then": revision_json(self.then),
            "now": revision_json(self.now),
            "metrics": [figure.to_json() for figure in self.figures],
            "params": [
                {"file": one.file, "name": one.name, "then": one.then, "now": one.now} for one in self.params
            ],
            "files": [
                {
                    "path": one.path,
                    "kind": one.kind.value,
                    "then": one.then.hash if one.then else None,
                    "now": one.now.hash if one.now else None,
                }
                for one in self.files
            ],
            "unreadable": [*self.then.unreadable, *self.now.unreadable],
        }


def revision_json(recorded: Recorded) -> dict[str, Any]:
    """A revision as plain values."""
    return {
        "name": recorded.name,
        "commit": recorded.commit,
        "subject": recorded.subject,
        "time": recorded.when,
    }


def compare(
    then: Recorded, now: Recorded, gate: Gate | None, differences: Mapping[str, Difference | str] = {}
) -> Comparison:
    """Hold two revisions against each other.

    `differences`: by the gate's names of metrics, those that were compared picture by picture.
    """
    return Comparison(
        then=then,
        now=now,
        figures=tuple(in_order(_figures(then, now, gate, differences))),
        params=tuple(_params(then.params, now.params)),
        files=tuple(_files(then.files, now.files)),
    )


def main_figures(figures: Iterable[Figure], *, changed: bool = False) -> Iterator[Figure]:
    """Choose the figures of each group that matter most, and all that the gate asks for.

    The least nested ones of a group are its main ones. A stage with many groups shows fewer of each.
    `changed`: only figures that differ as far as they are shown.
    """
    groups = by_group(figures)
    of_stage = Counter(stage for stage, _ in groups)
    for (stage, _), group in groups.items():
        most = max(LEAST_A_GROUP, min(SHOWN_A_GROUP, SHOWN_A_STAGE // of_stage[stage]))
        least = min(figure.name.count(".") for figure in group)
        main = [figure for figure in group if figure.gated or figure.name.count(".") == least]
        shown = [figure for figure in main if not changed or figure.gated or figure.is_seen_to_differ]
        yield from (
            figure
            for at, figure in enumerate(shown)
            if at < most or (figure.gated and figure.standing is not Standing.SAME)
        )


def by_group(figures: Iterable[Figure]) -> dict[tuple[str, str], list[Figure]]:
    """The figures by `Figure.group`, in the order in which they come."""
    groups: dict[tuple[str, str], list[Figure]] = {}
    for figure in figures:
        groups.setdefault(figure.group, []).append(figure)
    return groups


def in_order(figures: Iterable[Figure]) -> list[Figure]:
    """Most important first: what the gate asks for, then what is better one way, then the rest.

    Stages and groups stay together; of equal ones later stages come first, as they judge the earlier ones.
    """
    groups = by_group(figures)
    stages = list(dict.fromkeys(stage for stage, _ in groups))
    rank_of_stage = {
        stage: min(_rank(figure) for group in groups for figure in groups[group] if group[0] == stage)
        for stage in stages
    }
    ranked = sorted(
        groups.items(),
        key=lambda item: (rank_of_stage[item[0][0]], -stages.index(item[0][0]), min(map(_rank, item[1]))),
    )
    return [
        figure
        for _, group in ranked
        for figure in sorted(group, key=lambda one: (_rank(one), one.name.count(".")))
    ]


def _rank(figure: Figure) -> int:
    return 0 if figure.gated else 1 if figure.direction else 2


def _figures(
    then: Recorded, now: Recorded, gate: Gate | None, differences: Mapping[str, Difference | str]
) -> Iterator[Figure]:
    bounds = gate.metrics if gate else {}
    for path in dict.fromkeys([*now.metrics, *then.metrics]):
        before, after = then.metrics.get(path), now.metrics.get(path)
        known = after or before
        assert known is not None  # the path is from one of them
        old, new = (flat_figures(one.held) if one else {} for one in (before, after))
        data = (before.data if before else frozenset()) | (after.data if after else frozenset())
        other_data = any(_hash(then.files.get(one)) != _hash(now.files.get(one)) for one in data)
        for name in dict.fromkeys([*new, *old]):
            if f".{INTERVALS}." in f".{name}":
                continue
            was, value = known.meta.present(old.get(name)), known.meta.present(new.get(name))
            if was is None and value is None:
                continue
            full = f"{path}:{name}"
            bound, paired = bounds.get(full), differences.get(full)
            direction = _direction(bound, known.meta.direction(name))
            by = known.meta.instrument(name)
            here = interval_of(new, name)
            change = (
                Interval(paired.low, paired.high)
                if isinstance(paired, Difference)
                else interval_of_change(was, interval_of(old, name), value, here)
            )
            standing = _standing(
                trend_of(direction, was, value),
                was,
                value,
                change,
                noise=bound.equal_within if bound else 0.0,
                other_data=other_data and not isinstance(paired, Difference),
                other_instrument=by is not None and old.get(by) != new.get(by),
            )
            yield Figure(
                file=path,
                stage=known.stage,
                name=name,
                then=was,
                now=value,
                direction=direction,
                standing=standing,
                interval=here,
                change=None if standing in INCOMPARABLE else change,
                gated=bound is not None,
            )


def _direction(bound: Bound | None, stated: int) -> int:
    if bound is None:
        return stated
    return {"highest": 1, "lowest": -1, None: stated or 1}[bound.best]


def _standing(
    trend: Trend,
    then: object,
    now: object,
    change: Interval | None,
    *,
    noise: float,
    other_data: bool,
    other_instrument: bool,
) -> Standing:
    if trend in (Trend.NEW, Trend.GONE, Trend.SAME):
        return Standing(trend.value)
    if other_instrument:
        return Standing.OTHER_INSTRUMENT
    if other_data:
        return Standing.OTHER_DATA
    if trend is Trend.CHANGED:
        return Standing.CHANGED
    small = math.isclose(now, then, rel_tol=LAST_DIGITS, abs_tol=noise)  # type: ignore[arg-type]
    return Standing.UNCLEAR if small or (change and change.low <= 0 <= change.high) else Standing(trend.value)


def _params(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[ParameterChange]:
    for file in dict.fromkeys([*now, *then]):
        old, new = (dict(_flat(held.get(file, {}))) for held in (then, now))
        for name in dict.fromkeys([*new, *old]):
            if old.get(name) != new.get(name) or (name in old) != (name in new):
                yield ParameterChange(file, name, old.get(name), new.get(name))


def _flat(held: object, prefix: str = "") -> Iterator[tuple[str, object]]:
    """Values by their keys with dots; a list is one value."""
    if isinstance(held, Mapping):
        for key, inner in held.items():
            yield from _flat(inner, f"{prefix}{key}.")
    else:
        yield prefix.removesuffix("."), held


def _files(then: Mapping[str, RecordedFile], now: Mapping[str, RecordedFile]) -> Iterator[Datum]:
    found = [
        Datum(path, then.get(path), now.get(path))
        for path in dict.fromkeys([*now, *then])
        if _hash(then.get(path)) != _hash(now.get(path))
    ]
    return iter(sorted(found, key=lambda one: list(FileKind).index(one.kind)))


def _hash(file: RecordedFile | None) -> str | None:
    return file.hash if file else None
