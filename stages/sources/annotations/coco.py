"""COCO: one JSON file of pictures, categories and boxes, for each split or for all.

Lin et al. 2014, "Microsoft COCO: Common Objects in Context". pycocotools takes anything for a box and lets
ids repeat; the file is read here so that each line that is wrong is named.
"""

import struct
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from stages.core.errors import DataError
from stages.core.packed import Split
from stages.sources.annotations.box_list import BoxList, Edges
from stages.sources.annotations.params import CocoParams
from stages.sources.annotations.run_lengths import box_of_runs
from stages.sources.documents import LONGEST, edges, read_json, shown, whole, wrong_name
from stages.sources.naming import PictureFolder, Wrong, annotation_files
from stages.sources.rows import Finding, Found, Polygon, with_unlabelled

Key = int | str
"""An id: 1, 1.0 and "1" are the same one."""
GREATEST = 10**LONGEST
FLOAT32 = struct.Struct("4f")


def read_coco(raw: Path, params: CocoParams) -> Found:
    """A row for each picture, in order of their ids; then the pictures that no file names.

    Raises:
        DataError: A file is missing or no COCO, or an id stands twice.

    """
    files = annotation_files(raw, params.annotations, params.pictures, params.strip_prefix)
    rows = (one for file in files for one in _rows(file.file, file.pictures, file.split))
    return with_unlabelled(rows, [one.pictures.folder for one in files], "no annotation file names it")


def _rows(file: Path, folder: PictureFolder, split: Split | None) -> Found:
    document = _document(file)
    pictures = _by_id(file, document, "images", "file_name")
    categories = _by_id(file, document, "categories", "name")
    _refuse_merged(file, document, categories)
    boxes_of: dict[Key, BoxList] = defaultdict(BoxList)
    for number, annotation in enumerate(document["annotations"]):
        place = f"annotations[{number}]"
        thing = _thing(annotation, pictures, categories)
        if isinstance(thing, str):
            yield Finding(kind="invalid_box", where=f"{file}: {place}", what=thing)
            if isinstance(annotation, dict) and (key := _key(annotation.get("image_id"))) in pictures:
                boxes_of[key].lost += 1
            continue
        boxes, mark = boxes_of[thing.picture], "crowd_box" if thing.crowd else None
        if thing.box is not None:
            boxes.add(thing.label, place, thing.box, mark)  # type: ignore[arg-type]
        else:
            boxes.add_polygons(thing.label, place, thing.polygons, mark)  # type: ignore[arg-type]
    for key in sorted(pictures, key=lambda key: (isinstance(key, str), key)):
        picture, where = pictures[key], f"{file}: image {key}"
        path = folder.find(picture["file_name"])
        if isinstance(path, Wrong):
            yield Finding(kind=path.kind, where=where, what=path.what)
            continue
        size = whole(picture.get("width")), whole(picture.get("height"))
        yield boxes_of.get(key, BoxList()).row(
            f"{where}: {picture['file_name']}",
            path,
            split,
            size=None if None in size else size,  # type: ignore[arg-type]
        )


def _document(file: Path) -> dict[str, Any]:
    document = read_json(file)
    lists = ("images", "categories", "annotations")
    if not isinstance(document, dict):
        raise DataError(f"{file}: no COCO annotations: it needs the lists {', '.join(lists)}")
    missing = [key for key in lists if not isinstance(document.get(key), list)]
    if missing:
        raise DataError(
            f"{file}: no COCO annotations: it needs the lists {', '.join(lists)}; "
            f"{', '.join(missing)} is missing"
        )
    return document


def _key(value: Any) -> Key | None:
    """An id as it is compared: whole numbers however they are written, other texts as they are."""
    if type(value) is int:
        return value if abs(value) < GREATEST else None
    if isinstance(value, str):
        written = value.isdecimal() and value.isascii() and len(value) <= LONGEST
        return int(value) if (written and not value.startswith("0")) or value == "0" else value
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if abs(value) < GREATEST and value == int(value) else None


def _by_id(file: Path, document: dict[str, Any], section: str, name: str) -> dict[Key, dict[str, Any]]:
    """The section's entries by their id; each has a name."""
    entries: dict[Key, dict[str, Any]] = {}
    for number, entry in enumerate(document[section]):
        where = f"{file}: {section}[{number}]"
        if not isinstance(entry, dict):
            raise DataError(f"{where}: {shown(entry)} is no object with id and {name}")
        key = _key(entry.get("id"))
        if key is None or wrong_name(str(key)):
            raise DataError(f"{where}: id {shown(entry.get('id'))} is neither a whole number nor a text")
        wrong = wrong_name(entry.get(name))
        if wrong:
            raise DataError(f"{where}: {name} {wrong}")
        if entries.setdefault(key, entry) is not entry:
            raise DataError(f"{where}: id {shown(key)} stands there twice")
    return entries


def _refuse_merged(file: Path, document: dict[str, Any], categories: Mapping[Key, Any]) -> None:
    """Refuse two categories of one name, unless only one is used: some programs add one for the whole set."""
    if len({one["name"].strip() for one in categories.values()}) == len(categories):
        return
    annotations = [one for one in document["annotations"] if isinstance(one, dict)]
    used = {key for one in annotations if (key := _key(one.get("category_id"))) in categories}
    first: dict[str, Key] = {}
    for key in categories:
        name = categories[key]["name"].strip()
        if key in used and first.setdefault(name, key) != key:
            raise DataError(
                f"{file}: categories: ids {shown(first[name])} and {shown(key)} are both called "
                f"{shown(name)}; rename one, or give both the same id"
            )


class _Thing(NamedTuple):
    """What an annotation says; without a box of its own it has polygons."""

    picture: Key
    label: str
    box: Edges | None
    polygons: tuple[Polygon, ...]
    crowd: bool


def _thing(annotation: Any, pictures: Mapping[Key, Any], categories: Mapping[Key, Any]) -> _Thing | str:
    """What the annotation says, or what is wrong with it."""
    if not isinstance(annotation, dict):
        return "not an object"
    keys = []
    for name, known in (("image_id", pictures), ("category_id", categories)):
        key = _key(annotation.get(name))
        if key is None or key not in known:
            return f"{name} {shown(annotation.get(name))} is not in the file"
        keys.append(key)
    box: Edges | None = None
    polygons: tuple[Polygon, ...] = ()
    stated = annotation.get("bbox")
    if stated or not annotation.get("segmentation"):
        box = _box(stated)
        if box is None:
            return f"bbox {shown(stated)} is not four numbers"
    elif isinstance(annotation["segmentation"], dict):
        box = box_of_runs(annotation["segmentation"])
        if box is None:
            return "segmentation has run lengths that make no mask, and there is no bbox"
    else:
        polygons = _polygons(annotation["segmentation"])
        if not polygons:
            return "segmentation has a polygon that is not three points or more, and there is no bbox"
    return _Thing(
        picture=keys[0],
        label=categories[keys[1]]["name"].strip(),
        box=box,
        polygons=polygons,
        crowd=bool(annotation.get("iscrowd")),
    )


def _box(stated: Any) -> Edges | None:
    numbers = edges(stated) if isinstance(stated, list) and len(stated) == 4 else None
    if numbers is None or str in map(type, stated):
        return None
    x, y, width, height = FLOAT32.unpack(FLOAT32.pack(*numbers))  # boxes are float32, their sizes too
    return x, y, x + width, y + height


def _polygons(stated: Any) -> tuple[Polygon, ...]:
    """The polygons of one thing; none where one of them is not at least three points."""
    nested = stated if isinstance(stated, list) and isinstance(stated[0], list) else [stated]
    found = [edges(one) for one in nested]
    if any(one is None or len(one) < 6 or len(one) % 2 for one in found):
        return ()
    return tuple(tuple(one) for one in found if one is not None)
