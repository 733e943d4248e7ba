"""Create ML's JSON: a list of pictures, each with its boxes by centre and size.

Apple, "Building an object detector data source",
https://developer.apple.com/documentation/createml/building-an-object-detector-data-source. Numbers are
pixels from the upper left corner. Older programs write `imagefilename` and `annotation`.
"""

from pathlib import Path
from typing import Any

from stages.core.errors import DataError
from stages.core.packed import Split
from stages.sources.annotations.box_list import BoxList
from stages.sources.documents import edges, read_json, shown, wrong_name
from stages.sources.label_tools.params import CreateMlParams
from stages.sources.naming import PictureFolder, Wrong, annotation_files
from stages.sources.rows import Finding, Found, with_unlabelled

PICTURE = ("image", "imagefilename")
BOXES = ("annotations", "annotation")


def read_create_ml(raw: Path, params: CreateMlParams) -> Found:
    """A row for each picture, in the order of the file; then the pictures that it does not name.

    Raises:
        DataError: No such file, or it is none of Create ML's.

    """
    files = annotation_files(raw, params.file, params.pictures, params.strip_prefix)
    rows = (row for one in files for row in _rows(one.file, one.pictures, one.split))
    return with_unlabelled(rows, [one.pictures.folder for one in files], "no entry names it")


def _rows(file: Path, folder: PictureFolder, split: Split | None) -> Found:
    entries = read_json(file)
    if not isinstance(entries, list):
        raise DataError(
            f"{file}: no annotations of Create ML: it needs a list of objects with 'image' and 'annotations'"
        )
    for place, entry in enumerate(entries):
        where = f"{file}: entry [{place}]"
        if not isinstance(entry, dict):
            yield Finding(kind="bad_row", where=where, what="not an object")
            continue
        stated = _first(entry, PICTURE)
        picture = folder.find(stated)
        if isinstance(picture, Wrong):
            yield Finding(kind=picture.kind, where=where, what=picture.what)
            continue
        things = _first(entry, BOXES)
        if not isinstance(things, list):
            yield Finding(kind="bad_row", where=where, what="its annotations are no list")
            continue
        boxes = BoxList()
        for nth, thing in enumerate(things):
            wrong = _add(boxes, thing, f"annotations[{nth}]")
            if wrong:
                boxes.lost += 1
                yield Finding(kind="invalid_box", where=where, what=f"annotations[{nth}]: {wrong}")
        yield boxes.row(f"{where}: {stated}", picture, split)


def _first(entry: dict[str, Any], names: tuple[str, ...]) -> Any:
    """The value of the first of the keys that is there."""
    return next((entry[name] for name in names if name in entry), None)


def _add(boxes: BoxList, thing: Any, place: str) -> str | None:
    """Append a box; what is wrong with it, or None."""
    if not isinstance(thing, dict):
        return "not an object"
    label, stated = thing.get("label"), thing.get("coordinates")
    wrong = wrong_name(label)
    if wrong:
        return f"its label {wrong}"
    assert isinstance(label, str)
    names = ("x", "y", "width", "height")
    numbers = edges([stated.get(name) for name in names]) if isinstance(stated, dict) else None
    if numbers is None:
        return f"{label}: coordinates {shown(stated)} are not four numbers {', '.join(names)}"
    x, y, width, height = numbers
    boxes.add(label.strip(), place, (x - width / 2, y - height / 2, x + width / 2, y + height / 2))
    return None
