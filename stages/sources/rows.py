"""The one form that every source gives: a row for each picture, a finding for each line that is none."""

from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Literal

import numpy as np
import numpy.typing as npt

from stages.core.errors import DataError
from stages.core.files import FOREIGN_SUFFIXES, PICTURE_SUFFIXES
from stages.core.packed import Split
from stages.core.texts import encodable, in_a_line
from stages.intake.folders import names_below, way_out
from stages.intake.form import Oddity

Boxes = npt.NDArray[np.float32]
"""[K, 4]: xyxy, absolute pixels from 0, of the picture turned upright or as it is stored: as it is packed."""

FindingKind = Literal[
    Oddity,
    "unlabelled_picture",
    "stray_file",
    "path_traversal",
    "unfollowed_link",
    "bad_row",
    "unknown_class",
    "size_differs",
    "invalid_box",
    "box_out_of_frame",
    "tiny_box",
    "repeated_box",
    "no_box_left",
    "name_differs",
    "crowd_box",
    "difficult_box",
    "in_another_split",
    "companion_in_another_split",
    "under_several_labels",
    "repeated",
]
"""The kinds of findings; section `preprocess.policy` states what is done about each."""

NO_BOXES: Boxes = np.empty((0, 4), dtype=np.float32)
NO_BOXES.flags.writeable = False
NO_ATTRIBUTES: Mapping[str, float] = MappingProxyType({})
NO_MARKS: Mapping[int, FindingKind] = MappingProxyType({})

Polygon = tuple[float, ...]
"""x1, y1, x2, y2, ... of three corners at the least, in pixels as boxes are."""
NO_POLYGONS: Mapping[int, tuple[Polygon, ...]] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A picture and what its source says of it."""

    where: str
    """The words that findings name it with: its path below the raw folder, or a file and a row."""
    picture: Path | npt.NDArray[np.uint8]
    """A file, or pixels [H, W, C]."""
    labels: tuple[str, ...]
    """Names of classes: one for a picture that is classified, or none, where it has attributes alone; else
    one for each box."""
    boxes: Boxes = field(default_factory=lambda: NO_BOXES)
    places: tuple[str, ...] = ()
    """The place of each box in its file, such as "object 3" or "line 7"."""
    marked: Mapping[int, FindingKind] = field(default_factory=lambda: NO_MARKS)
    """Findings that the annotation itself states, by the number of the box."""
    polygons: Mapping[int, tuple[Polygon, ...]] = field(default_factory=lambda: NO_POLYGONS)
    """The polygons that a box was drawn round, by the box's number; a box that the data gives has none."""
    lost: int = 0
    """Boxes that its source names and that could not be read; a finding names each."""
    split: Split | None = None
    """The split that the data gives; None: `preprocess` decides."""
    group: str | None = None
    """Pictures of one group never stand in two splits."""
    caption: str | None = None
    """What the picture shows, in words; empty: it has no caption; None: the data has no captions."""
    attributes: Mapping[str, float] = field(default_factory=lambda: NO_ATTRIBUTES)
    """Numbers by the name of their column; NaN: unknown."""
    size: tuple[int, int] | None = None
    """Width and height as the annotation states them, to be compared with the picture's."""
    crop: tuple[int, int, int, int] | None = None
    """The part of the picture to take, xyxy in pixels; None: all of it."""

    def __post_init__(self) -> None:
        """Names of files and classes may be bytes of any kind; they have to be printed, and kept as UTF-8."""
        object.__setattr__(self, "where", in_a_line(self.where))
        object.__setattr__(self, "labels", tuple(map(encodable, self.labels)))
        object.__setattr__(self, "caption", None if self.caption is None else encodable(self.caption))


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """Something that is wrong with one picture, box or line."""

    kind: FindingKind
    where: str
    what: str

    def __post_init__(self) -> None:
        """Names of files may be bytes of any kind, and libraries' messages have several lines."""
        object.__setattr__(self, "where", in_a_line(self.where))
        object.__setattr__(self, "what", in_a_line(self.what))


Found = Iterator[Row | Finding]


def led_out(where: str, file: Path, raw: Path) -> Finding | None:
    """What is found of a picture or its annotation that links lead out of the raw folder; None: none does."""
    target = way_out(file, raw)
    if target is None:
        return None
    what = f"leads out of {raw}, to {target}: put a copy there"
    return Finding(kind="unfollowed_link", where=where, what=what)


def unsafe(name: str) -> bool:
    """Whether a path that the data names would lead out of its folder, or to one of another system.

    Names alone are judged: DVC may link pictures from its cache.
    """
    path = PurePosixPath(name)
    return path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name or ":" in name[:2]


def existing_file(path: Path) -> Path:
    """Return `path` if it is a file.

    Raises:
        DataError: It is not a file.

    """
    if not path.is_file():
        raise DataError(f"{path}: no such file; section preprocess of params.yaml names it")
    return path


def existing_folder(path: Path) -> Path:
    """Return `path` if it is a folder.

    Raises:
        DataError: It is not a folder.

    """
    if not path.is_dir():
        raise DataError(f"{path}: no such folder; section preprocess of params.yaml names it")
    return path


def files_below(folder: Path) -> Iterator[str]:
    """Names of all files below `folder`, relative to it, in order; links are named and not followed.

    Raises:
        DataError: A folder that cannot be read.

    """
    return names_below(folder)


def is_picture(name: str) -> bool:
    """Whether the name of a file ends as those of pictures do that are read here."""
    return PurePosixPath(name).suffix.lower() in PICTURE_SUFFIXES


def is_foreign_picture(name: str) -> bool:
    """Whether the name of a file ends as those of pictures do that are not read here."""
    return PurePosixPath(name).suffix.lower() in FOREIGN_SUFFIXES


def foreign_picture(where: str) -> "Finding":
    """What is found of a picture that is not read here."""
    suffix = PurePosixPath(where).suffix
    return Finding(kind="unreadable", where=where, what=f"{suffix} is not read here: save it as PNG or JPEG")


def with_unlabelled(rows: Found, folders: Iterable[Path], what: str) -> Found:
    """Yield the rows, then a finding for each picture below the folders that none of them names."""
    hashes = array("q")  # 8 bytes a name: for two of a million to have the same is one chance in 10^7
    for row in rows:
        if isinstance(row, Row) and isinstance(row.picture, Path):
            hashes.append(hash(row.picture.as_posix()))
        yield row
    named = np.sort(np.array(hashes, dtype=np.int64))
    for folder in _outermost(folders):
        for name in files_below(folder):
            where = (folder / name).as_posix()
            if is_picture(name) and not _stands_in(named, hash(where)):
                yield Finding(kind="unlabelled_picture", where=where, what=what)


def _outermost(folders: Iterable[Path]) -> list[Path]:
    """Each folder once, without those that lie in another one."""
    different = list(dict.fromkeys(folders))
    return [folder for folder in different if not any(other in folder.parents for other in different)]


def _stands_in(ordered: npt.NDArray[np.int64], number: int) -> bool:
    place = int(np.searchsorted(ordered, number))
    return place < len(ordered) and int(ordered[place]) == number
