"""Tables as rows of cells: CSV with any usual separator, lines of JSON, Parquet."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stages.core.errors import DataError
from stages.sources.documents import parse_json, read_text
from stages.sources.rows import existing_file
from stages.sources.tables.params import TableParams

SEPARATORS = ",;\t|"


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """A table's rows, read once."""

    places: dict[str, int]
    """The place of each wanted column among a row's cells."""
    rows: Iterator[tuple[int, Sequence[Any] | None]]
    """The number of each row and its cells; None: there are more or fewer than columns."""


def read_table(file: Path, params: TableParams, wanted: Sequence[str]) -> Table:
    """Open a table of these columns, which may be written with other capitals and spaces beside them.

    Raises:
        DataError: No such file, no table, or one of the columns is missing or stands there twice.

    """
    existing_file(file)
    if params.format == "parquet":
        return _parquet(file, wanted)
    if params.format == "jsonl":
        return _json_lines(file, wanted)
    return _csv(file, params, wanted)


def _places(file: Path, columns: Sequence[str], wanted: Sequence[str]) -> dict[str, int]:
    """Where the wanted columns stand among all.

    Raises:
        DataError: One is missing, or stands there twice.

    """
    places = {}
    for name in wanted:
        found = [place for place, column in enumerate(columns) if column == name]
        plain = name.strip().casefold()
        found = found or [place for place, column in enumerate(columns) if column.strip().casefold() == plain]
        if not found:
            raise DataError(f"{file}: no column '{name}' among {', '.join(columns)[:500]}")
        if len(found) > 1:
            first, second = (place + 1 for place in found[:2])
            raise DataError(f"{file}: columns {first} and {second} are both called '{name}'; rename one")
        places[name] = found[0]
    return places


def _csv(file: Path, params: TableParams, wanted: Sequence[str]) -> Table:
    try:
        separator, columns = _head(file, params, wanted)
    except UnicodeError as error:
        raise _not_text(file, params, error) from None
    if not any(column.strip() for column in columns):
        raise DataError(f"{file}: its first line names no columns")
    if any("\0" in column for column in columns):
        raise DataError(
            f"{file}: no plain text, but as a spreadsheet's own file or UTF-16 is: save it as CSV, or "
            "let `encoding` beside `file` name another, such as utf-16-le"
        )
    places = _places(file, columns, wanted)
    return Table(places=places, rows=_csv_rows(file, params, separator, len(columns)))


def _head(file: Path, params: TableParams, wanted: Sequence[str]) -> tuple[str, list[str]]:
    """The separator, and the names of the columns: those among which the wanted ones are, or the most."""
    with _opened(file, params) as lines:
        stated = _stated_separator(lines)
    best: tuple[str, list[str]] = (",", [])
    for separator in stated or params.separator or SEPARATORS:
        with _opened(file, params) as lines:
            _stated_separator(lines)
            try:
                cells = next(filter(None, csv.reader(lines, delimiter=separator)), [])
            except csv.Error:
                continue
        if _fits(cells, params.header, wanted):
            return separator, params.header or cells
        best = max(best, (separator, cells), key=lambda one: len(one[1]))
    return best[0], params.header or best[1]


def _stated_separator(lines: io.TextIOWrapper) -> str:
    """The separator that a first line such as `sep=;` states, which is read; else nothing."""
    first = lines.readline(16).strip().strip('"')
    if not first.lower().startswith("sep="):
        lines.seek(0)
        return ""
    return first[4:5] or ","


def _fits(cells: list[str], header: list[str] | None, wanted: Sequence[str]) -> bool:
    if header is not None:
        return len(cells) == len(header)
    names = {cell.strip().casefold() for cell in cells}
    return all(name.strip().casefold() in names for name in wanted)


def _opened(file: Path, params: TableParams) -> io.TextIOWrapper:
    with file.open("rb") as content:
        marked = content.read(2) in (b"\xff\xfe", b"\xfe\xff")
    return file.open(encoding=params.encoding or ("utf-16" if marked else "utf-8-sig"), newline="")


def _csv_rows(
    file: Path, params: TableParams, separator: str, width: int
) -> Iterator[tuple[int, Sequence[Any] | None]]:
    """Rows with the number of the line that each begins with."""
    with _opened(file, params) as lines:
        above = 1 if _stated_separator(lines) else 0
        table = csv.reader(lines, delimiter=separator, strict=True)
        named, begun = params.header is not None, above
        try:
            for cells in table:
                if cells and named:
                    yield begun + 1, cells if len(cells) == width else None
                named = named or bool(cells)
                begun = above + table.line_num
        except csv.Error:
            raise DataError(
                f"{file}: row {begun + 1}: no CSV: a quotation mark out of place, or a cell without end"
            ) from None
        except UnicodeError as error:
            raise _not_text(file, params, error) from None


def _not_text(file: Path, params: TableParams, error: UnicodeError) -> DataError:
    """Read the file as a whole to find the place of the fault, which is not known otherwise."""
    try:
        read_text(file, params.encoding)
    except DataError as fault:
        return DataError(f"{fault}, or let `encoding` beside `file` name another, such as latin-1")
    return DataError(f"{file}: no text in {getattr(error, 'encoding', 'UTF-8')}")


def _json_lines(file: Path, wanted: Sequence[str]) -> Table:
    """An object a line."""
    return Table(
        places={name: place for place, name in enumerate(wanted)},
        rows=_json_rows(file, wanted),
    )


def _json_rows(file: Path, wanted: Sequence[str]) -> Iterator[tuple[int, Sequence[Any] | None]]:
    lines = enumerate(read_text(file).split("\n"), start=1)
    records = ((row, parse_json(line, f"{file}: row {row}")) for row, line in lines if line.strip())
    return _record_rows(file, records, wanted)


def _record_rows(
    file: Path, records: Iterable[tuple[int, Any]], wanted: Sequence[str]
) -> Iterator[tuple[int, Sequence[Any] | None]]:
    """The wanted cells of each record; None for what is none."""
    missing = set(wanted)
    for row, record in records:
        if not isinstance(record, dict):
            yield row, None
            continue
        cells = []
        for name in wanted:
            try:
                cells.append(within(record, name))
                missing.discard(name)
            except KeyError:
                cells.append(None)
        yield row, cells
    if missing:
        raise DataError(f"{file}: no object has {', '.join(sorted(missing))}")


def within(record: Mapping[str, Any], name: str) -> Any:
    """The value of a key; with a dot, `objects.bbox`, that of a key within that of another.

    Where the outer value is a list of objects, it is the list of their values, None where one has none.

    Raises:
        KeyError: There is no such key.

    """
    outer, dot, inner = name.partition(".")
    if name in record or not dot:
        return record[name]
    value = record[outer]
    if value is None:
        return None
    if isinstance(value, dict):
        return within(value, inner)
    if not isinstance(value, list | tuple | np.ndarray):
        raise KeyError(name)
    found = [within({inner: None, **one}, inner) if isinstance(one, dict) else None for one in value]
    if len(value) and not any(isinstance(one, dict) and inner.partition(".")[0] in one for one in value):
        raise KeyError(name)
    return found


def _parquet(file: Path, wanted: Sequence[str]) -> Table:
    import pandas as pd  # 35 MB, which the other formats do without

    try:
        table = pd.read_parquet(file)
    except ImportError:
        raise DataError(f"{file}: Parquet is read by pyarrow: `pip install pyarrow`, or save CSV") from None
    except (ValueError, OSError):
        raise DataError(f"{file}: no Parquet, or a damaged one") from None
    columns = [str(column) for column in table.columns]
    rows = enumerate(table.itertuples(index=False, name=None))
    if not any("." in name and name not in columns for name in wanted):
        return Table(places=_places(file, columns, wanted), rows=rows)
    records = ((row, dict(zip(columns, cells, strict=True))) for row, cells in rows)
    return Table(
        places={name: place for place, name in enumerate(wanted)}, rows=_record_rows(file, records, wanted)
    )
