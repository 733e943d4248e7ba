"""A table with a picture's path in each row, its class, its attributes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stages.core.errors import DataError
from stages.core.packed import Split
from stages.sources.documents import number, shown, wrong_name
from stages.sources.naming import AnnotationFile, PictureFolder, Wrong, annotation_files, split_named
from stages.sources.rows import Finding, FindingKind, Found, Row, with_unlabelled
from stages.sources.tables.params import Columns, ManifestParams
from stages.sources.tables.table_file import read_table

UNKNOWN = frozenset({"", "nan", "na", "n/a", "null", "none"})
"""What stands, in any case, in a cell of an attribute that is unknown."""
LABELS_MOST = 1000
"""Different labels of a column of lists: more of them are texts, or lists with another sign."""


def read_manifest(raw: Path, params: ManifestParams) -> Found:
    """A row for each row of the table, in its order; then the pictures that it does not name.

    Raises:
        DataError: No such file, no table, a column that is missing or stands there twice, or one of lists
            whose labels are too many or called as another attribute.

    """
    tables = annotation_files(raw, params.file, params.pictures, params.strip_prefix)
    listed = _listed(tables, params)
    rows = (row for one in tables for row in _rows(one.file, one.pictures, one.split, params, listed))
    return with_unlabelled(rows, [one.pictures.folder for one in tables], "no row of the table names it")


Listed = Mapping[str, Sequence[str]]
"""All labels that stand in a column of lists, in order, by the column's name."""


def _listed(tables: Sequence[AnnotationFile], params: ManifestParams) -> Listed:
    """The labels of the columns of lists, of all tables: a picture has each of them or not."""
    signs = params.columns.label_lists
    if not signs:
        return {}
    labels: dict[str, set[str]] = {name: set() for name in signs}
    for one in tables:
        table = read_table(one.file, params, list(signs))
        for _, cells in table.rows:
            if cells is None:
                continue
            for name, sign in signs.items():
                labels[name].update(labels_in(cells[table.places[name]], sign) or ())
                if len(labels[name]) > LABELS_MOST:
                    raise DataError(
                        f"{one.file}: column '{name}' has more than {LABELS_MOST} different labels: name the "
                        "sign between them in columns.label_lists, or leave the column out"
                    )
    owner = dict.fromkeys(params.columns.attributes, "attributes")
    for name, ones in labels.items():
        for label in sorted(ones):
            if (other := owner.setdefault(label, f"label_lists.{name}")) != f"label_lists.{name}":
                raise DataError(
                    f"{tables[0].file}: column '{name}' has the label {shown(label)}, as columns.{other} has "
                    "too: as attributes they need different names; rename one"
                )
    return {name: sorted(ones) for name, ones in labels.items()}


def labels_in(cell: Any, sign: str | None) -> list[str] | None:
    """The labels in a cell, which is a list or a text with a sign between them; None: it is empty."""
    if isinstance(cell, list | tuple | np.ndarray):
        texts = [text_of(one) for one in cell]
    else:
        text = text_of(cell)
        if not text:
            return None
        texts = text.split(sign) if sign else [text]
    return [text.strip() for text in texts if text.strip()]


def _rows(
    file: Path, folder: PictureFolder, split: Split | None, params: ManifestParams, listed: Listed
) -> Found:
    table = read_table(file, params, params.columns.named())
    for row, cells in table.rows:
        where = f"{file}: row {row}"
        if cells is None:
            yield Finding(kind="bad_row", where=where, what="not as many cells as columns")
        else:
            record = {name: cells[place] for name, place in table.places.items()}
            yield _row(where, folder, record, params.columns, split, listed)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Cells:
    """What a row of the table says, before it is believed."""

    columns: Columns
    picture: str
    label: str
    split: str
    group: str
    caption: str | None
    """The cell of the captions' column; None: the table has no such column."""
    attributes: Mapping[str, str]
    lists: Mapping[str, Sequence[str] | None]
    """Labels by the column of lists; None: the cell is empty."""

    @property
    def tells_attributes(self) -> bool:
        """Whether an attribute is known."""
        return any(text.lower() not in UNKNOWN for text in self.attributes.values()) or any(
            labels is not None for labels in self.lists.values()
        )


def _cells(record: Mapping[str, Any], columns: Columns) -> _Cells:
    texts = {key: text_of(record[name]) for key, name in columns.plain().items()}
    return _Cells(
        columns=columns,
        picture=texts["picture"],
        label=texts.get("label", ""),
        split=texts.get("split", ""),
        group=texts.get("group", ""),
        caption=texts.get("caption"),
        attributes={name: text_of(record[name]) for name in columns.attributes},
        lists={name: labels_in(record[name], sign) for name, sign in columns.label_lists.items()},
    )


def _row(
    where: str,
    folder: PictureFolder,
    record: Mapping[str, Any],
    columns: Columns,
    split: Split | None,
    listed: Listed,
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
        labels=(cells.label,) if cells.label else (),
        split=split_named(cells.split) or split,
        group=cells.group or None,
        caption=cells.caption,
        attributes={name: _attribute(text) for name, text in cells.attributes.items()}
        | _of_lists(cells.lists, listed),
    )


def _of_lists(lists: Mapping[str, Sequence[str] | None], listed: Listed) -> dict[str, float]:
    """1 for each label that its column has, 0 for one that it has not, NaN where the cell is empty."""
    return {
        label: float("nan") if (found := lists[name]) is None else float(label in found)
        for name, labels in listed.items()
        for label in labels
    }


def _empty_column(cells: _Cells) -> str | None:
    """A picture has a class, an attribute that is known, or both."""
    needed = {cells.columns.picture: cells.picture}
    if cells.columns.label is not None and (cells.label or not cells.tells_attributes):
        needed[cells.columns.label] = cells.label
    for name, text in needed.items():
        if wrong := wrong_name(text):
            return f"column '{name}' {wrong}"
    if cells.columns.label is None and not cells.tells_attributes:
        return "no attribute is known"
    return None


def _wrong_label(cells: _Cells) -> str | None:
    for name, labels in cells.lists.items():
        for label in labels or ():
            if wrong := wrong_name(label):
                return f"column '{name}': a label {wrong}"
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
    ("bad_row", _wrong_label),
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
