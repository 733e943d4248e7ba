"""Which paths git tracks, from an index that is read once for each of its versions.

DVC reads git's whole index and git's configuration for each out of each stage.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import wraps
from typing import Any

Version = tuple[int, int, int]


class GitIndexes:
    """The last version of each repository's index, by the index's path: files, and folders with files."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Version, frozenset[bytes]]] = {}

    def replacing_is_tracked(self, original: Callable[[Any, str], bool]) -> Callable[[Any, str], bool]:
        """Replace the backend's `is_tracked`."""

        @wraps(original)
        def is_tracked(backend: Any, path: str) -> bool:
            index = backend.repo.index_path()
            version = _version(index)
            if version is None:
                return original(backend, path)
            if index not in self._known or self._known[index][0] != version:
                self._known[index] = version, _with_folders(backend.repo.open_index())
            return os.fsencode(os.path.relpath(path, backend.root_dir)) in self._known[index][1]

        return is_tracked


def _with_folders(files: Any) -> frozenset[bytes]:
    found: set[bytes] = set()
    for file in files:
        path = bytes(file)
        while path and path not in found:
            found.add(path)
            path = path.rpartition(b"/")[0]
    return frozenset(found)


def _version(index: str) -> Version | None:
    try:
        found = os.stat(index)  # noqa: PTH116  (of each out: pathlib takes thrice as long)
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
