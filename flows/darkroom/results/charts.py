"""Charts as SVG, with titles and axes, in the colours of the surrounding page: light or dark."""

from __future__ import annotations

import math
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any

import pygal
from pygal.style import Style

from darkroom.base.text import is_number
from darkroom.repository.recorded.plots import Plot

# pygal's finder of map plugins: until Python 3.11 each later import would warn of its old protocol.
sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder).__name__ != "PluginImportFixer"]

WIDTH, HEIGHT = 480, 320
POINTS = 400
"""The most points of a line; more cannot be told apart, and make the page large."""
COLOURS = tuple(f"var(--line{number})" for number in range(8))
"""The page's: after Okabe and Ito, told apart by the colour-blind, too, darker or lighter than the ground."""
MARKS = 5
"""How many marks an axis has, roughly."""
TABLE_CLASSES = 40
"""The most classes of a table of confusions that can be read."""


_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)  # the day on which it was drawn


@dataclass(frozen=True, slots=True)
class Confusion:
    """How often each class was taken for which: a row for each true class."""

    title: str
    actual: str
    predicted: str
    classes: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    """[row: true class][column: what it was taken for]"""

    def share(self, row: int, column: int) -> float:
        """The share of the pictures of a class that was taken for another."""
        return self.counts[row][column] / (sum(self.counts[row]) or 1)


def confusion_of(plot: Plot) -> Confusion | None:
    """The table of a plot whose template is DVC's `confusion`; None where it is another, or too large."""
    if not plot.template.startswith("confusion"):
        return None
    counted = Counter((str(x), str(y)) for points in plot.series.values() for x, y in points)
    classes = tuple(dict.fromkeys(sorted({name for pair in counted for name in pair})))
    if len(classes) > TABLE_CLASSES:
        return None
    counts = tuple(tuple(counted[row, column] for column in classes) for row in classes)
    return Confusion(plot.title, plot.x, plot.y, classes, counts)


def chart_svg(plot: Plot, name: str) -> str | None:
    """The plot as SVG, whose ids begin with `name`; None where it has no number to draw.

    The same plot gives the same text.
    """
    series = {label: list(_points(points)) for label, points in plot.series.items()}
    series = {label: points for label, points in series.items() if points}
    if not series:
        return None
    colours = tuple(islice(cycle(COLOURS), len(series)))
    chart = pygal.XY(
        style=_style(colours),
        width=WIDTH,
        height=HEIGHT,
        title=None,  # the page has it as text
        x_title=plot.x,
        y_title=plot.y,
        show_legend=len(series) > 1,
        legend_at_bottom=True,
        legend_at_bottom_columns=2,
        legend_box_size=10,
        truncate_legend=40,
        dots_size=3 if all(len(points) <= 30 for points in series.values()) else 1,
        stroke="scatter" not in plot.template,
        stroke_style={"width": 2},
        js=(),
        explicit_size=False,
        disable_xml_declaration=True,
        value_formatter=_format,
        x_value_formatter=_format,
    )
    chart.uuid = name
    across, up = ([point[axis] for points in series.values() for point in points] for axis in (0, 1))
    chart.x_labels, chart.y_labels = round_marks(across), round_marks(up)
    for label, points in series.items():
        chart.add(label, points[:: max(1, len(points) // POINTS)])
    chart.add_xml_filter(_without_script)
    return _COMMENT.sub("", chart.render(is_unicode=True))


def _style(colours: Sequence[str]) -> Style:
    """The page's own variables stand for ink and ground."""
    return Style(
        background="transparent",
        plot_background="transparent",
        foreground="var(--ink)",
        foreground_strong="var(--ink)",
        foreground_subtle="var(--faint)",
        guide_stroke_color="var(--line)",
        major_guide_stroke_color="var(--line)",
        guide_stroke_dasharray="1,0",
        major_guide_stroke_dasharray="1,0",
        font_family="system-ui, sans-serif",
        label_font_size=13,
        major_label_font_size=13,
        title_font_size=14,
        legend_font_size=13,
        colors=colours,
        opacity=".9",
        transition="0s",
    )


def _without_script(root: Any) -> Any:
    for script in [*root.iter("script"), *root.iter("{http://www.w3.org/2000/svg}script")]:
        for parent in root.iter():
            if script in list(parent):
                parent.remove(script)
    root.set("role", "img")
    return root


def _points(points: Sequence[tuple[Any, Any]]) -> Iterator[tuple[float, float]]:
    for at, (x, y) in enumerate(points):
        across, up = number_of(x), number_of(y)
        if up is not None:
            yield (at if across is None else across), up


LEAST = 1e-300
"""A difference below this is none: its parts would have no number of their own."""


def round_marks(values: Sequence[float]) -> list[float]:
    """Some five round numbers, evenly spaced, around all values: the marks of an axis."""
    low, high = min(values), max(values)
    if high - low < LEAST:
        around = (abs(low) if abs(low) > LEAST else 1) / 2
        low, high = (max(0.0, low - around) if low >= 0 else low - around), high + around
        if 0 <= min(values) <= 1:
            high = min(1.0, high)  # shares end at 1
    rough = (high - low) / MARKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * by for by in (1, 2, 2.5, 5, 10) if power * by >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [float(f"{at * step:.12g}") for at in range(first, last + 1)]


def number_of(value: object) -> float | None:
    """The number that a cell of a table holds; None: none, or no finite one."""
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return number if is_number(number) and abs(number) != float("inf") else None


def _format(value: float) -> str:
    return f"{value:.4g}"
