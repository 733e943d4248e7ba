"""The pictures that stages made at a revision: from the workspace, from git, or from DVC's cache."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from darkroom.base.errors import RepoError
from darkroom.repository.commits import Commit, opened_commit
from darkroom.repository.recorded.revisions import FileKind, Recorded
from darkroom.runs.ended import PICTURE_SUFFIXES, PICTURES_A_FOLDER

MOST_PICTURES = 60
"""The most pictures of a revision; the others are beyond what a page shows."""
IN_A_FOLDER = 2 * PICTURES_A_FOLDER


@dataclass(frozen=True, slots=True)
class Sheets:
    """Pictures by their paths from the root, and the paths that are not on this machine."""

    pictures: Mapping[str, bytes]
    missing: tuple[str, ...]
    """Outs whose content neither the workspace nor the cache has; `dvc pull` brings it."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A picture at two revisions; None: it is not there."""

    path: str
    then: bytes | None
    now: bytes | None


def sheets_at(root: Path, recorded: Recorded) -> Sheets:
    """The first pictures that stages made, at most IN_A_FOLDER of each folder.

    Raises:
        RepoError: DVC cannot read the revision.

    """
    outs = [path for path, file in recorded.files.items() if file.kind is FileKind.MADE]
    if recorded.commit is None:
        return _in_workspace(root, outs)
    with opened_commit(root, recorded.commit) as commit:
        return _in_commit(commit, outs)


def pairs(then: Sheets, now: Sheets) -> list[Pair]:
    """The pictures that differ, or are at one of the two revisions alone."""
    paths = dict.fromkeys([*now.pictures, *then.pictures])
    found = [Pair(path, then.pictures.get(path), now.pictures.get(path)) for path in paths]
    missing = tuple(Path(path) for path in (*then.missing, *now.missing))
    return [
        pair
        for pair in found
        if pair.then != pair.now
        if not (None in (pair.then, pair.now) and any(Path(pair.path).is_relative_to(one) for one in missing))
    ]


def _in_workspace(root: Path, outs: Iterable[str]) -> Sheets:
    found, missing = [], []
    for out in outs:
        path = root / out
        if path.is_dir():
            found += [one for one in sorted(path.rglob("*")) if one.is_file()]
        elif path.is_file():
            found.append(path)
        elif _may_hold_pictures(out):
            missing.append(out)
    names = _chosen(str(path.relative_to(root)) for path in found if path.is_relative_to(root))
    return Sheets({name: (root / name).read_bytes() for name in names}, tuple(missing))


def _in_commit(commit: Commit, outs: Iterable[str]) -> Sheets:
    found, missing = [], []
    for out in (out for out in outs if _may_hold_pictures(out)):
        try:
            below = commit.files(out)
        except RepoError:  # a folder whose list is not in the cache
            missing.append(out)
            continue
        if not below:
            missing.append(out)
        found += [os.path.relpath(Path("/", name), "/") for name in below]
    pictures = {}
    for name in _chosen(found):
        if (content := commit.read_here(name)) is None:
            missing.append(name)
        else:
            pictures[name] = content
    return Sheets(pictures, tuple(missing))


def _may_hold_pictures(out: str) -> bool:
    """A picture, or what has no suffix: a folder."""
    return Path(out).suffix.lower() in (*PICTURE_SUFFIXES, "")


def _chosen(names: Iterable[str]) -> Iterator[str]:
    seen: Counter[Path] = Counter()
    for name in names:
        path = Path(name)
        if path.suffix.lower() in PICTURE_SUFFIXES:
            seen[path.parent] += 1
            if seen[path.parent] <= IN_A_FOLDER and seen.total() <= MOST_PICTURES:
                yield name
