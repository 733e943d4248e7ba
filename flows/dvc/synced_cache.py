"""DVC's cache, written so that what dvc.lock says to be there still is after a power cut.

DVC renames without a sync. A power cut soon after can leave an empty file under the name of a hash, and DVC
takes a read-only file of the cache for whole. Here a file is synced before it is made read-only, and the
folders that name it are before dvc.lock does.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dvc_data.hashfile.db.local import LocalHashFileDB

from flows.files import sync, sync_all, sync_file_system

MANY_FILES = 200
"""So many new files of an out are synced by their file system as a whole: each alone takes milliseconds."""


class SyncedCache(LocalHashFileDB):
    """A cache of DVC's that knows which folders have new names. Made of DVC's own by `synced`."""

    top: Path
    """The folder that holds the cache; what is above it is not ours."""
    known: set[Path]
    """Folders whose own names are durable, or will be with `unsynced`."""
    unsynced: set[Path]
    """Folders with new names in them."""
    _many, _flushed = False, False

    def add(self, path: Any, fs: Any, oid: Any, *args: Any, **kwargs: Any) -> int:
        """Take files in, which `protect` then makes durable."""
        self._many, self._flushed = not isinstance(oid, str) and len(oid) >= MANY_FILES, False
        try:
            return int(super().add(path, fs, oid, *args, **kwargs))
        finally:
            self._many = False

    def protect(self, path: str) -> None:
        """Make a new file read-only, by which DVC takes it for whole."""
        if self.is_protected(path):  # type: ignore[no-untyped-call]
            return
        if not self._many:
            sync(Path(path))
        elif not self._flushed:
            sync_file_system(Path(path))
            self._flushed = True
        super().protect(path)  # type: ignore[no-untyped-call]
        self._name(Path(path))

    def move(self, from_info: str, to_info: str) -> None:
        """Give an entry of the run-cache its name."""
        sync(Path(from_info))
        super().move(from_info, to_info)  # type: ignore[no-untyped-call]
        self._name(Path(to_info))

    def _name(self, path: Path) -> None:
        """The file's folder has a new name in it; those above may be new themselves."""
        for folder in path.parents:
            self.unsynced.add(folder)
            if folder in self.known or folder == self.top:
                break
            self.known.add(folder)

    def sync(self) -> None:
        """Make the names of all that was taken in durable. Raises OSError."""
        sync_all(self.unsynced)
        self.unsynced.clear()


def synced(repo: Any) -> list[SyncedCache]:
    """Have the repository's caches on this machine's disks written so."""
    both = (repo.cache.local, repo.cache.legacy)
    caches: list[Any] = [cache for cache in both if type(cache) is LocalHashFileDB]
    for cache in caches:
        cache.__class__ = SyncedCache
        cache.top, cache.known, cache.unsynced = Path(repo.cache.local_cache_dir).parent, set(), set()
    return caches
