"""The folder that all users of a host share for their leases. No user needs to trust another.

Each run makes files of its own there, under names that nobody can foresee, and writes to no other file. The
content of a file says nothing: what counts is how many of its bytes its owner has locked. Only the owner can
lock some, since nobody else may write the file. The owner is known by the file's inode, which cannot be
forged; the note in the file is for people. A file counts once all may read it, and it is locked before that.

The folder is opened once, and its files are opened relative to that descriptor. So another folder or a link
that is put in its place has no effect on those who have it open. Links are never followed. Anything that is
no plain file, or that not all may read, is ignored.
"""

from __future__ import annotations

import contextlib
import errno
import os
import pwd
import re
import secrets
import stat
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from darkroom.base.errors import DarkroomError, explain_os_error
from darkroom.base.locks import FOR_EVER, first_held, lock_range, read_notes, unlock_range, write_notes

FOLDER_VARIABLE = "DARKROOM_LEASES"
SHARED_FOLDERS = (Path("/run/lock"), Path("/dev/shm"), Path("/tmp"))

_NAME = "darkroom-lease.{kind}.{token}"
_A_NAME = re.compile(r"darkroom-lease\.(?P<kind>.+)\.[0-9a-f]{16}")
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_NO_LEASE = {errno.ENOENT, errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENXIO, errno.ENODEV, errno.EAGAIN}
"""Why a name cannot be opened that is no lease: it is gone, a trap, or kept back (fcntl(2), F_SETLEASE)."""

_FULL = {errno.ENOSPC, errno.EDQUOT}
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_OPEN_TO_ALL = stat.S_ISVTX | stat.S_IRWXU | stat.S_IRWXG | stat.S_IRWXO
_FOR_ALL_TO_READ = stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH
_TRIES = 10


class LeaseError(DarkroomError):
    """The folder of the leases cannot be used."""


class ForeignError(LeaseError):
    """The folder cannot be used because of another user, whom the message names: worth waiting for."""


def lease_folder(environ: Mapping[str, str]) -> Path:
    """The lease folder: the one in DARKROOM_LEASES, else one that every user of the host finds."""
    if given := environ.get(FOLDER_VARIABLE):
        return Path(given)
    return next((folder for folder in SHARED_FOLDERS if _is_for_all(folder)), SHARED_FOLDERS[-1])


def _is_for_all(folder: Path) -> bool:
    """Judge by the folder's mode, not by what this user may do: every user must come to the same answer."""
    wanted = stat.S_IFDIR | stat.S_ISVTX | stat.S_IRWXO
    with contextlib.suppress(OSError):
        return folder.lstat().st_mode & wanted == wanted
    return False


def user_name(uid: int) -> str:
    """`anna`, or `user 1003` where the host knows no name."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:  # a container's
        return f"user {uid}"


@dataclass(frozen=True, slots=True)
class LeaseFile:
    """A file whose owner holds something."""

    name: str
    inode: int
    uid: int
    length: int
    """How many bytes are held, from the first one on."""
    note: Mapping[str, Any] | None
    """What the owner wrote; anything."""


class SharedFolder:
    """The folder, open. It is made for all users where it is missing.

    Raises:
        LeaseError: The folder cannot be used.

    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.descriptor = _opened(path)

    def close(self) -> None:
        """Files of ours that are open stay ours."""
        os.close(self.descriptor)

    def open_anew_if_removed(self) -> None:
        """A folder that was removed takes no more files.

        Raises:
            LeaseError: The folder cannot be made again.

        """
        if os.fstat(self.descriptor).st_nlink == 0:
            removed, self.descriptor = self.descriptor, _opened(self._path)
            os.close(removed)

    def make(self, kind: str, length: int, note: Mapping[str, Any]) -> OwnFile:
        """A new file of which we hold so many bytes: others see it at once and whole.

        Raises:
            LeaseError: The folder takes no file, or none stays in it.

        """
        for _ in range(_TRIES):
            name = _NAME.format(kind=kind, token=secrets.token_hex(8))
            try:
                descriptor = os.open(
                    name, _FILE | os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=self.descriptor
                )
            except OSError as error:
                raise self._unusable(error) from error
            held = lock_range(descriptor, 0, length)
            write_notes(descriptor, [note])
            os.fchmod(descriptor, _FOR_ALL_TO_READ | stat.S_IWUSR)
            file = OwnFile(self, name, descriptor)
            if held and os.fstat(descriptor).st_nlink:
                return file
            file.free()  # another run of ours took it for one that was left behind
        raise LeaseError(f"{self._path}: files that are made there do not stay; leases of GPUs need them")

    def held(self, kind: str) -> list[LeaseFile]:
        """The files of a kind whose owners hold something.

        Raises:
            LeaseError: The folder cannot be read.

        """
        found = (self.look(name) for name in self._names() if _kind(name) == kind)
        return list({file.inode: file for file in found if file}.values())  # a second name is no second lease

    def look(self, name: str) -> LeaseFile | None:
        """One file; None where nobody holds it or it is none.

        Raises:
            LeaseError: The file may count and cannot be read.

        """
        with self._opened(name) as descriptor:
            if descriptor is None:
                return None
            now, held = os.fstat(descriptor), first_held(descriptor, 0, 1)
            if held is None:
                return None
            notes = read_notes(descriptor)
            return LeaseFile(name, now.st_ino, now.st_uid, held[1], notes[0] if notes else None)

    def remove_left(self) -> None:
        """Remove what runs of this user have left behind: files that nobody holds."""
        with contextlib.suppress(LeaseError):
            for name in filter(_kind, self._names()):
                self.remove_if_left(name)

    def remove_if_left(self, name: str) -> None:
        """Remove a file of this user's if nobody holds it; what cannot be removed stays."""
        with contextlib.suppress(OSError):
            self._remove_if_left(name)

    def _remove_if_left(self, name: str) -> None:
        now = os.stat(name, dir_fd=self.descriptor, follow_symlinks=False)
        if now.st_uid != os.geteuid() or not stat.S_ISREG(now.st_mode):
            return
        descriptor = os.open(name, _FILE | os.O_RDWR, dir_fd=self.descriptor)
        try:
            # One that is not for all to read may be in the making: the lock keeps its maker from it.
            shown = now.st_mode & _FOR_ALL_TO_READ == _FOR_ALL_TO_READ
            if first_held(descriptor, 0, 1) is None and (shown or lock_range(descriptor, 0, 1)):
                os.unlink(name, dir_fd=self.descriptor)
        finally:
            os.close(descriptor)

    def _names(self) -> list[str]:
        try:
            return os.listdir(self.descriptor)  # noqa: PTH208  (by descriptor)
        except OSError as error:
            raise self._unusable(error) from error

    @contextlib.contextmanager
    def _opened(self, name: str) -> Iterator[int | None]:
        """A file that may count, for reading; None: it does not."""
        descriptor = None
        try:
            if _counts(os.stat(name, dir_fd=self.descriptor, follow_symlinks=False)):
                descriptor = os.open(name, _FILE | os.O_RDONLY, dir_fd=self.descriptor)
            if descriptor is not None and not _counts(os.fstat(descriptor)):
                os.close(descriptor)
                descriptor = None
        except OSError as error:
            if error.errno not in _NO_LEASE:
                raise self._unusable(error) from error
        try:
            yield descriptor
        finally:
            if descriptor is not None:
                os.close(descriptor)

    def _unusable(self, error: OSError) -> LeaseError:
        if error.errno in _FULL and (who := self._who_fills_it()) is not None:
            return ForeignError(
                f"{self._path}: {error.strerror}; most files in it are {user_name(who)}'s: have them removed"
            )
        return _unusable(self._path, error, os.fstat(self.descriptor).st_uid)

    def _who_fills_it(self) -> int | None:
        """The user with the most files in the folder, if that is another user."""
        counts: Counter[int] = Counter()
        for name in self._names():
            with contextlib.suppress(OSError):
                counts[os.stat(name, dir_fd=self.descriptor, follow_symlinks=False).st_uid] += 1
        ((uid, _),) = counts.most_common(1) or [(os.geteuid(), 0)]
        return uid if _is_foreign(uid) else None


class OwnFile:
    """A file of this run in the shared folder. What inherits its descriptor holds the same bytes."""

    def __init__(self, folder: SharedFolder, name: str, descriptor: int) -> None:
        self._folder, self._name = folder, name
        self.descriptor = descriptor
        self.inode = os.fstat(descriptor).st_ino

    def hold_only(self, length: int) -> None:
        """Hold only so many bytes from the first one on."""
        unlock_range(self.descriptor, length, FOR_EVER)

    def note(self, note: Mapping[str, Any]) -> None:
        """Replace what it says to people, if the disk has room for it."""
        write_notes(self.descriptor, [note])

    def close(self) -> None:
        """Let go of it; it is removed unless somebody who inherited it holds it still."""
        os.close(self.descriptor)
        self._folder.remove_if_left(self._name)

    def free(self) -> None:
        """Let go of it for everybody who inherited it, too, if only for the moment before an exec."""
        unlock_range(self.descriptor, 0, FOR_EVER)
        self.close()

    def __enter__(self) -> OwnFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.free()


def _kind(name: str) -> str | None:
    match = _A_NAME.fullmatch(name)
    return match["kind"] if match else None


def _counts(now: os.stat_result) -> bool:
    return stat.S_ISREG(now.st_mode) and now.st_mode & _FOR_ALL_TO_READ == _FOR_ALL_TO_READ


def _is_foreign(uid: int) -> bool:
    return uid not in (0, os.geteuid())


def _opened(path: Path) -> int:
    """Open the folder, made where it is missing, and refuse it where others could remove our files."""
    try:
        try:
            descriptor = os.open(path, _FOLDER)
        except FileNotFoundError:
            descriptor = _make_folder(path)
    except OSError as error:
        raise _not_opened(path, error) from error
    now = os.fstat(descriptor)
    if now.st_mode & _OTHERS_WRITE and not now.st_mode & stat.S_ISVTX:
        os.close(descriptor)
        kind = ForeignError if _is_foreign(now.st_uid) else LeaseError
        raise kind(
            f"{path}: others may remove files there, and leases with them;"
            f" have {user_name(now.st_uid)}, whose it is, run `chmod +t {path}`"
        )
    return descriptor


def _make_folder(path: Path) -> int:
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700)
    descriptor = os.open(path, _FOLDER)
    now = os.fstat(descriptor)
    # Open to all by the descriptor, and only what is new: another folder of ours may stand there by now.
    if now.st_uid == os.geteuid() and not os.listdir(descriptor):  # noqa: PTH208
        os.fchmod(descriptor, _OPEN_TO_ALL)  # whatever the umask
    return descriptor


def _not_opened(path: Path, error: OSError) -> LeaseError:
    with contextlib.suppress(OSError):
        there = path.lstat()
        if not stat.S_ISDIR(there.st_mode):
            kind = ForeignError if _is_foreign(there.st_uid) else LeaseError
            whose = f" of {user_name(there.st_uid)}" if _is_foreign(there.st_uid) else ""
            what = "a symbolic link" if stat.S_ISLNK(there.st_mode) else "no folder"
            return kind(
                f"{path}: is {what}{whose}; GPU leases need a folder: remove it or set {FOLDER_VARIABLE}"
            )
        return _unusable(path, error, there.st_uid)
    return _unusable(path, error, os.geteuid())


def _unusable(path: Path, error: OSError, owner: int) -> LeaseError:
    why = explain_os_error(OSError(error.errno, error.strerror), path)
    if not _is_foreign(owner):
        return LeaseError(f"{why}; leases of GPUs need it, see {FOLDER_VARIABLE} in docs/operations.md")
    return ForeignError(f"{why}; it is {user_name(owner)}'s, and leases of GPUs need it")
