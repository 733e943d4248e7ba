"""YOLO: a file of classes and splits; a text file a picture holds its boxes.

`images/a/b.jpg` has `labels/a/b.txt`; where no folder is called images, b.txt lies beside b.jpg. A picture
without a text file shows nothing, as the format has it; an empty one says the same. Where no picture of a
split has such a file, nobody has labelled them.
"""

import os
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from stages.core.errors import DataError
from stages.core.packed import Split
from stages.intake.header import size_of
from stages.sources.annotations.box_list import BoxList
from stages.sources.annotations.params import YoloParams
from stages.sources.annotations.yolo_layout import Layout, read_layout
from stages.sources.annotations.yolo_lines import Thing, read_line
from stages.sources.documents import read_text
from stages.sources.naming import Wrong
from stages.sources.rows import Finding, Found, files_below, is_picture, led_out, with_unlabelled

LISTS_OF_CLASSES = frozenset(
    {"classes.txt", "predefined_classes.txt", "obj.names", "labels.txt", "train.txt", "val.txt", "test.txt"}
)
"""What programs write beside labels and is none."""


def read_yolo(raw: Path, params: YoloParams, *, upright: bool) -> Found:
    """A row for each picture, in order of splits and paths; then the boxes that have no picture.

    `upright`: the pictures will be turned as their EXIF says, and boxes are shares of what comes out.

    Raises:
        DataError: No such file, or it names no classes or no pictures.

    """
    layout = read_layout(raw, params.file, params.strip_prefix)
    for said in layout.twice:
        yield Finding(kind="in_another_split", where=(raw / params.file).as_posix(), what=said)
    for split, folder in layout.folders:
        yield from _in_folder(folder, layout, split, upright)
    listed = (one for split, file in layout.lists for one in _in_list(file, layout, split, upright))
    yield from with_unlabelled(listed, [layout.folder] if layout.lists else [], "no list names it")


def _in_folder(pictures: Path, layout: Layout, split: Split | None, upright: bool) -> Found:
    labels = layout.labels_folder(pictures)
    expected, others, held = set(), [], []
    labelled = split is None
    for name in files_below(pictures):
        if not is_picture(name):
            others.append(pictures / name)
            continue
        file = layout.label_file(pictures / name)
        expected.add(file.as_posix())
        if not labelled and not os.path.lexists(file):
            held.append(pictures / name)  # where none has a file, they were not labelled
            continue
        labelled = True
        for one in held:
            yield from _row(one, layout.label_file(one), layout, split, upright)
        held.clear()
        yield from _row(pictures / name, file, layout, split, upright)
    for one in held:
        what = f"no picture in {pictures} has labels, which should lie in {labels}"
        yield Finding(kind="unlabelled_picture", where=one.as_posix(), what=what)
    more = files_below(labels) if labels != pictures and labels.is_dir() else ()
    for file in chain(others, (labels / name for name in more)):
        where = file.as_posix()
        if where in expected or is_picture(file.name):
            continue
        if (
            file.suffix.lower() == ".txt"
            and labels in file.parents
            and file.name.lower() not in LISTS_OF_CLASSES
        ):
            yield Finding(kind="missing_picture", where=where, what=f"no picture in {pictures}")
        else:
            yield Finding(kind="stray_file", where=where, what="neither a picture nor its labels")


def _in_list(file: Path, layout: Layout, split: Split | None, upright: bool) -> Found:
    for number, line in enumerate(read_text(file).split("\n"), start=1):
        if not line.strip():
            continue
        picture = layout.listed(file, line.strip())
        if isinstance(picture, Wrong):
            yield Finding(kind=picture.kind, where=f"{file}: line {number}", what=picture.what)
        else:
            yield from _row(picture, layout.label_file(picture), layout, split, upright)


def _row(picture: Path, file: Path, layout: Layout, split: Split | None, upright: bool) -> Found:
    labelled = os.path.lexists(file)  # be it a pipe, a folder or a link to nothing: none says "no labels"
    led = led_out(file.as_posix(), file, layout.raw) if labelled else None
    if led is not None:
        yield led
        return
    try:
        lines = read_text(file).split("\n") if labelled else []
    except DataError as error:
        yield Finding(kind="bad_row", where=picture.as_posix(), what=f"its labels cannot be read: {error}")
        return
    # a picture that cannot be read is refused when it is decoded
    size = (size_of(picture, upright=upright) or (1, 1)) if any(map(str.strip, lines)) else (1, 1)
    boxes = BoxList()
    for number, thing in _things(lines, layout):
        if isinstance(thing, str):
            boxes.lost += 1
            yield Finding(kind="invalid_box", where=f"{file}: line {number}", what=thing)
            continue
        shape = tuple(edge * size[place % 2] for place, edge in enumerate(thing.edges))
        if thing.drawn == "box":
            boxes.add(thing.label, f"line {number}", shape)
        else:
            boxes.add_polygons(thing.label, f"line {number}", (shape,))
    yield boxes.row(picture.as_posix(), picture, split)


def _things(lines: list[str], layout: Layout) -> Iterator[tuple[int, Thing | str]]:
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield number, read_line(line, layout.names, layout.keypoints)
