"""One static page of an evaluation: figures, curves and sheets in one HTML file that needs nothing else."""

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, StrictUndefined

from stages.evaluate.result import TableCurve

SIDE = 240  # pixels of a curve's square
MARKS = 5  # intervals of an axis between its marks

ROWS = ("by_class", "by_attribute")
"""Ends of the names under which there is a row of figures for each class or attribute."""

TEMPLATE = Path(__file__).with_name("report.html.jinja")


@dataclass(frozen=True, kw_only=True, slots=True)
class Curve:
    """A curve through points (x, y), both from 0 to 1; a single point is drawn as a dot."""

    title: str
    x: str
    y: str
    points: Sequence[tuple[float, float]]
    diagonal: bool = False
    """Draw a dashed line where y equals x."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """What the page shows of one model."""

    title: str
    figures: Mapping[str, Any]
    """Numbers by name, nested; under a name that ends in `by_class` or `by_attribute` a row of them for each.

    Under `intervals` stand `low` and `high` of the figures that have an interval, by their names.
    """
    curves: Sequence[Curve]
    sheets: Mapping[str, Path]
    """PNG files by their captions."""


def read_curve(curve: TableCurve, table: Path) -> Curve:
    """The curve of two columns of a CSV file."""
    rows = pd.read_csv(table)
    points = list(zip(rows[curve.x].tolist(), rows[curve.y].tolist(), strict=True))
    return Curve(title=curve.title, x=curve.x, y=curve.y, points=points, diagonal=curve.diagonal)


def report_page(title: str, sections: Sequence[Section], notes: Sequence[str] = ()) -> str:
    """Fill in the page, `notes` under its title; the same figures and files give the same text.

    All texts are escaped: names of classes come from the data.
    """
    environment = Environment(
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
    )
    page = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    return page.render(
        title=title,
        notes=notes,
        sections=list(map(_filled_in, sections)),
        side=SIDE,
        marks=[(SIDE * at // MARKS, f"{at / MARKS:g}") for at in range(MARKS + 1)],
    )


def _filled_in(section: Section) -> dict[str, Any]:
    """A section as the template takes it."""
    by_class = ((name, rows) for name, rows in section.figures.items() if name.endswith(ROWS))
    return {
        "title": section.title,
        "tables": [_figures(section.figures), *(_class_table(name, rows) for name, rows in by_class)],
        "curves": [
            {
                "title": curve.title,
                "x": curve.x,
                "y": curve.y,
                "places": _places(curve),
                "diagonal": curve.diagonal,
            }
            for curve in section.curves
        ],
        "sheets": [
            {"caption": caption, "content": base64.b64encode(path.read_bytes()).decode()}
            for caption, path in section.sheets.items()
        ],
    }


@dataclass(frozen=True, kw_only=True, slots=True)
class _Table:
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


def _figures(figures: Mapping[str, Any]) -> _Table:
    """A row for each figure, with its interval where there is one."""
    intervals = {
        name: f"{_number(edges['low'])} to {_number(edges['high'])}"
        for name, edges in figures.get("intervals", {}).items()
    }
    rows = [[name, _number(value), intervals.get(name, "")] for name, value in flat(figures)]
    return _Table(head=["", "value", "95 % interval" if intervals else ""], rows=rows)


def flat(figures: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, float | str]]:
    """Figures with their names as `a.b.c`, without intervals and those of single classes or attributes."""
    for name, value in figures.items():
        if isinstance(value, Mapping):
            if not name.endswith(ROWS) and name != "intervals":
                yield from flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def _class_table(name: str, rows: Mapping[str, Any]) -> _Table:
    """A row for each class, of one number or of several by name."""
    numbers = {label: row if isinstance(row, Mapping) else {name: row} for label, row in rows.items()}
    columns = list(next(iter(numbers.values()), {}))
    cells = [[label, *(_number(row[column]) for column in columns)] for label, row in numbers.items()]
    return _Table(head=["attribute" if name.endswith("by_attribute") else "class", *columns], rows=cells)


def _number(value: float | str) -> str:
    """A figure, or what is said in words, such as a hash."""
    if isinstance(value, str):
        return value
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4f}"


def _places(curve: Curve) -> list[tuple[str, str]]:
    """The curve's points in pixels from the upper left corner of its square."""
    return [(f"{x * SIDE:.1f}", f"{(1 - y) * SIDE:.1f}") for x, y in curve.points]
