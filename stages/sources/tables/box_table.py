"""A table with a picture's path, a class and a box in each row; a picture has as many rows as boxes."""

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
        DataError: no such file, no table, or a column that is missing or stands there twice.

    """
    tables = annotation_files(raw, params.file, params.pictures, params.strip_prefix)
    rows = (row for one in tables for row in _rows(one.file, one.pictures, one.split, params, upright))
    return with_unlabelled(rows, [one.pictures.folder for one in tables], "no row of the table names it")


class _Picture:
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
    pictures: dict[str, _Picture] = {}
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
        wrong = _add(picture, record, f"row {row}", params, upright)
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
    pictures: dict[str, _Picture],
) -> _Picture | Wrong:
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
        known = pictures.setdefault(name, _Picture(where, name, path, split, group or None))
    if (known.split, known.group) != (split, group or None):
        return Wrong("bad_row", f"{shown(name)} has another split or group than in {known.where}")
    return known


def _add(
    picture: _Picture, record: Mapping[str, Any], place: str, params: BoxTableParams, upright: bool
) -> str | None:
    """Append a row's box; what is wrong with it, or None. A row without class and box adds none."""
    label = text_of(record[params.columns.label])
    cells = _box_cells([record[name] for name in params.columns.box])
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
    if isinstance(cells[0], list | tuple | np.ndarray):
        return [one.item() if isinstance(one, np.generic) else one for one in cells[0]]
    return re.split(r"[\s,;]+", text_of(cells[0]).strip("[](){} "))


def _corners(numbers: Sequence[float], box_as: str) -> Edges:
    a, b, c, d = numbers
    if box_as == "corner-and-size":
        return a, b, a + c, b + d
    if box_as == "centre-and-size":
        return a - c / 2, b - d / 2, a + c / 2, b + d / 2
    return a, b, c, d
