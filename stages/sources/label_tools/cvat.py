"""CVAT's own XML, "CVAT for images 1.1": one file of pictures, each with its boxes and other shapes."""

import math
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

from stages.core.errors import DataError
from stages.core.packed import Split
from stages.sources.annotations.box_list import BoxList, Edges, turned_box
from stages.sources.documents import edges, number, read_xml, shown, whole, wrong_name
from stages.sources.label_tools.params import CvatParams
from stages.sources.naming import PictureFolder, Wrong, annotation_files, split_named
from stages.sources.rows import Finding, Found, Polygon, existing_file, with_unlabelled


def read_cvat(raw: Path, params: CvatParams) -> Found:
    """A row for each picture, in the order of the file; then the pictures that it does not name.

    Raises:
        DataError: No such file, or it is none of CVAT's for images.

    """
    files = annotation_files(raw, params.file, params.pictures, params.strip_prefix)
    rows = (row for one in files for row in _rows(existing_file(one.file), one.pictures, one.split))
    return with_unlabelled(rows, [one.pictures.folder for one in files], "no annotation names it")


def _rows(file: Path, folder: PictureFolder, given: Split | None) -> Found:
    for place, image in enumerate(_images(file)):
        name = image.get("name", "")
        where = f"{file}: image {shown(image.get('id') or place)}"
        picture = folder.find(name)
        if isinstance(picture, Wrong):
            yield Finding(kind=picture.kind, where=where, what=picture.what)
            continue
        boxes = BoxList()
        for nth, shape in enumerate(image, start=1):
            if shape.tag == "tag":  # of the whole picture
                continue
            wrong = _add(boxes, shape, f"{shape.tag} {nth}")
            if wrong:
                boxes.lost += 1
                yield Finding(kind="invalid_box", where=where, what=f"shape {nth}: {wrong}")
        size = whole(image.get("width")), whole(image.get("height"))
        split = given or split_named(image.get("subset", ""))
        yield boxes.row(
            f"{where}: {name}",
            picture,
            split,
            size=None if None in size else size,  # type: ignore[arg-type]
        )


def _images(file: Path) -> list[ET.Element]:
    try:
        root = read_xml(file)
    except DataError as error:
        raise DataError(f"{file}: {error}") from None
    if root.tag != "annotations" or root.find("track") is not None or root.find("image") is None:
        raise DataError(
            f"{file}: no pictures of CVAT: it needs <annotations> with <image> in it; export the task as "
            "'CVAT for images 1.1'"
        )
    return root.findall("image")


def _add(boxes: BoxList, shape: ET.Element, place: str) -> str | None:
    """Append a shape; what is wrong with it, or None."""
    label = shape.get("label", "").strip()
    wrong = wrong_name(label)
    if wrong:
        return f"the label of a {shown(shape.tag)} {wrong}"
    read = SHAPES.get(shape.tag)
    if read is None:
        return f"{label}: a {shown(shape.tag)} has no box"
    outline = read(shape)
    if outline is None:
        return f"{label}: a {shape.tag} whose numbers are missing or none"
    if len(outline) == 4:
        boxes.add(label, place, outline)
    else:
        boxes.add_polygons(label, place, (outline,))
    return None


def _numbers(shape: ET.Element, *names: str) -> list[float] | None:
    return edges([shape.get(name, "") for name in names])


def _box(shape: ET.Element) -> Polygon | None:
    box = _numbers(shape, "xtl", "ytl", "xbr", "ybr")
    degrees = number(shape.get("rotation", "0"))
    if box is None or degrees is None:
        return None
    return turned_box(_corners(box), degrees) if degrees else tuple(box)


def _corners(box: list[float]) -> Edges:
    x1, y1, x2, y2 = box
    return x1, y1, x2, y2


def _polygon(shape: ET.Element) -> Polygon | None:
    pairs = [edges(pair.split(",")) for pair in shape.get("points", "").split(";")]
    flat = tuple(edge for pair in pairs if pair is not None and len(pair) == 2 for edge in pair)
    return flat if len(flat) == 2 * len(pairs) >= 6 else None


def _ellipse(shape: ET.Element) -> Polygon | None:
    stated = _numbers(shape, "cx", "cy", "rx", "ry")
    degrees = number(shape.get("rotation", "0"))
    if stated is None or degrees is None:
        return None
    x, y, rx, ry = stated
    sine, cosine = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
    half_w, half_h = math.hypot(rx * cosine, ry * sine), math.hypot(rx * sine, ry * cosine)
    return x - half_w, y - half_h, x + half_w, y + half_h


def _mask(shape: ET.Element) -> Polygon | None:
    stated = _numbers(shape, "left", "top", "width", "height")
    if stated is None:
        return None
    left, top, width, height = stated
    return left, top, left + width, top + height


def _cuboid(shape: ET.Element) -> Polygon | None:
    """The box round its eight corners, xtl1, ytl1 and so on."""
    xs, ys = (edges([shape.get(name) for name in shape.attrib if name[0] == axis]) for axis in "xy")
    return (min(xs), min(ys), max(xs), max(ys)) if xs and ys else None


SHAPES: dict[str, Callable[[ET.Element], Polygon | None]] = {
    "box": _box,
    "polygon": _polygon,
    "ellipse": _ellipse,
    "mask": _mask,
    "cuboid": _cuboid,
}
"""What reads each shape that has a box: four edges of a box, or a polygon."""
