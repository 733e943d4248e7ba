"""A table with a picture's path and its class in each row: CSV or Parquet."""

import csv
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from stages.core.errors import DataError
from stages.core.packed import SPLITS
from stages.core.params import StageParams
from stages.sources.params import PictureParams
from stages.sources.rows import Finding, FindingKind, Found, Row, existing_file, unsafe, with_unlabelled


class Columns(StageParams):
    """Names of the table's columns; null where it has none such."""

    picture: str
    """Path below `pictures`."""
    label: str
    """Name of the class."""
    split: str | None
    """train, val, test, or empty: to be decided."""
    group: str | None
    """What must stay in one split."""
    caption: str | None
    """What is to be seen, in words: train-gan learns to draw by it."""
    attributes: list[str]
    """Numbers that train-gan may learn to draw by; an empty cell is unknown."""


class ManifestParams(PictureParams):
    """`format: csv` or `format: parquet`."""

    format: Literal["csv", "parquet"]

    file: str
    """Below the raw folder."""

    pictures: str
    """The folder that the table's paths start from, below the raw folder."""

    columns: Columns


def read_manifest(raw: Path, params: ManifestParams) -> Found:
    """A row for each row of the table, in its order; then the pictures that it does not name.

    Raises:
        DataError: no such file, no table, or a column that is missing.

    """
    file, folder = existing_file(raw / params.file), raw / params.pictures
    records = _csv(file) if params.format == "csv" else _parquet(file)
    rows = (_row(f"{file}: row {number}", folder, record, params.columns) for number, record in records)
    return with_unlabelled(rows, folder, f"{file} does not name it")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Cells:
    """What a row of the table says, before it is believed."""

    columns: Columns
    folder: Path
    """The folder that paths of pictures start from."""
    picture: str
    label: str
    split: str
    group: str
    caption: str | None
    """None: the table has no such column."""
    attributes: Mapping[str, str]


def _cells(table: str, folder: Path, record: Mapping[str, Any], columns: Columns) -> _Cells:
    """The cells of a row that the params name a column for.

    Raises:
        DataError: the table lacks a column.

    """
    names = columns.model_dump(exclude={"attributes"})
    for name in (*names.values(), *columns.attributes):
        if name is not None and name not in record:
            raise DataError(f"{table}: no column '{name}' among {', '.join(map(str, record))}")
    texts = {key: _text(record[name]) for key, name in names.items() if name is not None}
    return _Cells(
        columns=columns,
        folder=folder,
        picture=texts["picture"],
        label=texts["label"],
        split=texts.get("split", ""),
        group=texts.get("group", ""),
        caption=texts.get("caption"),
        attributes={name: _text(record[name]) for name in columns.attributes},
    )


def _row(where: str, folder: Path, record: Mapping[str, Any] | None, columns: Columns) -> Row | Finding:
    if record is None:
        return Finding(kind="bad_row", where=where, what="not as many cells as columns")
    cells = _cells(where.rpartition(": row")[0], folder, record, columns)
    for kind, what_is_wrong in CHECKS:
        if (what := what_is_wrong(cells)) is not None:
            return Finding(kind=kind, where=where, what=what)
    return Row(
        where=f"{where}: {cells.picture}",
        picture=folder / cells.picture,
        labels=(cells.label,),
        split=next((split for split in SPLITS if split == cells.split), None),
        group=cells.group or None,
        caption=cells.caption,
        attributes={name: _number(text) for name, text in cells.attributes.items()},
    )


def _empty_column(cells: _Cells) -> str | None:
    for name, text in ((cells.columns.picture, cells.picture), (cells.columns.label, cells.label)):
        if not text:
            return f"column '{name}' is empty"
    return None


def _way_out(cells: _Cells) -> str | None:
    return f"leads out of {cells.folder}: {cells.picture!r}" if unsafe(cells.picture) else None


def _unknown_split(cells: _Cells) -> str | None:
    known = not cells.split or cells.split in SPLITS
    return None if known else f"split {cells.split!r} is none of {', '.join(SPLITS)}"


def _wrong_attribute(cells: _Cells) -> str | None:
    try:
        for text in cells.attributes.values():
            _number(text)
    except ValueError as error:
        return f"an attribute is no number: {error}"
    return None


CHECKS: tuple[tuple[FindingKind, Callable[[_Cells], str | None]], ...] = (
    ("bad_row", _empty_column),
    ("path_traversal", _way_out),
    ("bad_row", _unknown_split),
    ("bad_row", _wrong_attribute),
)
"""What is looked for in each row, in this order: the finding's kind, and what says what is wrong."""


def _number(text: str) -> float:
    """A cell of an attribute; NaN, which is unknown, where it is empty."""
    return float(text or "nan")


def _text(value: Any) -> str:
    missing = value is None or value != value  # NaN, which differs from itself
    return "" if missing else str(value).strip()


def _csv(file: Path) -> Iterator[tuple[int, Mapping[str, Any] | None]]:
    """Rows with the number of their line; None for one with too many or too few cells."""
    with file.open(encoding="utf-8-sig", newline="") as lines:
        table = csv.DictReader(lines, strict=True)
        try:
            for record in table:
                whole = None not in record and None not in record.values()
                yield table.line_num, record if whole else None
        except (csv.Error, UnicodeDecodeError) as error:
            raise DataError(f"{file}: row {table.line_num + 1}: no CSV in UTF-8 ({error})") from None


def _parquet(file: Path) -> Iterator[tuple[int, Mapping[str, Any] | None]]:
    import pandas as pd  # 35 MB, which the other formats do without

    try:
        table = pd.read_parquet(file)
    except ImportError:
        raise DataError(f"{file}: Parquet is read by pyarrow: `pip install pyarrow`, or save CSV") from None
    except (ValueError, OSError) as error:
        raise DataError(f"{file}: no Parquet ({' '.join(str(error).split())})") from None
    names = list(table.columns)
    for number, record in enumerate(table.itertuples(index=False, name=None)):
        yield number, dict(zip(names, record, strict=True))
