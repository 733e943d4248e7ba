"""What lies below a folder that others have filled, where pipes, devices and links may lie as well as files.

A link to a folder is not followed: two of them, each to its parent, make 2^40 paths. A link to a file is read
as the file if that lies within the folder of raw data, or in DVC's cache, from which DVC may link data.
"""

import errno
import os
import re
import stat
from collections.abc import Collection, Iterator
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from stages.core.errors import DataError

IN_A_CACHE = re.compile(r"/[0-9a-f]{2}/[0-9a-f]{30}$")
"""The end of a file's path in DVC's cache."""
LEFT_BEHIND = frozenset({"$RECYCLE.BIN", "@eaDir", "__MACOSX", "lost+found", "System Volume Information"})
"""Folders that systems and programs leave behind, as they do hidden ones."""


def is_nobodys(name: str) -> bool:
    """Whether a file or folder of this name is nobody's data: hidden, or left behind by a system."""
    return name.startswith(".") or name in LEFT_BEHIND


def names_below(folder: Path, skipped: Collection[str] = ()) -> Iterator[str]:
    """Names of all that is no folder below `folder`, relative to it and in order: files before folders.

    Links are named and not followed. Folders right in `folder` that are `skipped` are not entered.

    Raises:
        DataError: A folder that cannot be read.

    """
    waiting = [""]
    while waiting:
        below = waiting.pop()
        files, folders = names_in(folder / below)
        yield from (f"{below}{name}" for name in files)
        entered = (name for name in reversed(folders) if below or name not in skipped)
        waiting += [f"{below}{name}/" for name in entered]


def names_in(folder: Path) -> tuple[list[str], list[str]]:
    """Names of what is no folder right in `folder`, links among it, and of the folders; each in order.

    Raises:
        DataError: The folder cannot be read.

    """
    files: list[str] = []
    folders: list[str] = []
    try:
        with os.scandir(folder) as found:
            for entry in found:
                if not is_nobodys(entry.name):
                    (folders if entry.is_dir(follow_symlinks=False) else files).append(entry.name)
    except OSError as error:
        raise DataError(
            f"{folder}: {error.strerror}: make it a folder that can be read (chmod u+rx), or move it away"
        ) from None
    return sorted(files), sorted(folders)


def way_out(path: Path, within: Path) -> str | None:
    """The file that `path` leads to by links, if that lies outside of the folder `within`; else None."""
    root, parent = _real(str(within.absolute())), _real(str(path.parent.absolute()))
    target = os.path.realpath(path) if path.is_symlink() else f"{parent}/{path.name}"
    inside = target.startswith(root.rstrip("/") + "/") or IN_A_CACHE.search(target)
    return None if inside else target


@lru_cache(maxsize=1024)
def _real(folder: str) -> str:
    """Kept: many pictures lie in one folder."""
    return os.path.realpath(folder)


def read_file(path: Path, most: int) -> bytes:
    """Read a file of at most `most` bytes; a pipe, which would wait for a writer, is not opened.

    Raises:
        OSError: No such file, none at all, one that may not be read, or one that is larger (EFBIG).

    """
    with open_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        content = file.read(most + 1) if size <= most else b""
        if max(size, len(content)) > most:
            raise OSError(errno.EFBIG, f"larger than {most >> 20} MB", str(path))
        return content


def open_file(path: Path) -> BinaryIO:
    """Open a file to read its bytes.

    Raises:
        OSError: No such file, none at all, or one that may not be read.

    """
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, kind_of(mode), str(path))
    return path.open("rb")


def kind_of(mode: int) -> str:
    """What is no file, in words."""
    if stat.S_ISFIFO(mode):
        return "a pipe, no file"
    if stat.S_ISSOCK(mode):
        return "a socket, no file"
    return "a folder, no file" if stat.S_ISDIR(mode) else "a device, no file"
