"""COCO: one JSON file of pictures, categories and boxes, for each split or for all.

Lin et al. 2014, "Microsoft COCO: Common Objects in Context". pycocotools takes anything for a box and lets
ids repeat; the file is read here so that each line that is wrong is named.
"""

import json
import math
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import model_validator

from stages.core.errors import DataError
from stages.core.packed import SPLITS, Split
from stages.core.params import StageParams
from stages.sources.params import PictureParams
from stages.sources.rows import Finding, Found, Row, existing_folder, read_text, unsafe, with_unlabelled


class CocoFiles(StageParams):
    """Files of annotations below the raw folder, or null; `all` leaves the splits to `preprocess`."""

    train: str | None
    val: str | None
    test: str | None
    all: str | None


class CocoParams(PictureParams):
    """`format: coco`."""

    format: Literal["coco"]

    annotations: CocoFiles

    pictures: str
    """The folder that `file_name` starts from, below the raw folder."""

    @model_validator(mode="after")
    def _names_a_file(self) -> "CocoParams":
        if not any(self.annotations.model_dump().values()):
            raise ValueError("annotations names no file")
        return self


def read_coco(raw: Path, params: CocoParams) -> Found:
    """A row for each picture, in order of their ids; then the pictures that no file names.

    Raises:
        DataError: a file is missing or no COCO, or an id stands twice.

    """
    folder = existing_folder(raw / params.pictures)
    files: dict[Split | None, str | None] = {split: getattr(params.annotations, split) for split in SPLITS}
    files[None] = params.annotations.all
    rows = (row for split, file in files.items() if file for row in _rows(raw / file, folder, split))
    return with_unlabelled(rows, folder, "no annotation file names it")


def _rows(file: Path, folder: Path, split: Split | None) -> Iterator[Row | Finding]:
    document = _document(file)
    pictures = _by_id(file, document, "images", "file_name")
    categories = _by_id(file, document, "categories", "name")
    boxes_of: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for number, annotation in enumerate(document["annotations"]):
        wrong = _wrong(annotation, pictures, categories)
        if wrong:
            yield Finding(kind="invalid_box", where=f"{file}: annotations[{number}]", what=wrong)
        else:
            boxes_of[annotation["image_id"]].append(annotation | {"place": f"annotations[{number}]"})
    for key in sorted(pictures):
        name, where = pictures[key]["file_name"], f"{file}: image {key}"
        if unsafe(name):
            yield Finding(kind="path_traversal", where=where, what=f"leads out of {folder}: {name!r}")
            continue
        found = boxes_of.get(key, [])
        xywh = np.array([box["bbox"] for box in found], dtype=np.float32).reshape(-1, 4)
        size = pictures[key].get("width"), pictures[key].get("height")
        yield Row(
            where=f"{where}: {name}",
            picture=folder / name,
            labels=tuple(categories[box["category_id"]]["name"] for box in found),
            boxes=np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1),
            places=tuple(box["place"] for box in found),
            marked={number: "crowd_box" for number, box in enumerate(found) if box.get("iscrowd")},
            split=split,
            size=size if all(isinstance(side, int) for side in size) else None,  # type: ignore[arg-type]
        )


def _document(file: Path) -> dict[str, Any]:
    try:
        document = json.loads(read_text(file))
    except ValueError as error:
        raise DataError(f"{file}: no JSON ({error})") from None
    lists = ("images", "categories", "annotations")
    if not isinstance(document, dict) or not all(isinstance(document.get(key), list) for key in lists):
        raise DataError(f"{file}: no COCO annotations: it needs the lists {', '.join(lists)}")
    return document


def _by_id(file: Path, document: dict[str, Any], section: str, name: str) -> dict[int, dict[str, Any]]:
    """The section's entries by their id; each has a name."""
    entries: dict[int, dict[str, Any]] = {}
    for number, entry in enumerate(document[section]):
        good = isinstance(entry, dict) and type(entry.get("id")) is int and isinstance(entry.get(name), str)
        if not good:
            raise DataError(f"{file}: {section}[{number}]: needs a whole number as id and a text as {name}")
        if entries.setdefault(entry["id"], entry) is not entry:
            raise DataError(f"{file}: {section}[{number}]: id {entry['id']} stands there twice")
    return entries


def _wrong(annotation: Any, pictures: dict[int, Any], categories: dict[int, Any]) -> str | None:
    """What is wrong with an annotation, or None."""
    if not isinstance(annotation, dict):
        return "not an object"
    for key, known in (("image_id", pictures), ("category_id", categories)):
        if type(annotation.get(key)) is not int or annotation[key] not in known:
            return f"{key} {annotation.get(key)!r} is not in the file"
    box = annotation.get("bbox")
    numbers = isinstance(box, list) and len(box) == 4 and all(type(edge) in (int, float) for edge in box)
    if not numbers or not all(map(math.isfinite, box)):  # type: ignore[arg-type]
        return f"bbox {box!r} is not four numbers"
    return None
