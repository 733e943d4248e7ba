"""Label Studio's JSON and JSON-MIN: a list of tasks, each with a picture and what people said of it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np

from stages.core.errors import DataError
from stages.core.packed import Split
from stages.sources.annotations.box_list import BoxList, Edges, turned_box
from stages.sources.documents import edges, number, read_json, shown, whole, wrong_name
from stages.sources.label_tools.params import ChoicesParams, LabelStudioParams
from stages.sources.naming import PictureFolder, Wrong, annotation_files
from stages.sources.rows import Finding, Found, Polygon, Row, with_unlabelled

UPLOAD = re.compile(r"^[0-9a-f]{8}-")


def read_label_studio(raw: Path, params: LabelStudioParams) -> Found:
    """A row for each task that is labelled, in the order of the file; then the pictures of no task.

    Rectangles, polygons and ellipses are read, or with `ChoicesParams` the one choice of each task.

    Raises:
        DataError: No such file, or it is no export.

    """
    files = annotation_files(raw, params.file, params.pictures, params.strip_prefix)
    rows = (row for one in files for row in _rows(one.file, _Pictures(one.pictures), one.split, params))
    return with_unlabelled(rows, [one.pictures.folder for one in files], "no task names it")


@dataclass(slots=True)
class _Pictures:
    """The pictures of tasks, which are often named by addresses."""

    folder: PictureFolder
    names: dict[Path, str] = field(default_factory=dict)
    """What named each picture that was found by the last part of an address."""

    def find(self, stated: Any) -> Path | Wrong:
        if not isinstance(stated, str):
            return Wrong("bad_row", f"the task's picture {shown(stated)} is no text")
        try:
            address = urlsplit(stated)
            local = parse_qs(address.query).get("d", [])
        except ValueError:
            return Wrong("bad_row", f"the task's picture {shown(stated)} is no address")
        # the query of a signed address is longer than the name of a file can be
        name = local[0] if local else unquote(stated.partition("?")[0] if address.scheme else stated)
        found = self.folder.find(name)
        if isinstance(found, Path) and found.is_file():
            return found
        if not local and not address.scheme and not name.startswith("/data/"):
            return found
        base = name.replace("\\", "/").rpartition("/")[2]
        last = self.folder.find(base)
        if not isinstance(last, Wrong) and not last.is_file():
            last = self.folder.find(without_upload(base))
        if isinstance(last, Wrong) or not last.is_file():
            return Wrong("missing_picture", f"no picture in {self.folder.folder} for {shown(stated)}")
        if self.names.setdefault(last, stated) != stated:
            what = f"{shown(stated)} and {shown(self.names[last])} both mean {last.name}; set strip_prefix"
            return Wrong("bad_row", what)
        return last


def without_upload(name: str) -> str:
    """The name that a picture had before it was uploaded: Label Studio puts eight digits before it."""
    return UPLOAD.sub("", name)


def _rows(file: Path, pictures: _Pictures, split: Split | None, params: LabelStudioParams) -> Found:
    tasks = read_json(file)
    if not isinstance(tasks, list):
        raise DataError(f"{file}: no export of Label Studio: it needs a list of tasks; export JSON")
    for place, task in enumerate(tasks):
        where = f"{file}: task [{place}]"
        if not isinstance(task, dict):
            yield Finding(kind="bad_row", where=where, what="not an object")
            continue
        data = task.get("data", task)
        picture = pictures.find(data.get(params.picture) if isinstance(data, dict) else None)
        if isinstance(picture, Wrong):
            yield Finding(kind=picture.kind, where=where, what=picture.what)
            continue
        results = _results(task)
        if isinstance(results, str):
            yield Finding(kind="bad_row", where=where, what=results)
        elif results is None:
            yield Finding(kind="unlabelled_picture", where=where, what="nobody has labelled it yet")
        elif isinstance(params, ChoicesParams):
            yield _with_choice(where, results, picture, split)
        else:
            yield from _with_boxes(where, results, picture, split)


def _results(task: dict[str, Any]) -> list[Any] | str | None:
    """What was said of a task, or why it is not known; None: nothing was."""
    if "data" not in task:  # JSON-MIN
        lists = [value for value in task.values() if isinstance(value, list)]
        found = [{"value": one, **one} for value in lists for one in value if isinstance(one, dict)]
        chosen = task.get("choice")
        if chosen is not None:
            choices = chosen.get("choices") if isinstance(chosen, dict) else [chosen]
            found.append({"type": "choices", "value": {"choices": choices}})
        return found
    stated = task.get("annotations", task.get("completions"))
    if not isinstance(stated, list):
        return "its annotations are no list"
    valid = [one for one in stated if isinstance(one, dict) and not one.get("was_cancelled")]
    if len(valid) > 1:
        truths = [one for one in valid if one.get("ground_truth")]
        if len(truths) != 1:
            return f"{len(valid)} people have labelled it; mark one annotation as the ground truth"
        valid = truths
    if not valid:
        return None
    results = valid[0].get("result")
    return results if isinstance(results, list) else "its result is no list"


def _with_choice(where: str, results: list[Any], picture: Path, split: Split | None) -> Row | Finding:
    chosen = [
        choice
        for value in _values(results)
        if isinstance(value.get("choices"), list)
        for choice in value["choices"]
    ]
    if len(chosen) != 1:
        return Finding(kind="bad_row", where=where, what=f"{len(chosen)} choices, want one")
    wrong = wrong_name(chosen[0])
    if wrong:
        return Finding(kind="bad_row", where=where, what=f"its choice {wrong}")
    return Row(where=f"{where}: {picture.name}", picture=picture, labels=(chosen[0].strip(),), split=split)


def _values(results: list[Any]) -> Iterator[dict[str, Any]]:
    for result in results:
        value = result.get("value") if isinstance(result, dict) else None
        if isinstance(value, dict):
            yield value


def _with_boxes(where: str, results: list[Any], picture: Path, split: Split | None) -> Found:
    boxes = BoxList()
    size: tuple[int, int] | None = None
    for place, result in enumerate(results):
        value = result.get("value") if isinstance(result, dict) else None
        if isinstance(value, dict) and "choices" in value:  # of the whole picture
            continue
        thing = _thing(result, value)
        if isinstance(thing, str):
            boxes.lost += 1
            yield Finding(kind="invalid_box", where=where, what=f"result [{place}]: {thing}")
            continue
        label, outline, size = thing
        if len(outline) == 4:
            boxes.add(label, f"result [{place}]", outline)
        else:
            boxes.add_polygons(label, f"result [{place}]", (outline,))
    yield boxes.row(f"{where}: {picture.name}", picture, split, size=size)


def _thing(result: Any, value: Any) -> tuple[str, Polygon, tuple[int, int]] | str:
    """The label of a result, its box or polygon in pixels, the picture's size; or what is wrong with it."""
    if not isinstance(value, dict):
        return "it has no value"
    kind = next((kind for kind in OUTLINES if f"{kind}labels" in value), None)
    if kind is None:
        keys = ", ".join(map(str, value))[:60]
        return f"of {keys} no box can be made; rectangles, polygons and ellipses with a label are read"
    labels = value[f"{kind}labels"]
    if not isinstance(labels, list) or len(labels) != 1:
        return f"{shown(labels)} is not one label"
    wrong = wrong_name(labels[0])
    if wrong:
        return f"its label {wrong}"
    width, height = (whole(result.get(f"original_{side}")) for side in ("width", "height"))
    if width is None or height is None or min(width, height) < 1:
        return "original_width and original_height are missing, of which its numbers are percent"
    outline = OUTLINES[kind](value, (width, height))
    return (
        f"{shown(labels[0])}: its numbers are missing or none"
        if outline is None
        else (labels[0].strip(), outline, (width, height))
    )


def _rectangle(value: dict[str, Any], size: tuple[int, int]) -> Polygon | None:
    stated = edges([value.get(name) for name in ("x", "y", "width", "height")])
    degrees = number(value.get("rotation") or 0)
    if stated is None or degrees is None:
        return None
    x, y, width, height = (share * side / 100 for share, side in zip(stated, size * 2, strict=True))
    box: Edges = (x, y, x + width, y + height)
    return turned_box(box, degrees, (x, y)) if degrees else box


def _polygon(value: dict[str, Any], size: tuple[int, int]) -> Polygon | None:
    points = value.get("points")
    pairs = [edges(point) for point in points] if isinstance(points, list) else []
    if len(pairs) < 3 or any(pair is None or len(pair) != 2 for pair in pairs):
        return None
    shares = np.array(pairs, np.float64) * size / 100
    return tuple(shares.ravel().tolist())


def _ellipse(value: dict[str, Any], size: tuple[int, int]) -> Polygon | None:
    stated = edges([value.get(name) for name in ("x", "y", "radiusX", "radiusY")])
    degrees = number(value.get("rotation") or 0)
    if stated is None or degrees is None:
        return None
    x, y, rx, ry = (share * side / 100 for share, side in zip(stated, size * 2, strict=True))
    angle = np.deg2rad(degrees)
    half_w = float(np.hypot(rx * np.cos(angle), ry * np.sin(angle)))
    half_h = float(np.hypot(rx * np.sin(angle), ry * np.cos(angle)))
    return x - half_w, y - half_h, x + half_w, y + half_h


OUTLINES = {"rectangle": _rectangle, "polygon": _polygon, "ellipse": _ellipse}
"""What reads each kind of shape: four edges of a box, or a polygon."""
