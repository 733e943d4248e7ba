"""One static page of an evaluation: figures, curves and sheets in one HTML file that needs nothing else."""

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd

SIDE = 240  # pixels of a curve's square

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #191919; margin: 2rem auto; max-width: 70rem;
  padding: 0 1.5rem }
table { border-collapse: collapse; margin: 1rem 0 }
th, td { padding: .15rem .8rem; text-align: right; border-bottom: 1px solid #ddd }
td { font-variant-numeric: tabular-nums }
th:first-child, td:first-child { text-align: left }
figure { margin: 1.5rem 0 }
img { max-width: 100% }
figure.curve { display: inline-block; margin: 1.5rem 1rem 0 0; max-width: 15rem; vertical-align: bottom }
figcaption { color: #555 }
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Curve:
    """Points (x, y), both from 0 to 1."""

    title: str
    x: str
    y: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """What is told of one model."""

    title: str
    figures: Mapping[str, Any]
    """Numbers by name, nested; under a name that ends in `by_class` a row of them for each class.

    Under `intervals` are `low` and `high` of some of the others by their names.
    """
    curves: Sequence[Curve]
    sheets: Mapping[str, Path]
    """PNG files by their captions."""


def read_curve(title: str, table: Path, x: str, y: str) -> Curve:
    """Two columns of a CSV file."""
    rows = pd.read_csv(table)
    return Curve(title=title, x=x, y=y, points=list(zip(rows[x].tolist(), rows[y].tolist(), strict=True)))


def report_page(title: str, sections: Sequence[Section]) -> str:
    """The page; the same figures and files give the same text."""
    parts = [part for section in sections for part in _section(section)]
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style>'
    body = "\n".join([f"<h1>{escape(title)}</h1>", *parts])
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}\n</body></html>\n'


def _section(section: Section) -> Iterator[str]:
    yield f"<h2>{escape(section.title)}</h2>"
    yield _figures(section.figures)
    for name, rows in section.figures.items():
        if name.endswith("by_class"):
            yield _class_table(name, rows)
    yield from map(_curve, section.curves)
    for caption, path in section.sheets.items():
        content = base64.b64encode(path.read_bytes()).decode()
        image = f'<img alt="{escape(caption)}" src="data:image/png;base64,{content}">'
        yield f"<figure><figcaption>{escape(caption)}</figcaption>{image}</figure>"


def _figures(figures: Mapping[str, Any]) -> str:
    """A row a figure, with its interval where there is one."""
    intervals = figures.get("intervals", {})
    told = {name: f"{_number(edge['low'])} to {_number(edge['high'])}" for name, edge in intervals.items()}
    rows = ([name, _number(value), told.get(name, "")] for name, value in flat(figures))
    return _table(["", "value", "95 % interval" if told else ""], rows)


def flat(figures: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, float | str]]:
    """Numbers as `a.b.c`, without those of single classes and the intervals."""
    for name, value in figures.items():
        if isinstance(value, Mapping):
            if not name.endswith("by_class") and name != "intervals":
                yield from flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def _class_table(name: str, rows: Mapping[str, Any]) -> str:
    """A row a class of one number, or of several by name."""
    tables = {label: row if isinstance(row, Mapping) else {name: row} for label, row in rows.items()}
    columns = list(next(iter(tables.values()), {}))
    cells = ([label, *(_number(row[column]) for column in columns)] for label, row in tables.items())
    return _table(["class", *columns], cells)


def _table(head: Sequence[str], rows: Iterator[list[str]]) -> str:
    def row(cells: Sequence[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    return "\n".join(["<table>", row(head, "th"), *(row(cells, "td") for cells in rows), "</table>"])


def _number(value: float | str) -> str:
    """A figure, or what is said in words, such as a hash."""
    if isinstance(value, str):
        return value
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4f}"


def _curve(curve: Curve) -> str:
    """The points joined, over the diagonal, on a square whose sides are 0 to 1; a single one as a dot."""
    places = [(f"{x * SIDE:.1f}", f"{(1 - y) * SIDE:.1f}") for x, y in curve.points]
    points = " ".join(f"{x},{y}" for x, y in places)
    dots = [f'<circle cx="{x}" cy="{y}" r="3" fill="#0072b2"/>' for x, y in places if len(places) == 1]
    drawn = (
        f'<rect width="{SIDE}" height="{SIDE}" fill="none" stroke="#999"/>'
        f'<line x1="0" y1="{SIDE}" x2="{SIDE}" y2="0" stroke="#ccc"/>'
        f'<polyline points="{points}" fill="none" stroke="#0072b2" stroke-width="2"/>' + "".join(dots)
    )
    svg = f'<svg width="{SIDE}" height="{SIDE}" role="img">{drawn}</svg>'
    axes = f"{curve.title}: {curve.y} (up) by {curve.x} (right), both from 0 to 1"
    return f'<figure class="curve"><figcaption>{escape(axes)}</figcaption>{svg}</figure>'
