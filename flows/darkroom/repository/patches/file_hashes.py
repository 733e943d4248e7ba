"""The hashes of files: DVC is asked once for each version of a file that this process sees.

DVC queries its database on disk at each look at a dep, and makes a progress bar that nobody sees. It looks at
each dep of a running stage eight times. Here a file counts as unchanged by the same rule as in DVC's
database: same inode, size and time.
"""

from __future__ import annotations

import copy
import os
import stat
from collections.abc import Callable
from functools import wraps
from typing import Any

from dvc.dependency import Dependency
from dvc.fs import LocalFileSystem
from dvc_data.hashfile.build import build
from dvc_data.hashfile.hash_info import HashInfo
from dvc_data.hashfile.obj import HashFile

Version = tuple[int, int, int, int]
"""Inode, size, time in nanoseconds, and mode."""


class FileHashes:
    """What DVC has built of files, by their paths and the names of the hashes."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], tuple[Version, Any, str | None]] = {}

    def find(self, path: str, fs: Any, name: str) -> tuple[Any, Any] | None:
        """Meta and object of a file, as DVC builds them; None: it is not known as it is now."""
        known = self._known.get((path, name))
        if known is None or not isinstance(fs, LocalFileSystem) or _version(path) != known[0]:
            return None
        _, meta, value = known
        return copy.copy(meta), HashFile(path, fs, HashInfo(name, value))

    def replacing_build(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Replace `Output._build`: no bar, and no look at a file that is known."""

        @wraps(original)
        def _build(out: Any, *args: Any, no_progress_bar: bool = False, **kwargs: Any) -> Any:  # noqa: ARG001
            odb, path, fs, name = args
            if kwargs.get("dry_run") and (found := self.find(path, fs, name)):
                return odb, *found
            before = _version(path) if isinstance(fs, LocalFileSystem) else None
            kwargs.setdefault("checksum_jobs", out.fs.hash_jobs)
            built = build(*args, **kwargs)
            if before is not None and _version(path) == before:
                self._known[path, name] = before, built[1], built[2].hash_info.value
            return built

        return _build

    def replacing_save(self, original: Callable[[Any], None]) -> Callable[[Any], None]:
        """Replace `Dependency.save`: nothing more is asked of a file that is known."""

        @wraps(original)
        def save(dep: Any) -> None:
            is_file = type(dep) is Dependency and dep.hash_name == "md5"
            found = self.find(dep.fs_path, dep.fs, dep.hash_name) if is_file else None
            if found is None:
                original(dep)
            else:
                dep.meta, dep.obj = found
                dep.hash_info, dep.files = dep.obj.hash_info, None

        return save


def _version(path: str) -> Version | None:
    """The file's version; None where there is no regular file: a folder, a link, nothing."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_mode
