"""From the name that an annotation gives a picture to its file: prefixes, backslashes, missing suffixes."""

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from stages.core.errors import DataError
from stages.core.packed import Split
from stages.sources.documents import shown, wrong_name
from stages.sources.params import Folders, PerSplit
from stages.sources.rows import FindingKind, files_below, is_picture, unsafe

SPLIT_NAMES: dict[str, Split] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev", "eval"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""The split that each usual name means, in small letters."""


def split_named(name: str) -> Split | None:
    """The split that a folder, a file's stem, a key or a cell names, in any case; None: it names none."""
    return SPLIT_NAMES.get(name.strip().lower())


def split_within(name: str) -> Split | None:
    """The split that a word in the name of a folder means, as in seg_train, train2017 or TestSet; or None."""
    words = [re.sub("(set|data|images)$", "", word) for word in re.findall("[a-z]+", name.lower())]
    return next((SPLIT_NAMES[word] for word in words if word in SPLIT_NAMES), None)


def splits_among(
    folder: Path, names: Collection[str], classes: Collection[str] = frozenset()
) -> dict[str, Split]:
    """The splits of folders right in `folder`, by their names; empty if none is a split.

    Those are splits that are called as splits are. If there is none, a word in the names counts if the words
    mean train and another split: a train station alone is none. What is among `classes` is no split.

    Raises:
        DataError: Some of the folders look like splits and others do not.

    """
    asked = [name for name in names if name not in classes]
    found = {name: split for name in asked if (split := split_named(name))}
    if not found:
        found = {name: split for name in asked if (split := split_within(name))}
        if "train" not in found.values() or len(set(found.values())) < 2:
            return {}
    require_alike(folder, list(found), names)
    return found


def require_alike(folder: Path, splits: Collection[str], all_folders: Collection[str]) -> None:
    """Refuse folders of which some are splits by their names and others are not.

    Raises:
        DataError: Names both.

    """
    others = [name for name in all_folders if name not in splits]
    if splits and others:
        raise DataError(
            f"{folder}: {_first_three(list(splits))} look like splits, {_first_three(others)} do not: "
            "move away or rename what is none, or name another `folder`; or, if all are classes, name them "
            "in preprocess.classification.classes"
        )


def _first_three(names: list[str]) -> str:
    """Up to three of the names, and how many more there are."""
    more = [f"{len(names) - 3} more"] if len(names) > 3 else []
    return ", ".join([*names[:3], *more])


@dataclass(frozen=True, slots=True)
class Wrong:
    """Why a name leads to no picture."""

    kind: FindingKind
    what: str


@dataclass(frozen=True)
class PictureFolder:
    """A folder of pictures, and what the names of its pictures begin with in the annotations."""

    folder: Path
    prefix: str | None = None
    """Taken off the beginning of names; of Windows or of here."""

    def find(self, name: object) -> Path | Wrong:
        """The file of a name; one that does not exist is told when it is decoded.

        A name without a suffix means the one picture that is called so but for its suffix.
        """
        wrong = wrong_name(name)
        if wrong:
            return Wrong("bad_row", f"the picture's name {wrong}")
        assert isinstance(name, str)
        below = self.below(name)
        if unsafe(below):
            return Wrong("path_traversal", f"leads out of {self.folder}: {shown(name)}{self._advice(below)}")
        if is_picture(below) or (self.folder / below).is_file():
            return self.folder / below
        files = self._by_stem.get(below, [])
        if len(files) > 1:
            return Wrong("bad_row", f"{shown(name)} means several pictures: {', '.join(files[:3])}")
        return self.folder / (files[0] if files else below)

    def below(self, name: str) -> str:
        """The name with slashes, without the prefix."""
        path, prefix = name.replace("\\", "/"), (self.prefix or "").replace("\\", "/")
        if prefix and path.startswith(prefix):
            path = path.removeprefix(prefix).lstrip("/")
        while path.startswith("./"):
            path = path[2:]
        return path

    def _advice(self, below: str) -> str:
        absolute = below.startswith("/") or ":" in below[:2]
        return "; if all begin so, let strip_prefix take it off" if absolute else ""

    @cached_property
    def _by_stem(self) -> dict[str, list[str]]:
        """Pictures by their path without suffix."""
        found = defaultdict(list)
        for name in files_below(self.folder) if self.folder.is_dir() else ():
            if is_picture(name):
                found[PurePosixPath(name).with_suffix("").as_posix()].append(name)
        return dict(found)


class ByStem:
    """Pictures of a folder, found for annotations of the same names but for the suffix."""

    def __init__(self, pictures: Iterable[str], annotations: Iterable[str]) -> None:
        """Take the names of the pictures, and of the annotations without suffix, each from its own folder."""
        self._by_path: dict[str, list[str]] = defaultdict(list)
        self._by_name: dict[str, list[str]] = defaultdict(list)
        for picture in pictures:
            path = PurePosixPath(picture).with_suffix("")
            self._by_path[path.as_posix()].append(picture)
            self._by_name[path.name].append(picture)
        self._annotations = Counter(PurePosixPath(stem).name for stem in annotations)

    def find(self, stem: str, named: str) -> str | Wrong | None:
        """The picture of an annotation, `stem`, which calls it `named`; None: there is none so called.

        It has the annotation's path; else it lies in a folder beside the annotation's; else it is the
        only one that is called so.
        """
        path = PurePosixPath(stem)
        same = self._by_name.get(path.name, [])
        beside = [one for one in same if PurePosixPath(one).parent.parent == path.parent.parent]
        alone = same if self._annotations[path.name] == 1 else []
        for found in (self._by_path.get(stem, []), beside, alone):
            base = PurePosixPath(named.replace("\\", "/")).name
            chosen = [one for one in found if PurePosixPath(one).name == base] if len(found) > 1 else found
            if len(chosen) == 1:
                return chosen[0]
            if found:
                return Wrong("bad_row", f"{shown(stem)} means several pictures: {', '.join(found[:3])}")
        return None


@dataclass(frozen=True, slots=True)
class AnnotationFile:
    """A file of annotations or a table, and the pictures that it names."""

    file: Path
    split: Split | None
    """The split that all of its pictures are in; None: it is not known."""
    pictures: PictureFolder


def annotation_files(
    raw: Path, files: str | PerSplit, pictures: Folders, prefix: str | None
) -> list[AnnotationFile]:
    """The files of a source below `raw`, and what names in each of them start from.

    Raises:
        DataError: A folder of pictures does not exist.

    """
    named = files.given() if isinstance(files, PerSplit) else {None: files}
    found = []
    for split, name in named.items():
        file = raw / name
        below = pictures.given().get(split) if isinstance(pictures, PerSplit) else pictures
        folder = file.parent if below is None else raw / below
        if not folder.is_dir():
            raise DataError(f"{folder}: no such folder; preprocess names it as the pictures of {file}")
        found.append(AnnotationFile(file, split, PictureFolder(folder, prefix)))
    return found
