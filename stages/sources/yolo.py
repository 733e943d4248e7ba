"""YOLO: data.yaml names the classes and a folder of pictures a split; a text file a picture holds its boxes.

`images/a/b.jpg` has `labels/a/b.txt`, a line a box: class, centre x, centre y, width, height, as shares of
the picture. A picture without a text file shows nothing, as the format has it; an empty one says the same.
"""

import math
import posixpath
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np
import yaml

from stages.core.errors import DataError
from stages.core.packed import SPLITS, Split
from stages.intake.decoding import size_of
from stages.sources.params import PictureParams
from stages.sources.rows import Finding, Found, Row, files_below, is_picture, read_text, unsafe


class YoloParams(PictureParams):
    """`format: yolo`."""

    format: Literal["yolo"]

    file: str
    """data.yaml, below the raw folder; its `path` and folders start from its own folder."""


def read_yolo(raw: Path, params: YoloParams, *, upright: bool) -> Found:
    """A row for each picture, in order of splits and paths; then the boxes that have no picture.

    `upright`: the pictures will be turned as their EXIF says, and boxes are shares of what comes out.

    Raises:
        DataError: no such file, or no data.yaml.

    """
    file = raw / params.file
    document = _document(file)
    names = _names(file, document.get("names"))
    for split in SPLITS:
        for pictures in _folders(raw, file, split, document):
            yield from _rows(pictures, _labels_folder(file, split, pictures), names, split, upright)


def _document(file: Path) -> dict[str, Any]:
    try:
        document = yaml.safe_load(read_text(file))
    except yaml.YAMLError as error:
        raise DataError(f"{file}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(document, dict) or not any(split in document for split in SPLITS):
        raise DataError(f"{file}: no data.yaml: it needs names and at least one of {', '.join(SPLITS)}")
    return document


def _names(file: Path, names: Any) -> dict[int, str]:
    listed = dict(enumerate(names)) if isinstance(names, list) else names
    if not isinstance(listed, dict) or not all(
        type(k) is int and isinstance(v, str) for k, v in listed.items()
    ):
        raise DataError(f"{file}: names: want a list of classes, or a mapping from numbers to them")
    return listed


def _folders(raw: Path, file: Path, split: Split, document: dict[str, Any]) -> list[Path]:
    """What the split names: one folder of pictures, or a list of them."""
    named = document.get(split) or []
    base = document.get("path") or "."
    return [
        _folder(raw, file, split, base, below) for below in (named if isinstance(named, list) else [named])
    ]


def _folder(raw: Path, file: Path, split: Split, base: Any, below: Any) -> Path:
    """A folder within `raw`; names alone are judged: DVC may link pictures from its cache."""
    if not isinstance(base, str) or not isinstance(below, str):
        raise DataError(f"{file}: {split}: {below!r} is no name of a folder")
    if below.endswith(".txt"):
        raise DataError(f"{file}: {split}: {below!r}: lists of pictures are not read; name their folders")
    start = PurePosixPath(file.parent.relative_to(raw), base)
    # Roboflow writes ../train/images for what lies beside data.yaml
    names = [posixpath.normpath(start / path) for path in (below, below.removeprefix("../"))]
    within = [raw / name for name in names if not unsafe(name)]
    if not within:
        raise DataError(f"{file}: {split}: {below!r} leads out of {raw}; name a folder in it")
    for folder in within:
        if folder.is_dir():
            return folder
    raise DataError(f"{file}: {split}: no folder {within[0]}")


def _labels_folder(file: Path, split: Split, pictures: Path) -> Path:
    """The last `images` in the path becomes `labels`."""
    parts = list(pictures.parts)
    if "images" not in parts:
        raise DataError(f"{file}: {split}: {pictures} has no folder `images` in it; the format asks for one")
    last = len(parts) - 1 - parts[::-1].index("images")
    return Path(*parts[:last], "labels", *parts[last + 1 :])


def _rows(pictures: Path, labels: Path, names: dict[int, str], split: Split, upright: bool) -> Found:
    stems = set()
    for name in files_below(pictures):
        if not is_picture(name):
            yield Finding(kind="stray_file", where=(pictures / name).as_posix(), what="no picture")
            continue
        stems.add(PurePosixPath(name).with_suffix("").as_posix())
        file = labels / PurePosixPath(name).with_suffix(".txt")
        yield from _row(pictures / name, file, names, split, upright)
    for name in files_below(labels) if labels.is_dir() else ():
        stem = PurePosixPath(name).with_suffix("").as_posix()
        if stem not in stems:
            where = (labels / name).as_posix()
            yield Finding(kind="missing_picture", where=where, what=f"no picture in {pictures}")


def _row(picture: Path, file: Path, names: dict[int, str], split: Split, upright: bool) -> Found:
    # one that cannot be read is refused when it is decoded
    width, height = size_of(picture, upright=upright) or (1, 1)
    boxes, labels, places = [], [], []
    for number, line in enumerate(read_text(file).splitlines() if file.is_file() else [], start=1):
        if not line.strip():
            continue
        wrong = _wrong(line, names)
        if wrong:
            yield Finding(kind="invalid_box", where=f"{file}: line {number}", what=wrong)
            continue
        label, x, y, w, h = line.split()
        half_w, half_h = float(w) / 2, float(h) / 2
        edges = (float(x) - half_w, float(y) - half_h, float(x) + half_w, float(y) + half_h)
        boxes.append([edge * side for edge, side in zip(edges, (width, height) * 2, strict=True)])
        labels.append(names[int(label)])
        places.append(f"line {number}")
    yield Row(
        where=picture.as_posix(),
        picture=picture,
        labels=tuple(labels),
        boxes=np.array(boxes, dtype=np.float32).reshape(-1, 4),
        places=tuple(places),
        split=split,
    )


def _wrong(line: str, names: dict[int, str]) -> str | None:
    """What is wrong with a line, or None."""
    words = line.split()
    if len(words) != 5:
        return f"{len(words)} values, want class, x, y, width, height: polygons and poses are not read"
    if not words[0].isdecimal() or int(words[0]) not in names:
        return f"class {words[0]!r} is not among names"
    try:
        values = [float(word) for word in words[1:]]
    except ValueError:
        return f"{words[1:]} is not four numbers"
    if not all(map(math.isfinite, values)) or max(map(abs, values)) > 2:
        return f"{words[1:]} are not shares of the picture"
    return None
