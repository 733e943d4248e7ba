"""VGG Image Annotator's JSON: regions of each picture, in an export or a whole project of version 1 or 2.

Dutta and Zisserman 2019, "The VIA Annotation Software for Images, Audio and Video", arXiv:1904.10699.
"""

import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from stages.core.errors import DataError
from stages.core.packed import Split
from stages.sources.annotations.box_list import BoxList
from stages.sources.documents import edges, number, read_json, shown, wrong_name
from stages.sources.label_tools.params import ViaParams
from stages.sources.naming import PictureFolder, Wrong, annotation_files
from stages.sources.rows import Finding, Found, Polygon, with_unlabelled


def read_via(raw: Path, params: ViaParams) -> Found:
    """A row for each picture, in the order of the file; then the pictures that it does not name.

    Raises:
        DataError: No such file, or it is none of VIA's that is read.

    """
    files = annotation_files(raw, params.file, params.pictures, params.strip_prefix)
    rows = (row for one in files for row in _rows(one.file, one.pictures, one.split, params))
    return with_unlabelled(rows, [one.pictures.folder for one in files], "no entry names it")


def via_entries(document: Any) -> dict[str, Any] | None:
    """The entries of VIA's JSON, one a picture, by their keys; None: it is no such JSON."""
    if isinstance(document, dict) and isinstance(document.get("_via_img_metadata"), dict):
        document = document["_via_img_metadata"]
    entries = document.values() if isinstance(document, dict) else ()
    is_via = any(isinstance(entry, dict) and {"filename", "regions"} <= entry.keys() for entry in entries)
    return document if is_via else None


def is_via_3(document: Any) -> bool:
    """Whether this is a project of VIA 3, which writes other files."""
    return isinstance(document, dict) and {"project", "file", "view", "metadata"} <= document.keys()


def region_list(stated: Any) -> list[Any] | None:
    """The regions of an entry, which are a list or, of VIA 1, an object; None: they are neither."""
    return list(stated.values()) if isinstance(stated, dict) else stated if isinstance(stated, list) else None


def _rows(file: Path, folder: PictureFolder, split: Split | None, params: ViaParams) -> Found:
    document = read_json(file)
    if is_via_3(document):
        raise DataError(f"{file}: a project of VIA 3: export it as COCO, and read that with `format: coco`")
    entries = via_entries(document)
    if entries is None:
        raise DataError(f"{file}: no annotations of VIA: it needs objects with 'filename' and 'regions'")
    for key, entry in entries.items():
        where = f"{file}: entry {shown(key)}"
        regions = region_list(entry.get("regions")) if isinstance(entry, dict) else None
        if regions is None:
            yield Finding(kind="bad_row", where=where, what="no object with regions")
            continue
        picture = folder.find(entry.get("filename"))
        if isinstance(picture, Wrong):
            yield Finding(kind=picture.kind, where=where, what=picture.what)
            continue
        boxes = BoxList()
        for nth, region in enumerate(regions):
            wrong = _add(boxes, region, f"regions[{nth}]", params)
            if wrong:
                boxes.lost += 1
                yield Finding(kind="invalid_box", where=where, what=f"regions[{nth}]: {wrong}")
        yield boxes.row(where, picture, split)


def _add(boxes: BoxList, region: Any, place: str, params: ViaParams) -> str | None:
    """Append a region; what is wrong with it, or None."""
    shape = region.get("shape_attributes") if isinstance(region, dict) else None
    if not isinstance(shape, dict):
        return "it has no shape_attributes"
    label = _label(region.get("region_attributes"), params)
    wrong = wrong_name(label)
    if wrong:
        return f"its class {wrong}; `attribute` names what holds it, and `unnamed` a class for all without"
    assert isinstance(label, str)
    kind = shape.get("name")
    read = SHAPES.get(kind) if isinstance(kind, str) else None
    if read is None:
        return f"{label}: a {shown(kind)} has no box"
    outline = read(shape)
    if outline is None:
        return f"{label}: a {kind} whose numbers are missing or none"
    if len(outline) == 4:
        boxes.add(label.strip(), place, outline)
    else:
        boxes.add_polygons(label.strip(), place, (outline,))
    return None


def _label(attributes: Any, params: ViaParams) -> Any:
    """The class of a region: its attribute's value, or the one option of it that is ticked."""
    values = attributes if isinstance(attributes, dict) else {}
    if params.attribute is not None:
        value = values.get(params.attribute)
    else:
        value = next(iter(values.values())) if len(values) == 1 else None
    if isinstance(value, dict):
        ticked = [name for name, on in value.items() if on]
        value = ticked[0] if len(ticked) == 1 else None
    return params.unnamed if value in (None, "") else value


def _numbers(shape: dict[str, Any], names: Iterable[str]) -> list[float] | None:
    return edges([shape.get(name) for name in names])


def _rectangle(shape: dict[str, Any]) -> Polygon | None:
    stated = _numbers(shape, ("x", "y", "width", "height"))
    if stated is None:
        return None
    x, y, width, height = stated
    return x, y, x + width, y + height


def _circle(shape: dict[str, Any]) -> Polygon | None:
    stated = _numbers(shape, ("cx", "cy", "r"))
    if stated is None:
        return None
    x, y, radius = stated
    return x - radius, y - radius, x + radius, y + radius


def _ellipse(shape: dict[str, Any]) -> Polygon | None:
    stated, theta = _numbers(shape, ("cx", "cy", "rx", "ry")), number(shape.get("theta") or 0)
    if stated is None or theta is None:
        return None
    x, y, rx, ry = stated
    half_w = math.hypot(rx * math.cos(theta), ry * math.sin(theta))
    half_h = math.hypot(rx * math.sin(theta), ry * math.cos(theta))
    return x - half_w, y - half_h, x + half_w, y + half_h


def _polygon(shape: dict[str, Any]) -> Polygon | None:
    xs, ys = edges(shape.get("all_points_x")), edges(shape.get("all_points_y"))
    if xs is None or ys is None or len(xs) != len(ys) or len(xs) < 3:
        return None
    return tuple(edge for corner in zip(xs, ys, strict=True) for edge in corner)


SHAPES: dict[str, Callable[[dict[str, Any]], Polygon | None]] = {
    "rect": _rectangle,
    "circle": _circle,
    "ellipse": _ellipse,
    "polygon": _polygon,
}
"""What reads each shape that has a box: four edges of a box, or a polygon."""
