"""Files of which each holder locks a part. The kernel frees the locks.

These are the kernel's open-file-description locks: a range of bytes belongs to an open file, not to a
process. A process that inherits the open file holds the range, too. The kernel frees the range when the last
of these processes has closed the file or is gone, however it ended. Only write locks are used, since they
need permission to write the file. Everybody who may read a file could take a read lock, so read locks count
for nothing here.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import stat
import struct
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from darkroom.base.errors import DarkroomError, explain_os_error

Range = tuple[int, int]
"""A range of bytes in a file: its first byte, and the one after its last."""

FOR_EVER = 1 << 62
"""The end of a range that reaches as far as a file can."""

_FLOCK = struct.Struct("hhqqi4x")  # struct flock of 64-bit Linux: type, whence, start, length, pid
_TRY_SECONDS = 1.0
_PAUSE_SECONDS = 0.005
_LONGEST_NOTES = 1 << 16
_TRAPS = {errno.EISDIR, errno.ELOOP, errno.ENXIO}  # a folder, a link, a socket


class LockFileError(DarkroomError):
    """A lock file that cannot be used."""


def lock_range(descriptor: int, start: int, end: int) -> bool:
    """Hold a range, if no other open file holds any of it.

    Raises:
        OSError: The file cannot be locked, for another reason than another holder.

    """
    try:
        _ask(descriptor, fcntl.F_OFD_SETLK, fcntl.F_WRLCK, start, end)
    except (BlockingIOError, PermissionError):
        return False
    return True


def unlock_range(descriptor: int, start: int, end: int) -> None:
    """Free a range for everybody who has inherited this open file."""
    _ask(descriptor, fcntl.F_OFD_SETLK, fcntl.F_UNLCK, start, end)


def first_held(descriptor: int, start: int, end: int) -> Range | None:
    """A whole range that another open file holds and that has a part in this one; for reading is enough."""
    kind, _, first, length, _ = _ask(descriptor, fcntl.F_OFD_GETLK, fcntl.F_RDLCK, start, end)
    if kind == fcntl.F_UNLCK:
        return None
    return first, first + length if length else FOR_EVER


def _ask(descriptor: int, command: int, kind: int, start: int, end: int) -> Sequence[int]:
    asked = _FLOCK.pack(kind, os.SEEK_SET, start, end - start, 0)
    return _FLOCK.unpack(fcntl.fcntl(descriptor, command, asked))


def read_notes(descriptor: int) -> list[dict[str, Any]]:
    """What was written, a mapping a line, without what cannot be read: it may be torn, or be anybody's."""
    text = os.pread(descriptor, _LONGEST_NOTES, 0).decode(errors="replace")
    return list(_read_lines(text.splitlines()))


def _read_lines(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    for line in lines:
        with contextlib.suppress(ValueError, RecursionError):
            note = json.loads(line)
            if isinstance(note, dict):
                yield note


def write_notes(descriptor: int, notes: Iterable[Mapping[str, Any]]) -> None:
    """Replace what is written, if that can be: the locks are what counts.

    Cut off half-way, the first of the new notes stand before old ones.
    """
    data = "".join(json.dumps(note, ensure_ascii=False) + "\n" for note in notes).encode()
    with contextlib.suppress(OSError):  # a full file system must not end a run
        os.pwrite(descriptor, data, 0)
        os.ftruncate(descriptor, len(data))


class LockFile:
    """One open file in a folder of the user's own. The file is made where it is missing.

    Raises:
        LockFileError: Something that is no plain file of its own lies there, or it cannot be made.

    """

    def __init__(self, path: Path) -> None:
        self.descriptor = _opened(path)

    def close(self) -> None:
        """Free what it holds, unless others have inherited it."""
        os.close(self.descriptor)

    def __enter__(self) -> LockFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def lock(self, start: int, end: int) -> bool:
        """Hold a range, if no other open file does."""
        return lock_range(self.descriptor, start, end)

    def locked(self, start: int, end: int) -> bool:
        """Whether another open file holds some of a range."""
        return first_held(self.descriptor, start, end) is not None

    def notes(self) -> list[dict[str, Any]]:
        """What was written, as far as it can be read."""
        return read_notes(self.descriptor)

    def write_notes(self, notes: Iterable[Mapping[str, Any]]) -> None:
        """Replace what is written, if that can be."""
        write_notes(self.descriptor, notes)


def _opened(path: Path) -> int:
    give_up = time.monotonic() + _TRY_SECONDS
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
        except OSError as error:
            raise LockFileError(
                _no_file(path) if error.errno in _TRAPS else explain_os_error(error)
            ) from error
        now = os.fstat(descriptor)
        if stat.S_ISREG(now.st_mode) and now.st_nlink == 1:
            return descriptor
        os.close(descriptor)
        if now.st_nlink or time.monotonic() > give_up:
            raise LockFileError(_no_file(path))
        time.sleep(_PAUSE_SECONDS)  # it was removed after it was opened


def _no_file(path: Path) -> str:
    return f"{path}: is no plain file of its own, as a lock must be; remove it"
