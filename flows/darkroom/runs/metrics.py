"""The metrics of a run: figures in files, what has changed, and whether the change is an improvement."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from darkroom.base.errors import UsageError
from darkroom.base.meta import MetricMeta
from darkroom.base.text import format_difference, is_number
from darkroom.repository.products import Product


class Trend(StrEnum):
    """How a metric's value stands to the one in the last commit."""

    NEW = "new"
    GONE = "gone"
    SAME = "same"
    BETTER = "better"
    WORSE = "worse"
    CHANGED = "changed"


def trend_of(direction: int, then: object, now: object) -> Trend:
    """What became of a figure: better or worse only where `direction` says which way is up.

    `direction` is that of `MetricMeta.direction`; None for a value means that there is no figure.
    """
    if then == now:
        return Trend.SAME
    if then is None:
        return Trend.NEW
    if now is None:
        return Trend.GONE
    if not direction or not (is_number(then) and is_number(now)):
        return Trend.CHANGED
    return Trend.BETTER if (now - then) * direction > 0 else Trend.WORSE  # type: ignore[operator]


SHOWN_METRICS_A_GROUP = 6


@dataclass(frozen=True, slots=True)
class MetricChange:
    """One figure of a metrics file: now, and in the last commit. None: not there."""

    stage: str
    """The name of the stage that makes the file, or the folder in which it lies; else the file's path."""
    name: str
    """The figure's name, with dots for what is nested: `val.accuracy`."""
    then: object
    now: object
    direction: int = 0
    """1 where a higher value is better, -1 where a lower one is, 0 where dvc.yaml does not say."""

    @property
    def difference(self) -> str:
        """The difference with its sign; empty where there is none."""
        return format_difference(self.then, self.now)

    @property
    def trend(self) -> Trend:
        """Whether the change is better or worse, as far as dvc.yaml says which way is up."""
        return trend_of(self.direction, self.then, self.now)


def metric_changes(
    products: Mapping[str, tuple[Product, ...]],
    now: Mapping[Path, Any],
    then: Mapping[Path, Any],
    root: Path,
    *,
    same_data: bool = True,
) -> Iterator[MetricChange]:
    """Each figure of each metrics file, by stage in the plan's order, then those that no stage makes.

    On other data than in the last commit no figure is better or worse: it has no direction.
    """
    owners = {
        product.path: (stage, product.metric_meta)
        for stage, outs in products.items()
        for product in outs
        if product.is_metric
    }
    makers = {product.path: stage for stage, outs in products.items() for product in outs}
    others = {
        path: (
            next(
                (makers[folder] for folder in path.parents if folder in makers), os.path.relpath(path, root)
            ),
            MetricMeta(),
        )
        for path in now
        if path not in owners
    }
    for path, (owner, meta) in {**owners, **others}.items():
        old, new = flat_figures(then.get(path, {})), flat_figures(now.get(path, {}))
        for name in {**new, **old}:
            before, after = meta.present(old.get(name)), meta.present(new.get(name))
            by = meta.instrument(name)
            comparable = same_data and (by is None or old.get(by) == new.get(by))
            yield MetricChange(owner, name, before, after, meta.direction(name) if comparable else 0)


def main_metrics(changes: Iterable[MetricChange]) -> Iterator[MetricChange]:
    """Choose the least nested metrics of each stage's groups, first those that are better one way.

    A group is what stands under one top key of a metrics file; it shows at most SHOWN_METRICS_A_GROUP. What
    has a figure neither now nor in the last commit is left out.
    """
    groups: dict[tuple[str, str], list[MetricChange]] = {}
    for change in changes:
        if change.then is None and change.now is None:
            continue
        head, dot, _ = change.name.partition(".")
        groups.setdefault((change.stage, head if dot else ""), []).append(change)
    for group in groups.values():
        least = min(change.name.count(".") for change in group)
        plain = [change for change in group if change.name.count(".") == least]
        yield from sorted(plain, key=lambda change: not change.direction)[:SHOWN_METRICS_A_GROUP]


def flat_figures(held: object, prefix: str = "") -> dict[str, object]:
    """A metrics file's content flattened: `{"val": {"loss": 1}}` becomes `{"val.loss": 1}`.

    A list's items are not figures to compare run by run: it is left out.
    """
    if isinstance(held, Mapping):
        return {
            name: value
            for key, inner in held.items()
            for name, value in flat_figures(inner, f"{prefix}{key}.").items()
        }
    return {} if isinstance(held, list) else {prefix.removesuffix("."): held}


@dataclass(frozen=True, slots=True)
class Metric:
    """The figure that trials are compared by."""

    file: str
    """The metrics file's path from the repository's root."""
    name: str
    """The figure's name, with dots for what is nested."""
    lowest: bool = False
    """Whether the lowest value is the best."""
    absent_value: float | None = None
    """The number that the file holds where there is no figure; None: it has no such number."""

    @classmethod
    def named(cls, text: str, lowest: bool = False, stated: Mapping[str, MetricMeta] = {}) -> Metric:
        """The metric that `metrics.json:val.accuracy` names.

        The lowest is the best if `lowest` or what is `stated` says so. `stated` is what dvc.yaml says of the
        figures, by the metrics files' paths from the root.

        Raises:
            UsageError: The text has no file or no name.

        """
        file, colon, name = text.rpartition(":")
        if not (file and colon and name):
            raise UsageError(f"{text}: a metric is named as FILE:NAME; `dvc metrics show` lists both")
        meta = stated.get(file, MetricMeta())
        return cls(file, name, lowest or meta.direction(name) < 0, meta.absent_value)


def other_instrument(
    then: Mapping[str, Any], now: Mapping[str, Any], by: Metric, stated: Mapping[str, MetricMeta]
) -> str | None:
    """The entry, such as `features.sha256`, by which the figure was measured otherwise then than now.

    None: by the same, or dvc.yaml does not say that anything measures it.
    """
    entry = stated.get(by.file, MetricMeta()).instrument(by.name)
    if entry is None:
        return None
    before, after = (flat_figures(metrics.get(by.file, {})).get(entry) for metrics in (then, now))
    return None if before == after else entry


def value_of(metrics: Mapping[str, Any], by: Metric) -> float | None:
    """The figure that trials are compared by; None: there is none, or it is not a number (NaN)."""
    value = MetricMeta(absent_value=by.absent_value).present(
        flat_figures(metrics.get(by.file, {})).get(by.name)
    )
    return float(value) if is_number(value) else None  # type: ignore[arg-type]
