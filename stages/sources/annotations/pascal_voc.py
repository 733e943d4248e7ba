"""Pascal VOC: an XML file a picture in Annotations, pictures in JPEGImages, splits in ImageSets/Main.

Everingham et al. 2010, "The Pascal Visual Object Classes (VOC) Challenge". An annotation is that of the
picture of its own name, as other programs have it: many rename pictures and leave `<filename>` as it was.
Of roLabelImg's turned boxes and of polygons the box round them is taken.
"""

import math
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from stages.core.errors import DataError
from stages.core.packed import Split
from stages.sources.annotations.box_list import BoxList, turned_box
from stages.sources.annotations.params import PascalVocParams
from stages.sources.annotations.voc_lists import read_lists
from stages.sources.documents import edges, read_xml, shown, whole, wrong_name
from stages.sources.naming import ByStem, PictureFolder, Wrong, split_named
from stages.sources.rows import Finding, Found, Polygon, Row, files_below, is_picture, led_out

EDGES = ("xmin", "ymin", "xmax", "ymax")
TURNED = ("cx", "cy", "w", "h", "angle")


def read_pascal_voc(raw: Path, params: PascalVocParams) -> Found:
    """A row for each annotation, in order of their names; then the pictures that have none.

    Where lists give splits, what stands in none of them is left out.

    Raises:
        DataError: A folder is missing, or a picture stands in two splits' lists.

    """
    folder = raw / params.folder
    annotations, pictures = (
        _existing(folder / getattr(params, key), key) for key in ("annotations", "pictures")
    )
    files = {
        PurePosixPath(name).with_suffix("").as_posix(): name
        for name in files_below(annotations)
        if PurePosixPath(name).suffix.lower() == ".xml"
    }
    lists = read_lists(folder / params.lists, files)
    named = [name for name in files_below(pictures) if is_picture(name)]
    reading = _Reading(
        raw=raw,
        pictures=PictureFolder(pictures),
        by_stem=ByStem(named, files),
        annotated=frozenset(files),
        first_pixel=params.first_pixel,
    )
    yield from _strays(annotations, set(files.values()), beside=annotations == pictures)
    seen = set()
    by_folder = _folders_are_splits(files)
    for stem, name in files.items():
        if lists is not None and stem not in lists.splits:
            where = (annotations / name).as_posix()
            yield Finding(kind="unlabelled_picture", where=where, what=f"no list in {lists.folder} names it")
            continue
        split = lists.splits[stem] if lists else split_named(stem.split("/")[0]) if by_folder else None
        for row in _row(annotations / name, stem, reading, split):
            if isinstance(row, Row) and isinstance(row.picture, Path):
                seen.add(row.picture.relative_to(pictures).as_posix())
            yield row
    if lists is not None:
        yield from lists.findings
    bare = {PurePosixPath(stem).name for stem in files}
    for name in named:
        if name not in seen and PurePosixPath(name).stem not in bare:
            where = (pictures / name).as_posix()
            yield Finding(kind="unlabelled_picture", where=where, what="no annotation names it")


def _existing(folder: Path, key: str) -> Path:
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; preprocess.detection.{key} names it, or folder does")
    return folder


def _strays(annotations: Path, files: set[str], *, beside: bool) -> Found:
    for name in files_below(annotations):
        if name not in files and not (beside and is_picture(name)):
            yield Finding(kind="stray_file", where=(annotations / name).as_posix(), what="no XML file")


def _folders_are_splits(stems: Mapping[str, str]) -> bool:
    """Whether all annotations lie in folders that are called as splits are."""
    return bool(stems) and all("/" in stem and split_named(stem.split("/")[0]) for stem in stems)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Reading:
    raw: Path
    pictures: PictureFolder
    by_stem: ByStem
    annotated: frozenset[str]
    """Stems of all annotations."""
    first_pixel: int


def _row(file: Path, stem: str, reading: _Reading, split: Split | None) -> Found:
    where = file.as_posix()
    led = led_out(where, file, reading.raw)
    if led is not None:
        yield led
        return
    try:
        root = read_xml(file)
        named = (root.findtext("filename") or "").strip()
        picture = _picture(named, stem, reading)
        if isinstance(picture, Wrong):
            yield Finding(kind=picture.kind, where=where, what=picture.what)
            return
        size = _size(root)
    except DataError as error:
        yield Finding(kind="bad_row", where=where, what=str(error))
        return
    path = PurePosixPath(named.replace("\\", "/"))
    if named and not {path.name, path.stem} & {picture.name, picture.stem}:
        what = f"<filename> is {shown(named)}; its boxes are taken for {picture.name}"
        yield Finding(kind="name_differs", where=where, what=what)
    boxes = BoxList()
    for number, thing in enumerate(root.findall("object"), start=1):
        wrong = _add(boxes, thing, f"object {number}", reading.first_pixel)
        if wrong:
            boxes.lost += 1
            yield Finding(kind="invalid_box", where=where, what=f"object {number}: {wrong}")
    yield boxes.row(where, picture, split, size=size)


def _picture(named: str, stem: str, reading: _Reading) -> Path | Wrong:
    """The picture of the annotation's own name, else the one that `<filename>` names."""
    own = reading.by_stem.find(stem, named)
    if isinstance(own, Wrong):
        return own
    if own is not None:
        if ".." in PurePosixPath(named.replace("\\", "/")).parts:
            return Wrong("path_traversal", f"leads out of {reading.pictures.folder}: {shown(named)}")
        return reading.pictures.folder / own
    if not named:
        raise DataError(f"no picture called {PurePosixPath(stem).name}, and no <filename>")
    found = reading.pictures.find(named)
    if isinstance(found, Path):
        other = found.relative_to(reading.pictures.folder).with_suffix("").as_posix()
        if other != stem and other in reading.annotated:
            what = f"no picture called {stem}, and {shown(named)} has an annotation of its own"
            return Wrong("missing_picture", what)
    return found


def _add(boxes: BoxList, thing: ET.Element, place: str, first_pixel: int) -> str | None:
    """Append a thing's box; what is wrong with it, or None."""
    repeated = _repeated(thing)
    if repeated:
        return repeated
    label = (thing.findtext("name") or "").strip()
    wrong = wrong_name(label)
    if wrong:
        return f"its <name> {wrong}"
    mark: Literal["difficult_box"] | None = None
    if (thing.findtext("difficult") or "").strip() == "1":
        mark = "difficult_box"
    texts = [thing.findtext(f"bndbox/{edge}", "") for edge in EDGES]
    numbers = edges(texts)
    if numbers is not None:
        x1, y1, x2, y2 = numbers
        boxes.add(label, place, (x1 - first_pixel, y1 - first_pixel, x2, y2), mark)
        return None
    polygon = _turned(thing, first_pixel) or _polygon(thing, first_pixel)
    if polygon is None and not any(texts):
        if thing.find("robndbox") is not None:
            return f"{label}: its <robndbox> is not five numbers, {', '.join(TURNED)}"
        return f"{label}: it has no <bndbox> with {', '.join(EDGES)}"
    if any(texts) or polygon is None:
        return f"{label}: box {shown(texts)} is not four numbers"
    boxes.add_polygons(label, place, (polygon,), mark)
    return None


def _repeated(thing: ET.Element) -> str | None:
    """What is said of an element that an object may have once, and that stands there twice."""
    parts = (("bndbox", EDGES), ("robndbox", TURNED))
    inside = (f"{box}/{part}" for box, names in parts for part in names)
    for path in ("name", "bndbox", "robndbox", *inside):
        if len(found := thing.findall(path)) > 1:
            return f"it has {len(found)} <{found[0].tag}>, want one"
    return None


def _turned(thing: ET.Element, first_pixel: int) -> Polygon | None:
    """The corners of its <robndbox> of roLabelImg: centre, size, and radians clockwise; or None."""
    numbers = edges([thing.findtext(f"robndbox/{name}", "") for name in TURNED])
    if numbers is None:
        return None
    x, y, half_w, half_h = numbers[0] - first_pixel, numbers[1] - first_pixel, numbers[2] / 2, numbers[3] / 2
    return turned_box((x - half_w, y - half_h, x + half_w, y + half_h), math.degrees(numbers[4]))


def _polygon(thing: ET.Element, first_pixel: int) -> tuple[float, ...] | None:
    """The points <x1>, <y1>, <x2>, ... of its <polygon>, as Roboflow writes it, or None."""
    drawn = thing.find("polygon")
    if drawn is None:
        return None
    count = sum(child.tag.startswith("x") for child in drawn)
    texts = [drawn.findtext(f"{axis}{n}", "") for n in range(1, count + 1) for axis in "xy"]
    numbers = edges(texts)
    if numbers is None or count < 3:
        return None
    return tuple(edge - first_pixel for edge in numbers)


def _size(root: ET.Element) -> tuple[int, int] | None:
    """Width and height; None where the file leaves them out, or 0 as some programs do."""
    texts = [(root.findtext(f"size/{side}") or "0").strip() for side in ("width", "height")]
    width, height = map(whole, texts)
    if width is None or height is None or min(width, height) < 0:
        raise DataError(f"<size> {shown(texts)} is not two whole numbers")
    return (width, height) if width and height else None
