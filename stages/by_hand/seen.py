"""What a folder of pictures contains, by the names of its files, and a way to read it.

If several files name pictures, one section of params.yaml reads one file for each split.
"""

import codecs
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, Literal, NamedTuple

from stages.core.errors import DataError
from stages.intake.folders import open_file
from stages.sources.documents import read_text
from stages.sources.naming import split_named
from stages.sources.rows import files_below, is_picture

HEAD = 4096  # characters that tell what a file of text is
ASKED = 200  # names of pictures that tell where all start from


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
    beside: Sequence[str] = ()
    """Files and folders of the same kind that it leaves out: one section reads no more."""


class Origin(NamedTuple):
    """The folder that names of pictures start from, and their prefix."""

    folder: str | None
    """The folder below the one of all; None: that of the file which names them."""
    prefix: str = ""
    """What the names begin with and is to be taken off."""


@dataclass(frozen=True)
class FolderListing:
    """A folder and the names of its files, relative to it."""

    folder: Path
    names: Sequence[str]
    unread: list[str] = field(default_factory=list)
    """Files that could name pictures and cannot be read, with what is wrong with them."""

    @cached_property
    def pictures(self) -> list[str]:
        """Files that are named as pictures are."""
        return [name for name in self.names if is_picture(name)]

    @cached_property
    def annotations(self) -> list[str]:
        """Files that may say what pictures show, for all that their names tell."""
        texts = (".json", ".jsonl", ".xml", ".csv", ".tsv", ".parquet", ".txt", ".yaml", ".yml", ".data")
        others = (".xlsx", ".xls", ".ods", ".mat")  # which nothing reads here
        spoken = ("readme", "license", "licence", "about", "notes")
        found = self.ending(*texts, *others)
        return [one for one in found if not PurePosixPath(one).name.lower().startswith(spoken)]

    def tell(self, what: str) -> None:
        """Note what is wrong with a file that could name pictures, once."""
        if what not in self.unread:
            self.unread.append(what)

    def ending(self, *suffixes: str) -> list[str]:
        """Files with one of these suffixes."""
        return [name for name in self.names if PurePosixPath(name).suffix.lower() in suffixes]

    def head(self, name: str) -> str:
        """The first characters of a file; empty where it is no text."""
        return self.encoded_head(name)[0]

    def encoded_head(self, name: str) -> tuple[str, str | None]:
        """The first characters of a file, and its encoding where that has to be told to be known."""
        try:
            with open_file(self.folder / name) as file:  # a pipe would be waited for
                content = file.read(HEAD)
        except OSError:
            return "", None
        if content.startswith((b"\xff\xfe", b"\xfe\xff")):
            return _decoded(content, "utf-16"), None
        try:
            return _decoded(content, "utf-8-sig"), None
        except UnicodeDecodeError:
            return ("", None) if b"\0" in content else (_decoded(content, "latin-1"), "latin-1")

    def text(self, name: str) -> str:
        """All of a file; empty where it is no text."""
        try:
            return read_text(self.folder / name)
        except DataError:
            return ""

    def origin_of(self, named: Sequence[object], beside: str) -> Origin:
        """Find where most of the names start from that a file `beside` gives its pictures."""
        own, split = PurePosixPath(beside).parent.as_posix(), split_of(beside)
        votes: Counter[Origin] = Counter()
        for name in named[:: max(1, len(named) // ASKED)]:
            votes.update(set(self._origins(str(name).strip().replace("\\", "/"))))
        if not votes:
            return Origin(None)
        best = max(
            votes,
            key=lambda one: (
                votes[one],
                not one.prefix,
                one.folder == own,
                split is not None and split_of(f"{one.folder}/.") == split,
                -len(one.folder or ""),
            ),
        )
        return Origin(None, best.prefix) if best.folder == own else best

    def _origins(self, name: str) -> Iterator[Origin]:
        """The places that a name may start from, by each picture that is called as its end says."""
        parts = name.removeprefix("./").split("/")
        base = PurePosixPath(parts[-1])
        known = self._by_name.get(base.name, [])
        if not known and not is_picture(base.name):
            known = self._by_stem.get(base.name, [])
        for picture in known:
            place = [*PurePosixPath(picture).parts[:-1], parts[-1]]
            same = 1
            while same < min(len(parts), len(place)) and parts[-same - 1] == place[-same - 1]:
                same += 1
            prefix = "".join(f"{part}/" for part in parts[:-same])
            yield Origin("/".join(place[:-same]) or ".", prefix)

    @cached_property
    def _by_name(self) -> dict[str, list[str]]:
        return _grouped(self.pictures, lambda path: path.name)

    @cached_property
    def _by_stem(self) -> dict[str, list[str]]:
        return _grouped(self.pictures, lambda path: path.stem)

    def has_picture(self, name: str) -> bool:
        """Whether a picture is called so, whatever its folder, and its suffix where none is given."""
        base = PurePosixPath(name.strip().replace("\\", "/")).name
        return base in self._by_name or base in self._by_stem


def _grouped(pictures: Sequence[str], key: Any) -> dict[str, list[str]]:
    groups = defaultdict(list)
    for name in pictures:
        groups[key(PurePosixPath(name))].append(name)
    return dict(groups)


def _decoded(content: bytes, encoding: str) -> str:
    """The text of a file's beginning, which may end within a character."""
    return codecs.getincrementaldecoder(encoding)().decode(content)


def split_of(name: str) -> str | None:
    """The split that a file is named after, or its folder; None: neither is."""
    path = PurePosixPath(name)
    words = "".join(one if one.isalpha() else " " for one in path.stem).split()
    found = [split_named(word) for word in (*words, path.parent.name)]
    return next((split for split in found if split), None)


def look_at(folder: Path) -> FolderListing:
    """The folder as the formats see it."""
    return FolderListing(
        folder, [name for name in files_below(folder) if "__MACOSX" not in PurePosixPath(name).parts]
    )


@dataclass(frozen=True, slots=True)
class Named:
    """A file that names pictures."""

    name: str
    split: str | None
    """The split that its name tells; None: it tells none."""
    origin: Origin
    weight: int
    """How much it says: boxes, or rows."""


def chosen_of(found: Sequence[Named]) -> tuple[list[Named], list[str]]:
    """The file that says most for each split, or the one for all splits; and the names of the others."""
    best: dict[str | None, Named] = {}
    for one in found:
        known = best.setdefault(one.split, one)
        if one.weight > known.weight:
            best[one.split] = one
    of_all = best.pop(None, None)
    chosen = list(best.values())
    if of_all is not None and of_all.weight >= sum(one.weight for one in chosen):
        chosen = [of_all]
    chosen.sort(key=lambda one: ("train", "val", "test", None).index(one.split))
    return chosen, [one.name for one in found if one not in chosen]


def files_of(chosen: Sequence[Named]) -> Any:
    """The key `file`: one name, or a name for each split."""
    return {one.split: one.name for one in chosen} if chosen[0].split else chosen[0].name


def keys_of(chosen: Sequence[Named]) -> dict[str, Any]:
    """The keys that say where names of pictures start from."""
    folders = {one.split: one.origin.folder for one in chosen}
    prefixes = {one.origin.prefix for one in chosen} - {""}
    given = {split: folder for split, folder in folders.items() if folder is not None}
    pictures = folders[chosen[0].split] if len(set(folders.values())) == 1 else given
    return {"pictures": pictures} | ({"strip_prefix": max(prefixes, key=len)} if prefixes else {})
