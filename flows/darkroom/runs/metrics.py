"""Metrics of a run: figures in files, what has changed, and whether that is better."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from darkroom.base.errors import UsageError
from darkroom.base.text import _is_number, difference
from darkroom.repository.products import Product

HIGHER_IS_BETTER = frozenset(
    [
        "accuracy",
        "acc",
        "auc",
        "bleu",
        "coverage",
        "dice",
        "f1",
        "iou",
        "map",
        "precision",
        "psnr",
        "r2",
        "recall",
        "ssim",
        "top1",
        "top5",
    ]
)
LOWER_IS_BETTER = frozenset(
    [
        "distance",
        "divergence",
        "drop",
        "ece",
        "error",
        "fid",
        "gap",
        "kid",
        "loss",
        "mae",
        "mse",
        "perplexity",
        "rmse",
    ]
)


class Trend(StrEnum):
    """How a metric's value stands to the one in the last commit."""

    NEW = "new"
    GONE = "gone"
    SAME = "same"
    BETTER = "better"
    WORSE = "worse"
    CHANGED = "changed"


def trend(name: str, then: object, now: object) -> Trend:
    """What became of the metric `name`: better or worse only where its name says which way is up."""
    if then == now:
        return Trend.SAME
    if then is None:
        return Trend.NEW
    if now is None:
        return Trend.GONE
    direction = better_direction(name)
    if not direction or not (_is_number(then) and _is_number(now)):
        return Trend.CHANGED
    return Trend.BETTER if (now - then) * direction > 0 else Trend.WORSE  # type: ignore[operator]


def better_direction(name: str) -> int:
    """1 where a higher value of the metric is better, -1 where a lower one is, 0 where its name is silent.

    The last part of a dotted name that tells decides: `val.loss` is a loss, `recall.shirt` a recall.
    """
    for part in reversed(name.lower().split(".")):
        words = set(re.findall(r"[a-z]+\d*|\d+", part)) | set(re.findall(r"[a-z]+", part))
        up, down = bool(words & HIGHER_IS_BETTER), bool(words & LOWER_IS_BETTER)
        if up or down:
            return up - down
    return 0


SHOWN_METRICS_A_GROUP = 6


@dataclass(frozen=True, slots=True)
class MetricChange:
    """One figure of a metrics file: now, and in the last commit. None: not there."""

    stage: str
    """The stage's name; the file's path where no stage makes it."""
    name: str
    """With dots for what is nested: `val.accuracy`."""
    then: object
    now: object

    @property
    def difference(self) -> str:
        """With its sign; empty where there is none."""
        return difference(self.then, self.now)

    @property
    def trend(self) -> Trend:
        """In words."""
        return trend(self.name, self.then, self.now)


def metric_changes(
    products: Mapping[str, tuple[Product, ...]], now: Mapping[Path, Any], then: Mapping[Path, Any], root: Path
) -> Iterator[MetricChange]:
    """Each figure of each metrics file, by stage in the plan's order, then those that no stage makes."""
    owners = {
        product.path: stage for stage, outs in products.items() for product in outs if product.is_metric
    }
    others = [path for path in now if path not in owners]
    for path in (*owners, *others):
        owner = owners.get(path) or os.path.relpath(path, root)
        old, new = figures(then.get(path, {})), figures(now.get(path, {}))
        for name in {**new, **old}:
            yield MetricChange(owner, name, old.get(name), new.get(name))


def main_metrics(changes: Iterable[MetricChange]) -> Iterator[MetricChange]:
    """Of each stage's groups of metrics the least nested ones, first those whose name says which way is up.

    A group is what stands under one top key of a metrics file; it shows at most SHOWN_METRICS_A_GROUP.
    """
    groups: dict[tuple[str, str], list[MetricChange]] = {}
    for change in changes:
        head, dot, _ = change.name.partition(".")
        groups.setdefault((change.stage, head if dot else ""), []).append(change)
    for group in groups.values():
        least = min(change.name.count(".") for change in group)
        plain = [change for change in group if change.name.count(".") == least]
        yield from sorted(plain, key=lambda c: better_direction(c.name) == 0)[:SHOWN_METRICS_A_GROUP]


def figures(held: object, prefix: str = "") -> dict[str, object]:
    """A metrics file's content flattened: `{"val": {"loss": 1}}` becomes `{"val.loss": 1}`.

    A list's items are not figures to compare run by run: it is left out.
    """
    if isinstance(held, Mapping):
        return {
            name: value
            for key, inner in held.items()
            for name, value in figures(inner, f"{prefix}{key}.").items()
        }
    return {} if isinstance(held, list) else {prefix.removesuffix("."): held}


@dataclass(frozen=True, slots=True)
class Metric:
    """What trials are compared by."""

    file: str
    """From the repository's root."""
    name: str
    """With dots for what is nested."""
    lowest: bool = False
    """Whether the lowest is the best."""

    @classmethod
    def named(cls, text: str, lowest: bool) -> Metric:
        """`metrics.json:val.accuracy`. Raises UsageError."""
        file, colon, name = text.rpartition(":")
        if not (file and colon and name):
            raise UsageError(f"{text}: a metric is named as FILE:NAME; `dvc metrics show` lists both")
        return cls(file, name, lowest)


def value_of(metrics: Mapping[str, Any], by: Metric) -> float | None:
    """The figure that trials are compared by; None: there is none."""
    value = figures(metrics.get(by.file, {})).get(by.name)
    return float(value) if isinstance(value, int | float) else None
