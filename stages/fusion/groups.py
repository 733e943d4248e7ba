"""Which files are fused with each other: groups from a manifest or file names, read, checked and aligned."""

import csv
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stages.core.errors import DataError
from stages.fusion.alignment import align
from stages.fusion.files import ENDINGS, read_opaque
from stages.fusion.params import Registration
from stages.fusion.pixels import Pictures, in_one_form


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """Files of one scene."""

    name: str
    files: tuple[Path, ...]
    """Two or more."""
    truth: Path | None = None
    """What perfect fusion would give, where that is known."""


def groups_by_manifest(manifest: Path) -> list[Group]:
    """The groups of a CSV table with columns `group` and `picture` and, where it is known, `truth`.

    Each row names one picture, its path starting from the manifest's folder. A group's pictures keep their
    order; one `truth` in any of its rows is enough.

    Raises:
        DataError: No such file, a column missing, a row without group or picture, a path that leaves the
            folder, a group of one picture, or names that are no files' or the same one's.

    """
    try:
        with manifest.open(encoding="utf-8-sig", newline="") as file:
            table = csv.DictReader(file)
            missing = {"group", "picture"} - set(table.fieldnames or ())
            if missing:
                raise DataError(
                    f"{manifest}: column {sorted(missing)[0]} is missing; row 1 names the columns"
                )
            rows = [(f"{manifest}: row {table.line_num}", row) for row in table]
    except FileNotFoundError:
        raise DataError(f"{manifest}: no such file; it is a CSV table of groups and pictures") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{manifest}: no CSV in UTF-8 ({error})") from None
    pictures: dict[str, list[Path]] = {}
    truths: dict[str, Path] = {}
    for where, row in rows:
        name, picture, truth = (
            str(row.get(column) or "").strip() for column in ("group", "picture", "truth")
        )
        if not name or not picture:
            raise DataError(f"{where}: group or picture is empty; fill both or remove the row")
        pictures.setdefault(name, []).append(_below(manifest.parent, picture, where))
        if truth:
            truths[name] = _below(manifest.parent, truth, where)
    return _checked((name, files, truths.get(name)) for name, files in pictures.items())


def groups_by_pattern(folder: Path, pattern: str) -> list[Group]:
    """The pictures below `folder` whose path from there matches the regular expression `pattern` all through.

    What its first parenthesis matches names the group: with `(.+)_[ab].png` the files hat_a.png and
    hat_b.png are the group hat. Groups and the pictures in them come in alphabetical order.

    Raises:
        DataError: No regular expression, one without parenthesis, no match, a group of one picture, or names
            that are no files' or the same one's.

    """
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise DataError(f"pattern {pattern!r}: no regular expression ({error})") from None
    if not expression.groups:
        raise DataError(
            f"pattern {pattern!r}: has no (parenthesis) that names the group, as in (.+)_[ab].png"
        )
    pictures: dict[str, list[Path]] = {}
    for path in sorted(path for path in folder.rglob("*") if path.suffix.lower() in ENDINGS):
        if found := expression.fullmatch(path.relative_to(folder).as_posix()):
            pictures.setdefault(found[1] or "", []).append(path)
    if not pictures:
        raise DataError(f"{folder}: no picture's name matches {pattern!r}")
    return _checked((name, files, None) for name, files in sorted(pictures.items()))


def file_name(group: str) -> str:
    """A group's name as that of a file or a folder; `groups_by_...` see to it that no two have the same."""
    return group.replace("/", "_")


def read_group(files: Sequence[Path], registration: Registration) -> Pictures:
    """The pictures in `files` as sources [S, H, W, C], of one form (see `in_one_form`), aligned.

    Raises:
        DataError: See `read_opaque` and `align`; sizes that differ.

    """
    pictures = [read_opaque(path) for path in files]
    check_sizes(files, pictures)
    return align(np.stack(in_one_form(pictures)), [path.as_posix() for path in files], registration)


def check_sizes(files: Sequence[Path], pictures: Sequence[Pictures]) -> None:
    """Refuse pictures whose sizes differ.

    Raises:
        DataError: One differs from the first.

    """
    height, width = pictures[0].shape[:2]
    for path, picture in zip(files, pictures, strict=True):
        if picture.shape[:2] != (height, width):
            raise DataError(
                f"{path}: {picture.shape[1]} x {picture.shape[0]} pixels, but {files[0]} has "
                f"{width} x {height}; scale or crop them to one size"
            )


def _below(folder: Path, name: str, where: str) -> Path:
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise DataError(f"{where}: {name} leaves the manifest's folder; put the pictures below it")
    return path


def _checked(found: Iterable[tuple[str, list[Path], Path | None]]) -> list[Group]:
    groups = [Group(name=name, files=tuple(files), truth=truth) for name, files, truth in found]
    names: dict[str, str] = {}
    for group in groups:
        if not group.name:
            raise DataError(
                f"{group.files[0]}: its group has no name; let the parenthesis match some of its path"
            )
        if len(group.files) < 2:
            raise DataError(f"group {group.name}: only {group.files[0]}; a group is two pictures or more")
        if (written := file_name(group.name)) in (".", ".."):
            raise DataError(f"group {group.name}: no file can be named so; give it another name")
        if (other := names.setdefault(written, group.name)) != group.name:
            raise DataError(
                f"groups {other} and {group.name}: both would be written as {written}; rename one"
            )
    return groups
