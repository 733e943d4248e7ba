"""A table with a picture's path and its class in each row."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages.core.packed import Split
from stages.sources.documents import number, shown, wrong_name
from stages.sources.naming import PictureFolder, Wrong, annotation_files, split_named
from stages.sources.rows import Finding, FindingKind, Found, Row, with_unlabelled
from stages.sources.tables.params import Columns, ManifestParams
from stages.sources.tables.table_file import read_table

UNKNOWN = frozenset({"", "nan", "na", "n/a", "null", "none"})
"""What stands, in any case, in a cell of an attribute that is unknown."""


def read_manifest(raw: Path, params: ManifestParams) -> Found:
    """A row for each row of the table, in its order; then the pictures that it does not name.

    Raises:
        DataError: no such file, no table, or a column that is missing or stands there twice.

    """
    tables = annotation_files(raw, params.file, params.pictures, params.strip_prefix)
    rows = (row for one in tables for row in _rows(one.file, one.pictures, one.split, params))
    return with_unlabelled(rows, [one.pictures.folder for one in tables], "no row of the table names it")


def _rows(file: Path, folder: PictureFolder, split: Split | None, params: ManifestParams) -> Found:
    table = read_table(file, params, params.columns.named())
    for row, cells in table.rows:
        where = f"{file}: row {row}"
        if cells is None:
            yield Finding(kind="bad_row", where=where, what="not as many cells as columns")
        else:
            record = {name: cells[place] for name, place in table.places.items()}
            yield _row(where, folder, record, params.columns, split)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Cells:
    """What a row of the table says, before it is believed."""

    columns: Columns
    picture: str
    label: str
    split: str
    group: str
    caption: str | None
    """None: the table has no such column."""
    attributes: Mapping[str, str]


def _cells(record: Mapping[str, Any], columns: Columns) -> _Cells:
    names = columns.model_dump(exclude={"attributes"})
    texts = {key: text_of(record[name]) for key, name in names.items() if name is not None}
    return _Cells(
        columns=columns,
        picture=texts["picture"],
        label=texts["label"],
        split=texts.get("split", ""),
        group=texts.get("group", ""),
        caption=texts.get("caption"),
        attributes={name: text_of(record[name]) for name in columns.attributes},
    )


def _row(
    where: str, folder: PictureFolder, record: Mapping[str, Any], columns: Columns, split: Split | None
) -> Row | Finding:
    cells = _cells(record, columns)
    for kind, what_is_wrong in CHECKS:
        if (what := what_is_wrong(cells)) is not None:
            return Finding(kind=kind, where=where, what=what)
    picture = folder.find(cells.picture)
    if isinstance(picture, Wrong):
        return Finding(kind=picture.kind, where=where, what=picture.what)
    return Row(
        where=f"{where}: {cells.picture}",
        picture=picture,
        labels=(cells.label,),
        split=split_named(cells.split) or split,
        group=cells.group or None,
        caption=cells.caption,
        attributes={name: _attribute(text) for name, text in cells.attributes.items()},
    )


def _empty_column(cells: _Cells) -> str | None:
    for name, text in ((cells.columns.picture, cells.picture), (cells.columns.label, cells.label)):
        wrong = wrong_name(text)
        if wrong:
            return f"column '{name}' {wrong}"
    return None


def _unwritable(cells: _Cells) -> str | None:
    for text in (cells.group, cells.caption):
        if text and any("\ud800" <= character <= "\udfff" for character in text):
            return f"{shown(text)} has characters that no text can have"
    return None


def _unknown_split(cells: _Cells) -> str | None:
    known = not cells.split or split_named(cells.split)
    return None if known else f"split {shown(cells.split)} is none of train, val, test"


def _wrong_attribute(cells: _Cells) -> str | None:
    for name, text in cells.attributes.items():
        if text.lower() not in UNKNOWN and number(text) is None:
            hint = "; write 2.5, not 2,5" if "," in text else ""
            return f"an attribute is no number: column '{name}' has {shown(text)}{hint}"
    return None


CHECKS: tuple[tuple[FindingKind, Callable[[_Cells], str | None]], ...] = (
    ("bad_row", _empty_column),
    ("bad_row", _unwritable),
    ("bad_row", _unknown_split),
    ("bad_row", _wrong_attribute),
)
"""What is looked for in each row, in this order: the finding's kind, and what says what is wrong."""


def _attribute(text: str) -> float:
    """A cell of an attribute; NaN, which is unknown, where it is empty."""
    stated = number(text)
    return float("nan") if stated is None else stated


def text_of(value: Any) -> str:
    """A cell as text; empty where it holds nothing."""
    missing = value is None or (isinstance(value, float) and value != value)  # NaN differs from itself
    return "" if missing else str(value).strip()
