"""A sweep's trials, the best first."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from darkroom.base.errors import UsageError
from darkroom.base.text import format_figure
from darkroom.deployments.search_space import Trial
from darkroom.runs.metrics import Metric, flat_figures, value_of


@dataclass(frozen=True, slots=True)
class RankedTrial:
    """A trial and its figure; None: it has none (yet)."""

    trial: Trial
    value: float | None


def rank_trials(
    trials: Sequence[Trial], metrics: Mapping[str, Mapping[str, Any]], by: Metric
) -> list[RankedTrial]:
    """The trials by their figures, the best first, those without one last; `metrics` by trial and file.

    Raises:
        UsageError: No trial that has metrics has this one.

    """
    lines = [RankedTrial(trial, value_of(metrics.get(trial.name, {}), by)) for trial in trials]
    if metrics and all(line.value is None for line in lines):
        known = next(iter(metrics.values()))
        names = ", ".join(f"{file}:{name}" for file, held in known.items() for name in flat_figures(held))
        raise UsageError(f"--metric {by.file}:{by.name}: no such metric; there are {names or 'no metrics'}")
    sign = 1 if by.lowest else -1
    return sorted(lines, key=lambda line: (line.value is None, sign * (line.value or 0.0)))


def leaderboard_rows(lines: Iterable[RankedTrial], by: Metric) -> list[dict[str, str]]:
    """The leaderboard as rows of a table, with a column for each parameter."""
    return [
        {
            "trial": line.trial.name,
            by.name: format_figure(line.value) if line.value is not None else "",
            **dict(setting.split("=", 1) for setting in line.trial.settings),
        }
        for line in lines
    ]


def leaderboard_json(lines: Iterable[RankedTrial]) -> list[dict[str, Any]]:
    """The leaderboard for programs: each trial with its settings and its unrounded figure; null: none."""
    return [
        {
            "name": line.trial.name,
            "figure": line.value if line.value is not None and math.isfinite(line.value) else None,
            "settings": dict(setting.split("=", 1) for setting in line.trial.settings),
        }
        for line in lines
    ]
