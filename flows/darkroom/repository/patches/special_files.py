"""Pipes, sockets and devices in the data: an error names them. DVC itself would wait for ever at a pipe.

While a repository is open, DVC's functions that open local files are replaced by these
(`darkroom.repository.patches`), both to hash files and to read params. A file is opened without blocking, and
checked again when it is open: so nobody can put a pipe in its place in between.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Any

_KINDS = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def open_regular(_: Any, path: str, mode: str = "r", encoding: str | None = None, **__: Any) -> Any:
    """Replace the method `open` of DVC's local files: only regular files are opened to be read.

    Raises:
        OSError: It is a pipe, a socket or a device, or cannot be opened.

    """
    opener = None if set(mode) & set("wax+") else open_to_read
    return open(path, mode=mode, encoding=encoding, opener=opener)


def open_to_read(path: str, flags: int) -> int:
    """An opener for `open`: of regular files alone.

    Raises:
        OSError: It is a pipe, a socket or a device, or cannot be opened.

    """
    _refuse_special(Path(path).stat(), path)  # before it is opened: that alone may move a device
    opened = os.open(path, flags | os.O_NONBLOCK)
    try:
        _refuse_special(os.fstat(opened), path)
    except BaseException:
        os.close(opened)
        raise
    return opened


def _refuse_special(found: os.stat_result, path: str) -> None:
    for is_one, kind in _KINDS:
        if is_one(found.st_mode):
            mend = "remove it, or name it in .dvcignore"
            raise OSError(errno.EINVAL, f"{kind}, which DVC cannot keep; {mend}", path)
