"""Pictures in a folder that others write into: which are whole, and what each of them is.

An input is a name and a content: the same file under another name is another input, and so is other content
under the same name. The folder is only read.
"""

import hashlib
import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from stages.errors import DataError
from stages.sources.rows import files_below, is_picture

Version = tuple[str, int, int]
"""Name, size and time of the last change: where all are as they were, nobody has touched the file."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """A file that may be an input."""

    name: str
    """Its path below the inbox; bytes that are no UTF-8 stand as \\xff."""
    path: Path
    size: int
    changed_ns: int
    """When content, name or permissions last changed: unlike the time of modification nobody can set it."""

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
    """None: too large to be taken into memory."""


@dataclass(slots=True)
class Look:
    """What lies in an inbox."""

    candidates: list[Candidate]
    """In order of their names."""
    waiting: list[str]
    """Changed too recently: they may still be written."""
    known: int
    others: int
    """Not named as pictures are."""


def look(inbox: Path, known: Callable[[Version], bool], quiet_seconds: float) -> Look:
    """Sort the files of the inbox by their names and times, without reading them.

    Raises:
        DataError: no such folder.

    """
    if not inbox.is_dir():
        raise DataError(f"{inbox}: no such folder; make it, or name another inbox")
    seen = Look(candidates=[], waiting=[], known=0, others=0)
    latest = time.time_ns() - int(quiet_seconds * 1e9)
    for name in files_below(inbox):
        if not is_picture(name):
            seen.others += 1
        elif (one := _candidate(inbox / name, name)) is None:
            continue
        elif known(one.version):
            seen.known += 1
        elif one.changed_ns > latest:
            seen.waiting.append(one.name)
        else:
            seen.candidates.append(one)
    return seen


def _candidate(path: Path, name: str) -> Candidate | None:
    """None: it is gone, or no plain file."""
    try:
        now = path.stat()
    except OSError:
        return None
    if not path.is_file():
        return None
    readable = os.fsencode(name).decode("utf-8", "backslashreplace")
    return Candidate(name=readable, path=path, size=now.st_size, changed_ns=now.st_ctime_ns)


def taken(candidates: Iterable[Candidate], max_bytes: int, seen: Look) -> Iterator[Input]:
    """The contents; what changes meanwhile, or cannot be read now, waits for the next look."""
    for one in candidates:
        try:
            with one.path.open("rb") as file:
                if one.size > max_bytes:
                    content, digest = None, hashlib.file_digest(file, "sha256").hexdigest()
                else:
                    content = file.read(one.size + 1)
                    digest = hashlib.sha256(content).hexdigest()
                now = os.fstat(file.fileno())
        except OSError:
            seen.waiting.append(one.name)
            continue
        if (now.st_size, now.st_ctime_ns) == (one.size, one.changed_ns):
            yield Input(file=one, digest=digest, content=content)
        else:
            seen.waiting.append(one.name)
