"""Which process changed which file, as the kernel's fanotify says for directories.

It needs CAP_SYS_ADMIN and Linux 5.9. Until it is read, the kernel keeps one event for each process and name,
however often the process writes. If there are more than 16,384 events, the kernel drops the rest and says so.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_CLOSE_ON_EXEC, _NON_BLOCKING, _REPORT_FOLDER, _REPORT_NAME = 0x1, 0x2, 0x400, 0x800
_ADD, _ONLY_DIRECTORIES = 0x1, 0x8
_MODIFY, _CLOSE_WRITE, _MOVED_FROM, _MOVED_TO, _CREATE, _DELETE = 0x2, 0x8, 0x40, 0x80, 0x100, 0x200
_OVERFLOW, _ON_CHILD, _ON_DIRECTORY = 0x4000, 0x0800_0000, 0x4000_0000
_CHANGES = _MODIFY | _CLOSE_WRITE | _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE | _ON_CHILD | _ON_DIRECTORY

_EMPTY_PATH = 0x1000
_LONGEST_HANDLE = 128
_FOLDER_AND_NAME = 2
_READ_BYTES = 1 << 16

_EVENT = struct.Struct("=IBBHQii")  # length, version, -, length of this, mask, descriptor, pid
_RECORD = struct.Struct("=BBHQIi")  # kind, -, length, file system, length of the handle, its type
_C = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class FolderId:
    """A folder, whatever its path: none bears the same again while the file system is mounted."""

    file_system: int
    kind: int
    handle: bytes


@dataclass(frozen=True, slots=True)
class Change:
    """`name` in `folder` was written, made, removed or renamed by a process (0: one that cannot be seen)."""

    folder: FolderId
    name: str
    pid: int


class LostChanges(Exception):  # noqa: N818  (nothing is wrong; what follows is not known)
    """More changes happened than the kernel keeps."""


class Fanotify:
    """Tells of changes in the folders that are added, from then on.

    Raises:
        OSError: The kernel does not allow it.

    """

    def __init__(self) -> None:
        flags = _CLOSE_ON_EXEC | _NON_BLOCKING | _REPORT_FOLDER | _REPORT_NAME
        self._file = _checked(_C.fanotify_init(flags, os.O_RDONLY), "fanotify_init")

    def close(self) -> None:
        """Stop watching the folders."""
        os.close(self._file)

    def add(self, folder: Path) -> FolderId:
        """Notice changes directly in `folder` from now on.

        Raises:
            OSError: The folder cannot be opened, or the kernel cannot watch it.

        """
        opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            mask = ctypes.c_uint64(_CHANGES)
            done = _C.fanotify_mark(self._file, _ADD | _ONLY_DIRECTORIES, mask, opened, None)
            _checked(done, str(folder))
            return folder_id(opened)
        finally:
            os.close(opened)

    def read(self) -> Iterator[Change]:
        """The changes since the last call.

        Raises:
            LostChanges: There were more than the kernel keeps.

        """
        while True:
            try:
                held = os.read(self._file, _READ_BYTES)
            except BlockingIOError:
                return
            start = 0
            while start < len(held):
                length, _, _, head, mask, _, pid = _EVENT.unpack_from(held, start)
                if mask & _OVERFLOW:
                    raise LostChanges
                yield from _changes(held[start + head : start + length], pid)
                start += length


def folder_id(opened: int) -> FolderId:
    """The identity of an open folder.

    Raises:
        OSError: The folder's file system gives it none.

    """
    held = ctypes.create_string_buffer(struct.pack("=Ii", _LONGEST_HANDLE, 0), 8 + _LONGEST_HANDLE)
    mount = ctypes.c_int()
    done = _C.name_to_handle_at(opened, b"", held, ctypes.byref(mount), _EMPTY_PATH)
    _checked(done, "name_to_handle_at")
    length, kind = struct.unpack_from("=Ii", held.raw)
    return FolderId(os.statvfs(opened).f_fsid & (1 << 64) - 1, kind, held.raw[8 : 8 + length])


def _changes(records: bytes, pid: int) -> Iterator[Change]:
    start = 0
    while start < len(records):
        sort, _, length, file_system, size, kind = _RECORD.unpack_from(records, start)
        if sort == _FOLDER_AND_NAME:
            body = records[start + _RECORD.size : start + length]
            name = os.fsdecode(body[size:].partition(b"\0")[0])
            yield Change(FolderId(file_system, kind, body[:size]), name, pid)
        start += length


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno() or errno.EIO
        raise OSError(number, os.strerror(number), what)
    return result
