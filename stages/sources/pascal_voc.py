"""Pascal VOC: an XML file a picture in Annotations, pictures in JPEGImages, splits in ImageSets/Main.

Everingham et al. 2010, "The Pascal Visual Object Classes (VOC) Challenge".
"""

import math
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np

from stages.core.errors import DataError
from stages.core.packed import SPLITS, Split
from stages.sources.params import PictureParams
from stages.sources.rows import (
    Finding,
    Found,
    Row,
    existing_folder,
    files_below,
    is_picture,
    read_text,
    unsafe,
)

EDGES = ("xmin", "ymin", "xmax", "ymax")


class PascalVocParams(PictureParams):
    """`format: pascal-voc`."""

    format: Literal["pascal-voc"]

    folder: str
    """Below the raw folder; it holds Annotations and JPEGImages."""

    first_pixel: Literal[0, 1]
    """Number of the leftmost and topmost pixel: 1 in the original, where a box ends with its last pixel."""


class _Builder(ET.TreeBuilder):
    """Refuses document types: entities that unfold without end, or that read other files, start there."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise DataError(f"a document type ({name}, {pubid}, {system}) has no place in an annotation")


def read_pascal_voc(raw: Path, params: PascalVocParams) -> Found:
    """A row for each annotation, in order of their names; then the pictures that have none.

    Raises:
        DataError: a folder is missing, or a picture stands in two splits' lists.

    """
    folder = raw / params.folder
    annotations, pictures = (existing_folder(folder / name) for name in ("Annotations", "JPEGImages"))
    splits = _splits(folder / "ImageSets" / "Main")
    named = [name for name in files_below(pictures) if is_picture(name)]
    by_stem = {PurePosixPath(name).with_suffix("").as_posix(): name for name in named}
    annotated, stems = set(), set()
    for name in files_below(annotations):
        file = annotations / name
        if file.suffix != ".xml":
            yield Finding(kind="stray_file", where=file.as_posix(), what="no XML file")
            continue
        row = _row(file, pictures, by_stem, splits.get(file.stem), params.first_pixel)
        stems.add(file.stem)
        if isinstance(row, Row) and isinstance(row.picture, Path):
            annotated.add(row.picture.relative_to(pictures).as_posix())
        yield row
    for stem in sorted(set(splits) - stems):
        where = (folder / "ImageSets/Main" / f"{splits[stem]}.txt").as_posix()
        yield Finding(kind="bad_row", where=where, what=f"{stem} has no annotation")
    for name in named:
        if name not in annotated and Path(name).stem not in stems:
            where = (pictures / name).as_posix()
            yield Finding(kind="unlabelled_picture", where=where, what="no annotation names it")


def _splits(folder: Path) -> dict[str, Split]:
    """The split of each picture by its name without suffix; empty where there are no lists."""
    splits: dict[str, Split] = {}
    for split in SPLITS:
        file = folder / f"{split}.txt"
        for name in read_text(file).split() if file.is_file() else []:
            if splits.setdefault(name, split) != split:
                raise DataError(f"{file}: {name} stands in {splits[name]}.txt too; remove it from one")
    return splits


def _row(
    file: Path, pictures: Path, by_stem: Mapping[str, str], split: Split | None, first_pixel: int
) -> Row | Finding:
    where = file.as_posix()
    try:
        root = ET.fromstring(file.read_bytes(), ET.XMLParser(target=_Builder()))
        name = root.findtext("filename", "").strip()
        if not name:
            raise DataError("no <filename>")
        if unsafe(name):
            return Finding(kind="path_traversal", where=where, what=f"leads out of {pictures}: {name!r}")
        objects = root.findall("object")
        boxes = [_box(thing, number, first_pixel) for number, thing in enumerate(objects, start=1)]
        labels = tuple(thing.findtext("name", "").strip() for thing in objects)
        size = _size(root)
    except (ET.ParseError, DataError) as error:
        return Finding(kind="bad_row", where=where, what=str(error))
    return Row(
        where=where,
        picture=pictures / by_stem.get(name, name),  # some programs leave the suffix out
        labels=labels,
        boxes=np.array(boxes, dtype=np.float32).reshape(-1, 4),
        places=tuple(f"object {number}" for number in range(1, len(objects) + 1)),
        marked={
            number: "difficult_box"
            for number, thing in enumerate(objects)
            if thing.findtext("difficult", "").strip() == "1"
        },
        split=split,
        size=size,
    )


def _box(thing: ET.Element, number: int, first_pixel: int) -> list[float]:
    texts = [thing.findtext(f"bndbox/{edge}", "") for edge in EDGES]
    try:
        x1, y1, x2, y2 = edges = [float(text) for text in texts]
    except ValueError:
        raise DataError(f"object {number}: box {texts} is not four numbers") from None
    if not all(map(math.isfinite, edges)):
        raise DataError(f"object {number}: box {texts} is not four numbers")
    return [x1 - first_pixel, y1 - first_pixel, x2, y2]


def _size(root: ET.Element) -> tuple[int, int] | None:
    """Width and height; None where the file leaves them out, or 0 as some programs do."""
    texts = [root.findtext(f"size/{side}", "0").strip() for side in ("width", "height")]
    if not all(text.isdecimal() for text in texts):
        raise DataError(f"<size> {texts} is not two whole numbers")
    width, height = map(int, texts)
    return (width, height) if width and height else None
