"""Files that all users of a host lock parts of and write notes in, in one folder that all share.

The locks are the kernel's open-file-description locks: a range of bytes belongs to an open file, not to a
process. Whoever inherits the open file holds the range too, and the kernel frees it when the last of them
has closed it or is gone, however it went. Notes say who holds a range; they count only while it is locked.

The folder is writable for everybody, as /tmp is: names in it are never followed where they are links, and
another user's file is opened without O_CREAT, which kernels refuse there (fs.protected_regular).
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import stat
import struct
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from flows.errors import DarkroomError

FOLDER_VARIABLE = "DARKROOM_LEASES"
SHARED_FOLDERS = (Path("/run/lock"), Path("/dev/shm"), Path("/tmp"))

Range = tuple[int, int]
"""From the first byte to the one after the last."""

_OPEN_TO_ALL = stat.S_ISVTX | stat.S_IRWXO
_FLOCK = struct.Struct("hhqqi4x")  # struct flock of 64-bit Linux: type, whence, start, length, pid
_TRY_SECONDS = 1.0
_PAUSE_SECONDS = 0.005
_PASSING = (FileNotFoundError, FileExistsError, PermissionError)
_LONGEST_NOTES = 1 << 20


class LeaseError(DarkroomError):
    """The folder of the leases, or a file in it, cannot be used."""


def lease_folder(environ: Mapping[str, str]) -> Path:
    """The folder of the leases: that of DARKROOM_LEASES, else one that every user of the host finds."""
    if given := environ.get(FOLDER_VARIABLE):
        return Path(given)
    return next(folder for folder in SHARED_FOLDERS if _is_for_all(folder)) / "darkroom"


def _is_for_all(folder: Path) -> bool:
    """By its mode and not by what this user may do: every user must come to the same answer."""
    with contextlib.suppress(OSError):
        return folder.lstat().st_mode & (stat.S_IFDIR | _OPEN_TO_ALL) == stat.S_IFDIR | _OPEN_TO_ALL
    return folder == SHARED_FOLDERS[-1]


def make_folder(folder: Path) -> None:
    """Make the folder of the leases, for all users. Raises LeaseError where it cannot be used."""
    try:
        with contextlib.suppress(FileExistsError):
            folder.mkdir()
            folder.chmod(_OPEN_TO_ALL | stat.S_IRWXU | stat.S_IRWXG)  # whatever the umask
        is_folder = stat.S_ISDIR(folder.lstat().st_mode)
    except OSError as error:
        raise _unusable(folder, error) from error
    if not is_folder:
        raise LeaseError(
            f"{folder}: is no folder, leases of GPUs need one; remove it or set {FOLDER_VARIABLE}"
        )


def _unusable(path: Path, error: OSError) -> LeaseError:
    why = error.strerror or error
    return LeaseError(
        f"{path}: {why}; leases of GPUs need it; mend it or set {FOLDER_VARIABLE} for all users"
    )


class LockFile:
    """One open file, its own locks, and the notes in it. The file is made where it is missing."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.descriptor = _open_shared(path)

    def close(self) -> None:
        """Free what it holds, unless others have inherited it."""
        os.close(self.descriptor)

    def __enter__(self) -> LockFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def lock(self, start: int, end: int) -> bool:
        """Hold a range, if no other open file does."""
        try:
            self._ask(fcntl.F_OFD_SETLK, fcntl.F_WRLCK, start, end)
        except (BlockingIOError, PermissionError):
            return False
        except OSError as error:
            raise _unusable(self._path, error) from error
        return True

    def unlock(self, start: int, end: int) -> None:
        """Free a range for everybody who has inherited this open file."""
        self._ask(fcntl.F_OFD_SETLK, fcntl.F_UNLCK, start, end)

    def locked(self, start: int, end: int) -> list[Range]:
        """The parts of a range that other open files hold, in order."""
        if start >= end:
            return []
        kind, _, first, length, _ = self._ask(fcntl.F_OFD_GETLK, fcntl.F_WRLCK, start, end)
        if kind == fcntl.F_UNLCK:
            return []
        here = (max(start, first), min(end, first + length) if length else end)
        return [*self.locked(start, here[0]), here, *self.locked(here[1], end)]

    def _ask(self, command: int, kind: int, start: int, end: int) -> Sequence[int]:
        return _FLOCK.unpack(
            fcntl.fcntl(self.descriptor, command, _FLOCK.pack(kind, os.SEEK_SET, start, end - start, 0))
        )

    @contextlib.contextmanager
    def alone(self, start: int, end: int) -> Iterator[bool]:
        """Hold a range for a moment. False: another one did not let go of it in time."""
        give_up = time.monotonic() + _TRY_SECONDS
        while not (held := self.lock(start, end)) and time.monotonic() < give_up:
            time.sleep(_PAUSE_SECONDS)
        try:
            yield held
        finally:
            if held:
                self.unlock(start, end)

    def notes(self) -> list[dict[str, Any]]:
        """What was written, without what cannot be read: it may have been torn, or be anybody's."""
        text = os.pread(self.descriptor, _LONGEST_NOTES, 0).decode(errors="replace")
        return list(_read_lines(text.splitlines()))

    def write_notes(self, notes: Iterable[Mapping[str, Any]]) -> None:
        """Replace what is written, if that can be: the locks are what counts.

        Cut off half-way, the first of the new notes stand before old ones.
        """
        data = "".join(json.dumps(note, ensure_ascii=False) + "\n" for note in notes).encode()
        with contextlib.suppress(OSError):  # a full file system must not end a run
            os.pwrite(self.descriptor, data, 0)
            os.ftruncate(self.descriptor, len(data))


def _read_lines(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    for line in lines:
        with contextlib.suppress(ValueError):
            note = json.loads(line)
            if isinstance(note, dict):
                yield note


def _open_shared(path: Path) -> int:
    """Open a file for all users, made where it is missing. Raises LeaseError where that is not possible."""
    give_up = time.monotonic() + _TRY_SECONDS
    while True:
        try:
            return _checked(path, _open_or_make(path))
        except OSError as error:
            # Its maker has not set the mode yet, or it was made or removed at the same moment: again.
            if not isinstance(error, _PASSING) or time.monotonic() > give_up:
                raise _unusable(path, error) from error
            time.sleep(_PAUSE_SECONDS)


def _open_or_make(path: Path) -> int:
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with contextlib.suppress(FileNotFoundError):
        return os.open(path, flags)
    descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o666)
    os.fchmod(descriptor, 0o666)  # whatever the umask
    return descriptor


def _checked(path: Path, descriptor: int) -> int:
    """Refuse what is no plain file with one name, and one that was removed after it was opened."""
    now = os.fstat(descriptor)
    if stat.S_ISREG(now.st_mode) and now.st_nlink == 1:
        return descriptor
    os.close(descriptor)
    if now.st_nlink == 0:
        raise FileNotFoundError(path)
    raise LeaseError(f"{path}: is no plain file; somebody put it there; remove it")
