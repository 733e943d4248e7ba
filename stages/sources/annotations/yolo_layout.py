"""Where classes and pictures of a YOLO set are: by data.yaml, darknet's obj.data, or a list of classes."""

import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from stages.core.errors import DataError
from stages.core.packed import SPLITS, Split
from stages.sources.documents import read_text, read_yaml, shown, whole, wrong_name
from stages.sources.naming import PictureFolder, Wrong, split_named
from stages.sources.rows import unsafe


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The classes, and where pictures and labels lie."""

    raw: Path
    folder: Path
    """The folder that paths start from."""
    prefix: str | None
    names: Mapping[int, str]
    keypoints: int = 0
    """Values of a pose after its box; 0: there are no poses."""
    folders: tuple[tuple[Split | None, Path], ...] = ()
    lists: tuple[tuple[Split | None, Path], ...] = ()
    twice: tuple[str, ...] = ()
    """What is said of splits that name pictures of another one, and are left out."""

    def labels_folder(self, pictures: Path) -> Path:
        """The last `images` in the path becomes `labels`; without one the labels lie beside the pictures."""
        parts = list(pictures.relative_to(self.raw).parts)
        if "images" not in parts:
            return pictures
        last = len(parts) - 1 - parts[::-1].index("images")
        return self.raw.joinpath(*parts[:last], "labels", *parts[last + 1 :])

    def label_file(self, picture: Path) -> Path:
        """The text file of a picture's boxes, which need not exist."""
        folders = (self.labels_folder(picture.parent), picture.parent)
        places = [folder / f"{picture.stem}{suffix}" for suffix in (".txt", ".TXT") for folder in folders]
        return next((place for place in places if place.is_file()), places[0])

    def listed(self, file: Path, line: str) -> Path | Wrong:
        """The picture that a line of a list names: from the list's own folder, or that of the classes."""
        found = [place.find(line) for place in self._places(file.parent)]
        if isinstance(found[0], Path):
            # darknet's paths start from its own folder, in which CVAT has everything in data/
            inner = found[0].relative_to(file.parent).as_posix()
            found += [place.find(inner.removeprefix("data/")) for place in self._places(file.parent)]
        return next((one for one in found if isinstance(one, Path) and one.is_file()), found[0])

    def _places(self, folder: Path) -> list[PictureFolder]:
        own = self._own
        return [own] if folder == self.folder else [PictureFolder(folder, self.prefix), own]

    @cached_property
    def _own(self) -> PictureFolder:
        return PictureFolder(self.folder, self.prefix)


def read_layout(raw: Path, name: str, prefix: str | None) -> Layout:
    """The layout that a file below `raw` describes.

    Raises:
        DataError: It describes none.

    """
    file = raw / name
    if file.suffix.lower() in (".yaml", ".yml"):
        return _of_yaml(raw, file, prefix)
    if file.suffix.lower() == ".data":
        return _of_darknet(raw, file, prefix)
    return _of_classes(raw, file, prefix)


def _of_yaml(raw: Path, file: Path, prefix: str | None) -> Layout:
    document = read_yaml(file)
    by_split: dict[Split, str] = {}
    for key, named in document.items() if isinstance(document, dict) else ():
        split = split_named(key) if isinstance(key, str) and named else None
        if split and by_split.setdefault(split, key) != key:
            raise DataError(f"{file}: {by_split[split]} and {key} mean the same split; remove one")
    if not by_split:
        raise DataError(f"{file}: no data.yaml: it needs names and at least one of train, val, test")
    base = document.get("path") or "."
    folders: list[tuple[Split | None, Path]] = []
    lists: list[tuple[Split | None, Path]] = []
    first: dict[Path, Split] = {}
    twice: list[str] = []
    for split in sorted(by_split, key=SPLITS.index):
        named = document[by_split[split]]
        for below in named if isinstance(named, list) else [named]:
            found = _place(raw, file, by_split[split], base, below, prefix)
            if first.setdefault(found, split) != split:  # as the first examples of ultralytics have it
                key, other = by_split[split], by_split[first[found]]
                twice.append(f"{key}: the pictures of {other} once more: {key} is left out, and drawn anew")
                continue
            (lists if found.is_file() else folders).append((split, found))
    return Layout(
        raw=raw,
        folder=file.parent,
        prefix=prefix,
        names=_names(file, document.get("names")),
        keypoints=_keypoints(file, document.get("kpt_shape")),
        folders=tuple(folders),
        lists=tuple(lists),
        twice=tuple(twice),
    )


def _names(file: Path, names: Any) -> dict[int, str]:
    listed = dict(enumerate(names)) if isinstance(names, list) else names
    if not isinstance(listed, dict) or not listed:
        raise DataError(f"{file}: names: want a list of classes, or a mapping from numbers to them")
    numbered: dict[int, str] = {}
    for key, name in listed.items():
        number = whole(key)
        text = str(name) if type(name) is int else name
        wrong = wrong_name(text)
        if number is None or number in numbered:
            raise DataError(f"{file}: names: {shown(key)} is no number of a class, or stands there twice")
        if wrong:
            raise DataError(f"{file}: names: the name of class {number} {wrong}; put it in quotation marks")
        numbered[number] = text.strip()
    return _differing(file, numbered)


def _differing(file: Path, names: dict[int, str]) -> dict[int, str]:
    first: dict[str, int] = {}
    for number, name in names.items():
        if first.setdefault(name, number) != number:
            raise DataError(
                f"{file}: classes {first[name]} and {number} are both called {shown(name)}; rename one"
            )
    return names


def _keypoints(file: Path, shape: Any) -> int:
    """The values of a pose: points times values of each."""
    if shape is None:
        return 0
    sides = [whole(side) for side in shape] if isinstance(shape, list) else []
    if len(sides) != 2 or not all(side is not None and 0 < side < 1000 for side in sides):
        raise DataError(f"{file}: kpt_shape: {shown(shape)} is not two numbers, such as [17, 3]")
    return (sides[0] or 0) * (sides[1] or 0)


def _place(raw: Path, file: Path, key: str, base: Any, below: Any, prefix: str | None) -> Path:
    """A folder or a list of pictures within `raw`; names alone are judged: DVC may link what they name."""
    for text in (base, below):
        if wrong_name(text):
            raise DataError(f"{file}: {key}: {shown(text)} is no name of a folder")
    within = list(dict.fromkeys(_within(raw, file, base, below, prefix)))
    if not within:
        raise DataError(
            f"{file}: {key}: {shown(below)} leads out of {raw}; name a folder in it, or let strip_prefix of "
            "preprocess.detection take off what paths begin with"
        )
    for place in within:
        if place.is_dir() or (place.suffix == ".txt" and place.is_file()):
            return place
    raise DataError(f"{file}: {key}: no folder {within[0]}")


def _within(raw: Path, file: Path, base: str, below: str, prefix: str | None) -> Iterator[Path]:
    """Places that the name may mean; a `path` of another machine is taken for the folder of the file."""
    own = PurePosixPath(file.parent.relative_to(raw))
    cut = PictureFolder(raw, prefix).below
    for start in (own / cut(base), own):
        # Roboflow writes ../train/images for what lies beside data.yaml
        for path in (cut(below), cut(below).removeprefix("../")):
            name = posixpath.normpath(start / path)
            if not unsafe(name):
                yield raw / name


def _of_darknet(raw: Path, file: Path, prefix: str | None) -> Layout:
    """Lines `key = value`; paths start from darknet's folder, CVAT's from that of the file."""
    values: dict[str, str] = {}
    for line in read_text(file).split("\n"):
        key, equals, value = line.partition("=")
        name = key.strip().lower()
        if equals and values.setdefault(name, value.strip()) != value.strip():
            raise DataError(f"{file}: {shown(name)} stands there twice; remove one")
    layout = Layout(raw=raw, folder=file.parent, prefix=prefix, names={})
    found = {key: layout.listed(file, value) for key, value in values.items() if key in DARKNET}
    if "names" not in found or len(found) < 2:
        raise DataError(f"{file}: no obj.data: it needs names = FILE and train = FILE, both within {raw}")
    files = {key: place for key, place in found.items() if isinstance(place, Path) and place.is_file()}
    for key in found:
        if key not in files:
            raise DataError(f"{file}: {key}: no file {shown(values[key])} within {raw}")
    return Layout(
        raw=raw,
        folder=file.parent,
        prefix=prefix,
        names=_listed_names(files.pop("names")),
        lists=tuple((split_named(key), place) for key, place in files.items()),
    )


DARKNET = frozenset({"names", "train", "valid", "val", "test"})
"""The keys of obj.data that are read."""


def _listed_names(file: Path) -> dict[int, str]:
    """A name a line."""
    names = {number: line.strip() for number, line in enumerate(read_text(file).rstrip().split("\n"))}
    for number, name in names.items():
        wrong = wrong_name(name)
        if wrong:
            raise DataError(f"{file}: line {number + 1}: the name of a class {wrong}")
    return _differing(file, names)


def _of_classes(raw: Path, file: Path, prefix: str | None) -> Layout:
    """A list of classes among the labels, or beside them; folders named as splits are give splits."""
    names = _listed_names(file)
    layout = Layout(raw=raw, folder=file.parent, prefix=prefix, names=names)
    around = (file.parent / "images", file.parent.parent / "images", file.parent)
    pictures = next(place for place in around if place.is_dir() and (place == raw or raw in place.parents))
    tops = sorted(path for path in pictures.iterdir() if path.is_dir() and not path.name.startswith("."))
    if tops and all(split_named(path.name) for path in tops):
        folders = tuple((split_named(path.name), path) for path in tops)
    else:
        folders = ((None, pictures),)
    return Layout(raw=raw, folder=layout.folder, prefix=prefix, names=names, folders=folders)
