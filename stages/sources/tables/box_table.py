"""A table with a picture's path, a class and a box in each row, or with a list of classes and one of boxes.

The former has as many rows for a picture as boxes; the latter is Hugging Face's column `objects`.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stages.core.packed import Split
from stages.intake.header import size_of
from stages.sources.annotations.box_list import BoxList, Edges
from stages.sources.documents import edges, shown, wrong_name
from stages.sources.naming import PictureFolder, Wrong, annotation_files, split_named
from stages.sources.rows import Finding, Found, with_unlabelled
from stages.sources.tables.manifest import text_of
from stages.sources.tables.params import BoxColumns, BoxTableParams
from stages.sources.tables.table_file import read_table


def read_box_table(raw: Path, params: BoxTableParams, *, upright: bool) -> Found:
    """A row for each picture, in the order of their first rows; then the pictures that no row names.

    `upright`: the pictures will be turned as their EXIF says, and shares are of what comes out.

    Raises:
        DataError: No such file, no table, or a column that is missing or stands there twice.

    """
    tables = annotation_files(raw, params.file, params.pictures, params.strip_prefix)
    rows = (row for one in tables for row in _rows(one.file, one.pictures, one.split, params, upright))
    return with_unlabelled(rows, [one.pictures.folder for one in tables], "no row of the table names it")


class _TablePicture:
    """What the rows of one picture have said so far."""

    def __init__(self, where: str, name: str, path: Path, split: Split | None, group: str | None) -> None:
        self.where, self.name, self.path = where, name, path
        self.split, self.group = split, group
        self.boxes = BoxList()
        self.size: tuple[int, int] | None = None


def _rows(
    file: Path, folder: PictureFolder, split: Split | None, params: BoxTableParams, upright: bool
) -> Found:
    columns = params.columns
    table = read_table(file, params, columns.named())
    pictures: dict[str, _TablePicture] = {}
    for row, cells in table.rows:
        where = f"{file}: row {row}"
        if cells is None:
            yield Finding(kind="bad_row", where=where, what="not as many cells as columns")
            continue
        record = {name: cells[place] for name, place in table.places.items()}
        picture = _picture(where, folder, record, columns, split, pictures)
        if isinstance(picture, Wrong):
            yield Finding(kind=picture.kind, where=where, what=picture.what)
            continue
        things = _things(record, columns, row)
        if isinstance(things, str):
            picture.boxes.lost += 1
            yield Finding(kind="invalid_box", where=where, what=things)
            continue
        for place, label, cells in things:
            wrong = _add(picture, label, cells, place, params, upright)
            if wrong:
                picture.boxes.lost += 1
                yield Finding(kind="invalid_box", where=where, what=wrong)
    for one in pictures.values():
        yield one.boxes.row(f"{one.where}: {one.name}", one.path, one.split, group=one.group)


def _picture(
    where: str,
    folder: PictureFolder,
    record: Mapping[str, Any],
    columns: BoxColumns,
    split: Split | None,
    pictures: dict[str, _TablePicture],
) -> _TablePicture | Wrong:
    name = text_of(record[columns.picture])
    named = text_of(record[columns.split]) if columns.split else ""
    group = text_of(record[columns.group]) if columns.group else ""
    if named and not split_named(named):
        return Wrong("bad_row", f"split {shown(named)} is none of train, val, test")
    split = split_named(named) or split
    known = pictures.get(name)
    if known is None:
        path = folder.find(name)
        if isinstance(path, Wrong):
            return path
        known = pictures.setdefault(name, _TablePicture(where, name, path, split, group or None))
    if (known.split, known.group) != (split, group or None):
        return Wrong("bad_row", f"{shown(name)} has another split or group than in {known.where}")
    return known


def _things(
    record: Mapping[str, Any], columns: BoxColumns, row: int
) -> list[tuple[str, Any, list[Any]]] | str:
    """The place, class and box of each thing in a row, or what is wrong.

    A row has one thing, or as many as its list of classes; each list of boxes then holds one for each.
    """
    label, cells = record[columns.label], [record[name] for name in columns.box]
    if not _is_list(label):
        return [(f"row {row}", label, cells)]
    counts = [len(cell) if _is_list(cell) else 0 for cell in cells]
    if set(counts) != {len(label)}:
        return f"{columns.label} has {len(label)} and {columns.box[0]} {counts[0]}: want a box for each class"
    things = enumerate(zip(label, *cells, strict=True), start=1)
    return [(f"row {row}, box {number}", one, box) for number, (one, *box) in things]


def _is_list(cell: Any) -> bool:
    return isinstance(cell, list | tuple | np.ndarray)


def _add(
    picture: _TablePicture, stated: Any, box: list[Any], place: str, params: BoxTableParams, upright: bool
) -> str | None:
    """Append a box; what is wrong with it, or None. Without class and box none is added."""
    label = text_of(stated)
    cells = _box_cells(box)
    if not label and not any(cells):
        return None
    wrong = wrong_name(label)
    if wrong:
        return f"column '{params.columns.label}' {wrong}"
    numbers = edges(cells) if len(cells) == 4 else None
    if numbers is None:
        return f"{label}: box {shown(cells)} is not four numbers"
    if params.unit == "shares":
        # a picture that cannot be read is refused when it is decoded
        picture.size = picture.size or size_of(picture.path, upright=upright) or (1, 1)
        numbers = [edge * side for edge, side in zip(numbers, picture.size * 2, strict=True)]
    picture.boxes.add(label, place, _corners(numbers, params.box_as))
    return None


def _box_cells(cells: Sequence[Any]) -> list[Any]:
    """Four cells, or the numbers in a single one."""
    if len(cells) == 4:
        return [text_of(cell) for cell in cells]
    if _is_list(cells[0]):
        return [one.item() if isinstance(one, np.generic) else one for one in cells[0]]
    return re.split(r"[\s,;]+", text_of(cells[0]).strip("[](){} "))


def _corners(numbers: Sequence[float], box_as: str) -> Edges:
    a, b, c, d = numbers
    if box_as == "corner-and-size":
        return a, b, a + c, b + d
    if box_as == "centre-and-size":
        return a - c / 2, b - d / 2, a + c / 2, b + d / 2
    return a, b, c, d
