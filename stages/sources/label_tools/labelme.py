"""LabelMe: a JSON file a picture, beside it, of shapes with a label each.

An annotation is that of the picture of its own name, if there is one: `imagePath` is often that of another
machine, or of before the picture was renamed.
"""

import math
import posixpath
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from stages.core.errors import DataError
from stages.core.packed import Split
from stages.sources.annotations.box_list import BoxList, Edges
from stages.sources.documents import edges, read_json, shown, whole, wrong_name
from stages.sources.label_tools.params import LabelmeParams
from stages.sources.naming import ByStem, PictureFolder, Wrong, split_named
from stages.sources.rows import (
    Finding,
    Found,
    Polygon,
    existing_folder,
    files_below,
    is_picture,
    led_out,
    with_unlabelled,
)


def read_labelme(raw: Path, params: LabelmeParams) -> Found:
    """A row for each annotation, in order of their names; then the pictures that have none.

    Raises:
        DataError: No such folder, or no annotation in it.

    """
    folder = existing_folder(raw / params.folder)
    names = list(files_below(folder))
    files = [name for name in names if PurePosixPath(name).suffix.lower() == ".json"]
    if not files:
        raise DataError(f"{folder}: holds no JSON file of LabelMe")
    stems = [PurePosixPath(name).with_suffix("").as_posix() for name in files]
    by_stem = ByStem(filter(is_picture, names), stems)
    given = all("/" in name and split_named(name.split("/")[0]) for name in files)
    place = PictureFolder(folder, params.strip_prefix)
    rows = (
        row
        for name in files
        for row in _row(raw, name, place, by_stem, split_named(name.split("/")[0]) if given else None)
    )
    yield from with_unlabelled(rows, [folder], "no annotation names it")
    for name in names:
        if name not in set(files) and not is_picture(name):
            yield Finding(kind="stray_file", where=(folder / name).as_posix(), what="no JSON file")


def _row(raw: Path, name: str, place: PictureFolder, by_stem: ByStem, split: Split | None) -> Found:
    file = place.folder / name
    where = file.as_posix()
    led = led_out(where, file, raw)
    if led is not None:
        yield led
        return
    try:
        document = read_json(file)
    except DataError as error:
        what = str(error).removeprefix(f"{where}: ")
        yield Finding(kind="bad_row", where=where, what=what)
        return
    if not isinstance(document, dict) or not isinstance(document.get("shapes"), list):
        yield Finding(kind="bad_row", where=where, what="no annotation of LabelMe: it has no list of shapes")
        return
    picture = _picture(name, document.get("imagePath"), place, by_stem)
    if isinstance(picture, Wrong):
        yield Finding(kind=picture.kind, where=where, what=picture.what)
        return
    stated = PurePosixPath(str(document.get("imagePath") or "").replace("\\", "/"))
    if stated.name and not {stated.name, stated.stem} & {picture.name, picture.stem}:
        what = f"imagePath is {shown(document['imagePath'])}; its boxes are taken for {picture.name}"
        yield Finding(kind="name_differs", where=where, what=what)
    size = whole(document.get("imageWidth")), whole(document.get("imageHeight"))
    yield from _with_shapes(where, document["shapes"], picture, split, None if None in size else size)


def _with_shapes(where: str, shapes: list[Any], picture: Path, split: Split | None, size: Any) -> Found:
    boxes = BoxList()
    parts: dict[tuple[str, str], list[tuple[str, Polygon]]] = defaultdict(list)
    for number, stated in enumerate(shapes):
        place = f"shapes[{number}]"
        shape = _shape(stated)
        if isinstance(shape, str):
            boxes.lost += 1
            yield Finding(kind="invalid_box", where=where, what=f"{place}: {shape}")
        elif shape.box is not None:
            boxes.add(shape.label, place, shape.box)
        elif shape.group is None:
            boxes.add_polygons(shape.label, place, (shape.polygon,))
        else:
            parts[shape.label, shape.group].append((place, shape.polygon))
    for (label, _), pieces in parts.items():  # what hides a thing's middle leaves it in several polygons
        boxes.add_polygons(label, pieces[0][0], tuple(polygon for _, polygon in pieces))
    yield boxes.row(where, picture, split, size=size)


def _picture(name: str, stated: Any, place: PictureFolder, by_stem: ByStem) -> Path | Wrong:
    own = by_stem.find(
        PurePosixPath(name).with_suffix("").as_posix(), stated if isinstance(stated, str) else ""
    )
    if isinstance(own, Wrong):
        return own
    if own is not None:
        return place.folder / own
    wrong = wrong_name(stated)
    if wrong:
        return Wrong("bad_row", f"no picture beside it has its name, and imagePath {wrong}")
    below = place.below(stated)
    absolute = below.startswith("/") or ":" in below[:2]
    path = below if absolute else posixpath.normpath(PurePosixPath(name).parent / below)
    return place.find(path)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Shape:
    label: str
    group: str | None
    """Shapes of one label and group are one thing."""
    box: Edges | None
    polygon: Polygon


def _shape(stated: Any) -> _Shape | str:
    """A shape of an annotation, or what is wrong with it."""
    if not isinstance(stated, dict):
        return "not an object"
    label, drawn = stated.get("label"), stated.get("shape_type") or "polygon"
    wrong = wrong_name(label)
    if wrong:
        return f"its label {wrong}"
    assert isinstance(label, str)
    points = stated.get("points")
    pairs = [edges(point) for point in points] if isinstance(points, list) else []
    flat = tuple(edge for pair in pairs if pair is not None and len(pair) == 2 for edge in pair)
    if len(flat) != 2 * len(pairs) or not flat:
        return f"{label}: its points are not pairs of numbers"
    box, polygon = None, flat
    if drawn == "circle" and len(pairs) == 2:
        x, y, radius = flat[0], flat[1], math.hypot(flat[2] - flat[0], flat[3] - flat[1])
        box = (x - radius, y - radius, x + radius, y + radius)
    elif drawn in ("rectangle", "mask") and len(pairs) in (2, 4):
        xs, ys = flat[::2], flat[1::2]
        box = (min(xs), min(ys), max(xs), max(ys))
    elif drawn not in ("polygon", "oriented_rectangle", "rotation") or len(pairs) < 3:
        return f"{label}: a {shown(drawn)} of {len(pairs)} points has no box"
    group = stated.get("group_id")
    return _Shape(
        label=label.strip(), group=None if group is None else shown(group), box=box, polygon=polygon
    )
