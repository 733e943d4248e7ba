"""Pictures in a folder that others write into: which of them are complete, and their identity.

An input is a name together with a content. The same file under another name is another input, and so is other
content under the same name. The folder is only read.

Others may put anything into the folder. So no link is followed, neither symbolic nor hard: it could name a
file that only the owner of this process may read. Pipes and devices are not opened either.
"""

import contextlib
import hashlib
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from stages.core.errors import DataError
from stages.sources.rows import is_picture

Version = tuple[str, int, int]
"""Name, size and time of the last change: where all are as they were, nobody has touched the file."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """A file that may be an input."""

    name: str
    """The file's path below the inbox; bytes that are no UTF-8 are written as \\xff."""
    path: Path
    """The path below the inbox as the file system has it."""
    size: int
    """Size in bytes."""
    changed_ns: int
    """Time in nanoseconds of the last change of content, name or permissions, which nobody can set."""
    mode: int
    """The file's permissions, which what is made of it gets too."""

    @property
    def version(self) -> Version:
        """What is known of the file without reading it."""
        return self.name, self.size, self.changed_ns


@dataclass(frozen=True, kw_only=True, slots=True)
class Input:
    """A file, and its content as it was at one moment."""

    file: Candidate
    digest: str
    """SHA-256 of the content."""
    content: bytes | None
    """The file's content; None: it is too large to be taken into memory."""


@dataclass(slots=True)
class Look:
    """What lies in an inbox."""

    folder: Path
    candidates: list[Candidate]
    """Files that may be inputs, in order of their names."""
    waiting: list[str]
    """Names of files that changed so recently that they may still be written."""
    known: int
    others: int
    """Number of files whose names are not those of pictures."""
    links: list[str]
    """Names of links, and of all that is neither a file nor a folder; none is ever opened."""


def look(inbox: Path, known: Callable[[Version], bool], quiet_seconds: float) -> Look:
    """Sort the files of the inbox by their names and times, without reading them.

    Raises:
        DataError: No such folder.

    """
    if not inbox.is_dir():
        raise DataError(f"{inbox}: no such folder; make it, or name another inbox")
    seen = Look(folder=inbox.resolve(), candidates=[], waiting=[], known=0, others=0, links=[])
    latest = time.time_ns() - int(quiet_seconds * 1e9)
    for path, found in _entries(seen.folder):
        candidate = _candidate(path, found)
        if not _is_plain(found):
            seen.links.append(candidate.name)
        elif not is_picture(path.name):
            seen.others += 1
        elif known(candidate.version):
            seen.known += 1
        elif candidate.changed_ns > latest:
            seen.waiting.append(candidate.name)
        else:
            seen.candidates.append(candidate)
    return seen


def _entries(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """All that is no folder below `folder`, by its path from there, in order; hidden names are left out."""
    for parent, folders, files, descriptor in os.fwalk(folder, follow_symlinks=False):
        names = sorted(name for name in (*folders, *files) if not name.startswith("."))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in names:
            with contextlib.suppress(OSError):  # it is gone
                found = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
                if not stat.S_ISDIR(found.st_mode):
                    yield Path(parent, name).relative_to(folder), found


def _candidate(path: Path, found: os.stat_result) -> Candidate:
    readable = os.fsencode(path.as_posix()).decode("utf-8", "backslashreplace")
    return Candidate(
        name=readable,
        path=path,
        size=found.st_size,
        changed_ns=found.st_ctime_ns,
        mode=stat.S_IMODE(found.st_mode),
    )


def _is_plain(found: os.stat_result) -> bool:
    """Whether it is a file that has just this name."""
    return stat.S_ISREG(found.st_mode) and found.st_nlink == 1


def taken(candidates: Iterable[Candidate], max_bytes: int, seen: Look) -> Iterator[Input]:
    """Read the candidates; one that changes meanwhile, or cannot be read now, waits for the next look."""
    for candidate in candidates:
        try:
            with open(_opened(seen.folder, candidate.path), "rb") as file:
                before = os.fstat(file.fileno())
                if not _is_plain(before) or _candidate(candidate.path, before) != candidate:
                    seen.waiting.append(candidate.name)
                    continue
                if candidate.size > max_bytes:
                    content, digest = None, hashlib.file_digest(file, "sha256").hexdigest()
                else:
                    content = file.read(candidate.size + 1)
                    digest = hashlib.sha256(content).hexdigest()
                after = os.fstat(file.fileno())
        except OSError:
            seen.waiting.append(candidate.name)
            continue
        if _candidate(candidate.path, after) == candidate:
            yield Input(file=candidate, digest=digest, content=content)
        else:
            seen.waiting.append(candidate.name)


def _opened(folder: Path, path: Path) -> int:
    """Open the file at `path` below `folder`, and return its descriptor.

    Raises:
        OSError: A link stands in the way, or the file cannot be opened.

    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    for part in path.parts[:-1]:
        descriptor = _opened_in(descriptor, part, os.O_DIRECTORY)
    return _opened_in(descriptor, path.name, os.O_NONBLOCK)  # a pipe would wait for a writer


def _opened_in(folder: int, name: str, flags: int) -> int:
    """A descriptor of what stands in an opened folder, which is closed."""
    try:
        return os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NOCTTY | flags, dir_fd=folder)
    finally:
        os.close(folder)
