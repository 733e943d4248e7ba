"""The 95 % intervals once more, from the table of the figures in halves of the pictures."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm

from benchmarks.stages.audit.table import Row

Z = float(norm.ppf(0.975))


def audit_intervals(
    prefix: str, figures: Mapping[str, Any], resampled: pd.DataFrame, shares: Mapping[str, int]
) -> list[Row]:
    """Compare both bounds of each interval. `shares`: on how many each figure from 0 to 1 is measured."""
    rows = []
    for name, interval in figures["intervals"].items():
        bounds = _bounds(name, float(figures[name]), resampled[f"{prefix}.{name}"], shares.get(name))
        for end, value in zip(("low", "high"), bounds, strict=True):
            rows.append(
                Row(
                    figure=f"{prefix}.intervals.{name}.{end}",
                    product=float(interval[end]),
                    independent=value,
                    by="NumPy's roots of polynomials",
                )
            )
    return rows


def _bounds(name: str, figure: float, halves: "pd.Series[float]", number: int | None) -> tuple[float, float]:
    first, second = halves.to_numpy()[0::2], halves.to_numpy()[1::2]
    both = min(len(first), len(second))
    first, second = first[:both], second[:both]
    defined = np.isfinite(first) & np.isfinite(second)
    first, second = first[defined], second[defined]
    of_difference = np.mean((first - second) ** 2) / 4
    if name.endswith("_distance"):  # where the root is as far from the figure's root as it may be
        deviation = np.sqrt(of_difference)
        if figure > Z * deviation:
            reach = Z * deviation / (2 * np.sqrt(figure))
            return float((np.sqrt(figure) - reach) ** 2), float((np.sqrt(figure) + reach) ** 2)
        return figure - 0.75 * Z * deviation, figure + 1.25 * Z * deviation
    variance = (of_difference + np.var(np.concatenate([first, second]))) / 2
    if number is None:
        return figure - Z * float(np.sqrt(variance)), figure + Z * float(np.sqrt(variance))
    effective = figure * (1 - figure) / variance if variance > 0 and 0 < figure < 1 else number
    # Wilson: (figure - x)^2 = z^2 x (1 - x) / effective
    roots = np.roots([1 + Z**2 / effective, -(2 * figure + Z**2 / effective), figure**2]).real
    return max(0.0, float(roots.min())), min(1.0, float(roots.max()))
