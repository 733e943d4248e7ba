"""Figures and differences on a terminal, wide or narrow."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from darkroom.base.text import format_count, format_figure, format_json
from darkroom.repository.recorded.revisions import WORKSPACE, FileKind, Recorded, RecordedFile
from darkroom.results.comparison import (
    Comparison,
    Datum,
    Figure,
    ParameterChange,
    Standing,
    by_group,
    main_figures,
)
from darkroom.results.intervals import Interval
from darkroom.runs.ended import PICTURE_SUFFIXES
from darkroom.show.terminal import escaped_text, write_line

NARROW = 100
"""Columns of a terminal below which the change, its interval and the standing share a column."""
TIGHT = 80
"""Columns below which the earlier value is left out: the change tells it."""
A_REVISION = 18
"""Columns for the figure of a revision and whether it is better."""
VERDICT = "verdict"
"""The title of the column that says which of two figures is better."""
UNTOLD = (Standing.SAME, Standing.CHANGED, Standing.UNCLEAR)
STYLES = {Standing.BETTER: "green", Standing.WORSE: "red", Standing.SAME: "dim", Standing.UNCLEAR: "dim"}
KINDS = {
    FileKind.DATA: "Data",
    FileKind.READ: "Code and files that stages read",
    FileKind.MADE: "What stages made",
}
SHOWN_MADE = 5


def print_metrics(console: Console, comparisons: Sequence[Comparison], *, every: bool, columns: bool) -> None:
    """Figures and how they stand to those of the first revision. `columns`: one for each revision."""
    if columns:
        _print_revisions(console, comparisons, every=every)
        return
    (one,) = comparisons
    figures = list(one.figures if every else main_figures(one.figures))
    same = all(figure.standing is Standing.SAME for figure in one.figures)
    title = "" if one.then is one.now else f"{', the same as' if same else ', against'} {describe(one.then)}"
    write_line(console, f"{describe(one.now)}{title}", "bold")
    header = ("metric", "value", "interval") if same else ("metric", "value", "interval", "change", VERDICT)
    table = _table(header if not _is_narrow(console) else [name for name in header if name != VERDICT])
    for group, rows in _grouped(figures):
        table.add_row(_heading(group))
        for figure in rows:
            table.add_row(*_metric_row(figure, alone=same, narrow=_is_narrow(console)))
    console.print(table)
    _print_rest(console, len(one.figures) - len(figures))


def print_comparison(console: Console, one: Comparison, *, every: bool) -> None:
    """What differs: metrics, parameters, data and code."""
    write_line(console, f"{describe(one.then)} -> {describe(one.now)}", "bold")
    changed = [figure for figure in one.figures if figure.standing is not Standing.SAME]
    shown = changed if every else list(main_figures(one.figures, changed=True))
    _print_differences(console, shown)
    if not one.figures:
        write_line(console, "no metrics at either revision")
    elif not changed:
        write_line(console, f"no metric differs ({len(one.figures)} compared)")
    else:
        _print_rest(console, len(changed) - len(shown))
    _print_params(console, one.params)
    for kind in FileKind:
        _print_files(console, kind, [file for file in one.files if file.kind is kind], every=every)
    _print_hint_of_pictures(console, one)


def _print_hint_of_pictures(console: Console, one: Comparison) -> None:
    """How to see pictures that differ, where a stage has made some."""
    made = (Path(file.path).suffix.lower() for file in one.files if file.kind is FileKind.MADE)
    if any(suffix in (*PICTURE_SUFFIXES, "") for suffix in made):
        console.print()
        write_line(console, "Pictures side by side: --out diff.html", "dim")


def describe(recorded: Recorded) -> str:
    """A revision in words: its name, hash, and first line."""
    if recorded.commit is None:
        return WORKSPACE
    short = recorded.commit[:7]
    name = short if recorded.commit.startswith(recorded.name) else f"{recorded.name} ({short})"
    return f"{name} {recorded.subject}".rstrip()


def format_interval(interval: Interval | None, sign: str = "") -> str:
    """`0.9346 to 0.9434`; empty where there is none."""
    if interval is None:
        return ""
    if sign:
        return f"{interval.low:+.3g} to {interval.high:+.3g}"
    return f"{format_figure(interval.low)} to {format_figure(interval.high)}"


def describe_file(file: RecordedFile | None) -> str:
    """`f4e1a6b, 7 files, 544.3 MB`; `-` where there is none."""
    if file is None:
        return "-"
    parts = [file.hash[:7]]
    if file.files is not None:
        parts.append(format_count(file.files, "file"))
    if file.size is not None:
        parts.append(decimal(file.size))
    return ", ".join(parts)


def group_title(group: tuple[str, str]) -> str:
    """`evaluate: classifier`."""
    return ": ".join(filter(None, group))


def _grouped(figures: Iterable[Figure]) -> Iterator[tuple[str, list[Figure]]]:
    return ((group_title(group), rows) for group, rows in by_group(figures).items())


def _is_narrow(console: Console) -> bool:
    return console.width < NARROW


def _table(header: Iterable[str]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    for at, name in enumerate(header):
        table.add_column(
            name,
            overflow="fold",
            justify="right" if name in ("then", "now") else "left",
            no_wrap=at > 0 and name != VERDICT,
        )
    return table


def _heading(text: str) -> Text:
    return escaped_text(text, "bold")


def _name(figure: Figure) -> Text:
    return escaped_text(f"  {figure.short_name}")


def _standing(figure: Figure) -> Text:
    return Text(figure.standing.value, STYLES.get(figure.standing, ""))


def _metric_row(figure: Figure, *, alone: bool, narrow: bool) -> list[Text]:
    value, interval = escaped_text(format_figure(figure.now)), Text(format_interval(figure.interval))
    if alone:
        return [_name(figure), value, interval]
    if narrow:
        return [
            _name(figure),
            value,
            interval,
            Text("\n").join(filter(None, (Text(figure.difference), _standing(figure)))),
        ]
    return [_name(figure), value, interval, Text(figure.difference), _standing(figure)]


def _print_differences(console: Console, figures: Sequence[Figure]) -> None:
    if not figures:
        return
    narrow, tight = _is_narrow(console), console.width < TIGHT
    header = (
        "metric",
        *(() if tight else ("then",)),
        "now",
        "change",
        *(() if narrow else ("interval", VERDICT)),
    )
    table = _table(header)
    for group, rows in _grouped(figures):
        table.add_row(_heading(group))
        for figure in rows:
            values = (figure.now,) if tight else (figure.then, figure.now)
            cells = [_name(figure), *(escaped_text(format_figure(value)) for value in values)]
            change, interval = Text(figure.difference), Text(format_interval(figure.change, "+"))
            if narrow:
                lines = [Text(" ").join(filter(None, (change, _standing(figure)))), interval]
                table.add_row(*cells, Text("\n").join(filter(None, lines)))
            else:
                table.add_row(*cells, change, interval, _standing(figure))
    console.print(table)


def _print_rest(console: Console, number: int) -> None:
    if number > 0:
        write_line(console, f"{format_count(number, 'figure')} more: --all", "dim")


def _print_revisions(console: Console, comparisons: Sequence[Comparison], *, every: bool) -> None:
    """A column a revision; better and worse are said against the first."""
    revisions = [comparisons[0].then, *(one.now for one in comparisons)]
    for recorded in revisions:
        write_line(console, describe(recorded), "bold")
    shown: dict[tuple[str, str], Figure] = {}
    for one in comparisons:
        for figure in one.figures if every else main_figures(one.figures):
            shown.setdefault((figure.file, figure.name), figure)
    columns = [{(figure.file, figure.name): figure for figure in one.figures} for one in comparisons]
    names = [_short(recorded) for recorded in revisions]
    stacked = console.width < 2 * A_REVISION + sum(max(A_REVISION, len(name)) for name in names)
    table = _table(("metric", "value") if stacked else ("metric", *names))
    for group, rows in _grouped(shown.values()):
        table.add_row(_heading(group))
        for first in rows:
            found = [column.get((first.file, first.name)) for column in columns]
            then = next((figure.then for figure in found if figure), None)
            values = [escaped_text(format_figure(then)), *map(_value, found)]
            if stacked:
                table.add_row(_name(first))
                for name, value in zip(names, values, strict=True):
                    table.add_row(escaped_text(f"    {name}", "dim"), value)
            else:
                table.add_row(_name(first), *values)
    console.print(table)
    total = len({(figure.file, figure.name) for one in comparisons for figure in one.figures})
    _print_rest(console, total - len(shown))


def _short(recorded: Recorded) -> str:
    is_hash = recorded.commit is not None and recorded.commit.startswith(recorded.name)
    return recorded.name[:7] if is_hash else recorded.name


def _value(figure: Figure | None) -> Text:
    if figure is None:
        return Text()
    word = "" if figure.standing in UNTOLD else figure.standing.value
    return escaped_text(f"{format_figure(figure.now)} {word}".rstrip(), STYLES.get(figure.standing, ""))


def _print_params(console: Console, params: Sequence[ParameterChange]) -> None:
    if not params:
        return
    console.print()
    write_line(console, f"Parameters that differ: {len(params)}", "bold")
    table = _table(("parameter", "before", "after"))
    for column in table.columns:
        column.no_wrap = False
    files = {one.file for one in params}
    for one in params:
        name = one.name if len(files) == 1 else f"{one.file}:{one.name}"
        table.add_row(*(escaped_text(text) for text in (f"  {name}", _json(one.then), _json(one.now))))
    console.print(table)


def _json(value: object) -> str:
    return "-" if value is None else format_json(value)


def _print_files(console: Console, kind: FileKind, files: Sequence[Datum], *, every: bool) -> None:
    if not files:
        return
    console.print()
    write_line(console, f"{KINDS[kind]}, different: {len(files)}", "bold")
    shown = files if every or kind is not FileKind.MADE else files[:SHOWN_MADE]
    for one in shown:
        write_line(console, f"  {one.path}: {describe_file(one.then)} -> {describe_file(one.now)}")
    _print_rest_of_files(console, len(files) - len(shown))


def _print_rest_of_files(console: Console, number: int) -> None:
    if number > 0:
        write_line(console, f"  and {number} more: --all", "dim")
