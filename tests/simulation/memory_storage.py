"""A storage in this process's memory, for simulations: it does what the other storages do, and at once."""

from __future__ import annotations

import itertools
from pathlib import Path

from darkroom.repository.blobs import BlobStore


class MemoryStorage:
    """Small files in memory. Only data by hash lies on a disk, in `folder`."""

    look_seconds = 0.5

    def __init__(self, folder: Path) -> None:
        self.address = "memory"
        self._folder = folder
        self._folders: dict[str, dict[str, tuple[float, bytes]]] = {}
        self._clock = itertools.count(1)

    def read(self, key: str) -> bytes | None:
        """A file's content; None: it is not there."""
        folder, _, name = key.rpartition("/")
        held = self._folders.get(folder, {}).get(name)
        return None if held is None else held[1]

    def write(self, key: str, content: bytes, *, new: bool = False) -> None:
        """Replace a file. Where its folder is gone nothing is made, unless it is `new`."""
        folder, _, name = key.rpartition("/")
        files = self._folders.setdefault(folder, {}) if new else self._folders.get(folder)
        if files is not None:
            files[name] = (float(next(self._clock)), content)

    def create(self, key: str, content: bytes) -> bool:
        """Make a file unless it is there."""
        folder, _, name = key.rpartition("/")
        files = self._folders.get(folder)
        if files is None:
            return False
        mine = (float(next(self._clock)), content)
        held = files.setdefault(name, mine)
        return held is mine or held[1] == content

    def listed(self, key: str) -> dict[str, float]:
        """The names of the files in a folder, and when each was written."""
        return {name: written for name, (written, _) in list(self._folders.get(key, {}).items())}

    def remove(self, key: str) -> None:
        """Remove a file or a folder."""
        folder, _, name = key.rpartition("/")
        self._folders.pop(key, None)
        self._folders.get(folder, {}).pop(name, None)

    def blobs(self) -> BlobStore:
        """The store on the disk."""
        return BlobStore.in_folder(self._folder)
