"""What a folder of pictures could be: each format says what of section `preprocess` would read it.

A function a format looks at names, and at the beginnings of files, and gives guesses. Whether a guess is
right the format's own reader tells: nothing is understood twice.
"""

import csv
import io
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import yaml

from stages.intake.folders import open_file
from stages.sources.documents import read_text
from stages.sources.naming import split_named
from stages.sources.rows import files_below, is_picture

HEAD = 4096  # characters that tell what a file of text is
LABELS = (
    "label",
    "class",
    "class_name",
    "classname",
    "category",
    "name",
    "target",
    "species",
    "diagnosis",
    "dx",
)
"""Names of columns, in small letters, that hold classes; the first that a table has."""
BOXES: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "corners": (
        ("xmin", "ymin", "xmax", "ymax"),
        ("x1", "y1", "x2", "y2"),
        ("x_min", "y_min", "x_max", "y_max"),
    ),
    "corner-and-size": (
        ("x", "y", "width", "height"),
        ("x", "y", "w", "h"),
        ("left", "top", "width", "height"),
    ),
}
"""Names of the columns of boxes by what they hold."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Guess:
    """A way to read the folder."""

    task: Literal["classification", "detection"]
    source: dict[str, Any]
    """The format's own keys, without classes, form and split."""
    layout: str
    """How the files lie, in words."""
    has_form: bool = True
    """Whether pictures are brought to a form that is to be chosen; those of IDX are stored in it."""


@dataclass(frozen=True)
class Seen:
    """A folder and the names of its files, relative to it."""

    folder: Path
    names: Sequence[str]

    @cached_property
    def pictures(self) -> list[str]:
        """Those that are named as pictures are."""
        return [name for name in self.names if is_picture(name)]

    def ending(self, *suffixes: str) -> list[str]:
        """Those with one of these suffixes."""
        return [name for name in self.names if PurePosixPath(name).suffix.lower() in suffixes]

    def head(self, name: str) -> str:
        """The first characters of a file; empty where it is no text."""
        try:
            # a pipe would be waited for
            with io.TextIOWrapper(open_file(self.folder / name), encoding="utf-8-sig") as file:
                return file.read(HEAD)
        except (OSError, UnicodeDecodeError):
            return ""

    def folder_of(self, named: str, beside: str) -> tuple[str | None, bool]:
        """Where names start from of which `named` is one, for a file `beside` them; and whether it is found.

        None: the folder of that file.
        """
        named = named.replace("\\", "/")
        if (self.folder / beside).parent.joinpath(named).is_file():
            return None, True
        for picture in self.pictures:
            if f"/{picture}".endswith(f"/{named}"):
                return picture[: -len(named)].rstrip("/") or ".", True
        return None, False


def look_at(folder: Path) -> Seen:
    """The folder as the formats see it."""
    return Seen(folder, [name for name in files_below(folder) if "__MACOSX" not in PurePosixPath(name).parts])


def guesses(seen: Seen) -> list[Guess]:
    """What the folder could be, formats with annotations first."""
    formats = (_idx, _yolo, _coco, _voc, _cvat, _labelme, _label_studio, _tables, _image_folder)
    return [guess for one in formats for guess in one(seen)]


def _idx(seen: Seen) -> Iterator[Guess]:
    if "train-images-idx3-ubyte" in seen.names:
        try:
            with open_file(seen.folder / "train-labels-idx1-ubyte") as file:
                raw = file.read()[8:]
        except OSError:
            return
        names = [f"class {label}" for label in range(max(raw, default=0) + 1)]
        source = {"format": "idx", "classes": names}
        yield Guess(task="classification", source=source, layout="IDX files", has_form=False)


def _yolo(seen: Seen) -> Iterator[Guess]:
    for name in seen.ending(".yaml", ".yml"):
        try:
            document = yaml.safe_load(read_text(seen.folder / name))
        except Exception:
            continue
        if isinstance(document, dict) and "names" in document:
            yield Guess(task="detection", source={"format": "yolo", "file": name}, layout=f"YOLO, by {name}")


def _coco(seen: Seen) -> Iterator[Guess]:
    files: dict[str, str] = {}
    folders: dict[str, str | None] = {}
    for name, document in _documents(seen):
        if not isinstance(document, dict) or not isinstance(document.get("images"), list):
            continue
        if not document.get("annotations") or not document["images"]:
            continue
        files[split := _split_of(name)] = name
        folders[split], _ = seen.folder_of(str(document["images"][0].get("file_name")), name)
    if files:
        source = {"format": "coco", "annotations": _per_split(files), "pictures": _per_folder(folders)}
        yield Guess(task="detection", source=source, layout=f"COCO, {len(files)} JSON")


def _voc(seen: Seen) -> Iterator[Guess]:
    found = [name for name in seen.ending(".xml") if "<annotation" in seen.head(name)]
    found = [name for name in found if "<annotations" not in seen.head(name)]
    if not found:
        return
    first = PurePosixPath(found[0])
    picture = next((name for name in seen.pictures if PurePosixPath(name).stem == first.stem), None)
    if picture is None:
        return
    above, beside = first.parent.parent, PurePosixPath(picture).parent
    if beside == first.parent:
        folder, keys = first.parent, {"annotations": ".", "pictures": "."}
        if split_named(folder.name):
            folder = folder.parent
    else:
        folder = above if beside.is_relative_to(above) else PurePosixPath()
        keys = {
            "annotations": first.parent.relative_to(folder).as_posix(),
            "pictures": beside.relative_to(folder).as_posix(),
        }
    low = any("<xmin>0<" in seen.head(name).replace(" ", "") for name in found[:200])
    usual = {"annotations": "Annotations", "pictures": "JPEGImages"}
    source = {"format": "pascal-voc", "folder": folder.as_posix(), "first_pixel": 0 if low else 1}
    source |= {key: value for key, value in keys.items() if value != usual[key]}
    yield Guess(task="detection", source=source, layout=f"Pascal VOC, {len(found):,} XML")


def _cvat(seen: Seen) -> Iterator[Guess]:
    for name in seen.ending(".xml"):
        head = seen.head(name)
        if "<annotations" in head:
            named = re.search(r'<image[^>]* name="([^"]+)"', head)
            pictures, _ = seen.folder_of(named[1], name) if named else (None, False)
            source = {"format": "cvat", "file": name, "pictures": pictures}
            yield Guess(task="detection", source=source, layout=f"CVAT, by {name}")


def _labelme(seen: Seen) -> Iterator[Guess]:
    found = [name for name in seen.ending(".json") if '"shapes"' in seen.head(name)]
    if found:
        source = {"format": "labelme", "folder": "."}
        yield Guess(task="detection", source=source, layout=f"LabelMe, {len(found):,} JSON")


def _label_studio(seen: Seen) -> Iterator[Guess]:
    for name, document in _documents(seen):
        task = document[0] if isinstance(document, list) and document else None
        if not isinstance(task, dict) or not isinstance(task.get("data"), dict) or "annotations" not in task:
            continue
        key, picture = next(((k, v) for k, v in task["data"].items() if is_picture(str(v))), (None, ""))
        if key is None:
            continue
        pictures, _ = seen.folder_of(PurePosixPath(str(picture)).name, name)
        source = {"format": "label-studio", "file": name, "pictures": pictures, "picture": key}
        choices = '"choices"' in json.dumps(task["annotations"])
        task_name: Literal["classification", "detection"] = "classification" if choices else "detection"
        yield Guess(task=task_name, source=source, layout=f"Label Studio, by {name}")


def _tables(seen: Seen) -> Iterator[Guess]:
    for name in seen.ending(".csv", ".tsv", ".txt"):
        lines = [line for line in seen.head(name).splitlines() if line.strip()][:-1]
        if len(lines) < 2:
            continue
        try:
            dialect = csv.Sniffer().sniff("\n".join(lines[:20]), ",;\t|")
        except csv.Error:
            continue
        head, *rows = list(csv.reader(lines, dialect))
        first = dict(zip(head, rows[0], strict=False))
        picture = next((column for column, cell in first.items() if is_picture(cell)), None)
        label = next((column for word in LABELS for column in head if column.strip().lower() == word), None)
        if picture is None or label is None:
            continue
        pictures, _ = seen.folder_of(first[picture], name)
        columns: dict[str, Any] = {"picture": picture, "label": label}
        split = next(
            (column for column in head if column.strip().lower() in ("split", "set", "subset")), None
        )
        columns |= {} if split is None else {"split": split}
        source = {"format": "csv", "file": name, "pictures": pictures, "columns": columns}
        small = {column.strip().lower(): column for column in head}
        boxes = [(kind, four) for kind, all_ in BOXES.items() for four in all_ if set(four) <= set(small)]
        if boxes:
            kind, four = boxes[0]
            columns["box"] = [small[word] for word in four]
            source |= {} if kind == "corners" else {"box_as": kind}
        task: Literal["classification", "detection"] = "detection" if boxes else "classification"
        yield Guess(task=task, source=source, layout=f"a table, {name}")


def _image_folder(seen: Seen) -> Iterator[Guess]:
    folder = PurePosixPath()
    while True:  # a wrapping folder holds all pictures
        tops = {
            PurePosixPath(name).relative_to(folder).parts[0] for name in seen.pictures if _below(name, folder)
        }
        (only, *others) = [*sorted(tops), None]
        if only is None or others != [None] or is_picture(only) or split_named(only):
            break
        folder /= only
    if all(map(is_picture, tops)):
        return
    source = {"format": "image-folder", "folder": folder.as_posix()}
    splits = sorted(top for top in tops if split_named(top))
    layout = f"a folder for each class, in {', '.join(splits)}" if splits else "a folder for each class"
    yield Guess(task="classification", source=source, layout=layout)


def _below(name: str, folder: PurePosixPath) -> bool:
    return PurePosixPath(name).is_relative_to(folder)


def _documents(seen: Seen) -> Iterator[tuple[str, Any]]:
    """JSON files that could be of all pictures, with what they hold."""
    for name in seen.ending(".json"):
        if '"shapes"' in seen.head(name):
            continue
        try:
            yield name, json.loads(read_text(seen.folder / name))
        except Exception:
            continue


def _split_of(name: str) -> str:
    """The split that a file of annotations is named after, or its folder; else `all`."""
    path = PurePosixPath(name)
    words = [re.sub(r"\d+", "", word) for word in re.split(r"[^A-Za-z0-9]+", path.stem)]
    found = [split_named(word) for word in (*words, path.parent.name)]
    return next((split for split in found if split), "all")


def _per_split(files: Mapping[str, str]) -> dict[str, str]:
    return {split: files[split] for split in ("train", "val", "test", "all") if split in files}


def _per_folder(folders: Mapping[str, str | None]) -> Any:
    """One folder for all splits where it is the same."""
    different = set(folders.values())
    if len(different) == 1:
        return different.pop()
    return _per_split({split: folder for split, folder in folders.items() if folder is not None})


def counted(labels: Sequence[str]) -> dict[str, int]:
    """How often each label stands, the commonest first."""
    counts: dict[str, int] = defaultdict(int)
    for label in labels:
        counts[label] += 1
    return dict(sorted(counts.items(), key=lambda one: (-one[1], one[0])))
