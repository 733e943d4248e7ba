"""Writes DVC's cache so that after a power cut it still holds everything that dvc.lock names.

DVC renames files without a sync. A power cut soon after can leave an empty file under the name of a hash, and
DVC trusts every read-only file of the cache. Here a file is synced before it becomes read-only. The folders
that contain it are synced before dvc.lock is.
"""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

from dvc_data.hashfile.db.local import LocalHashFileDB
from dvc_objects.fs.local import FsspecLocalFileSystem, LocalFileSystem, localfs
from dvc_objects.fs.utils import as_atomic, copyfile

from darkroom.base.files import sync_file_system, sync_path, sync_paths

MANY_FILES = 200
"""How many new files of an out are synced by their file system as a whole: each alone takes milliseconds."""


class _WholeFiles(FsspecLocalFileSystem):
    """Local files, of which a copy that fails leaves nothing; DVC's own would leave half of it for good."""

    def put_file(self, lpath: str, rpath: str, callback: Any = None, **_: Any) -> None:
        """Copy a file to `rpath` in one step."""
        with as_atomic(localfs, rpath, create_parents=True) as unfinished:
            copyfile(lpath, unfinished, **({"callback": callback} if callback else {}))


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
        """Take files into the cache, which `protect` then makes durable.

        Raises:
            OSError: The disk is full.

        """
        report: Any = kwargs.get("on_error")
        full: list[OSError] = []

        def on_error(oid: str, error: BaseException) -> None:
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                full.append(error)
            report(oid, error)

        if report:
            kwargs["on_error"] = on_error
        self._many, self._flushed = not isinstance(oid, str) and len(oid) >= MANY_FILES, False
        try:
            added = int(super().add(path, fs, oid, *args, **kwargs))
        finally:
            self._many = False
        if full:  # DVC would go on, and say in the end that an out cannot be removed
            raise OSError(full[0].errno, full[0].strerror, self.path)
        return added

    def protect(self, path: str) -> None:
        """Make a new file read-only, by which DVC takes it for whole."""
        if self.is_protected(path):  # type: ignore[no-untyped-call]
            return
        if not self._many:
            sync_path(Path(path))
        elif not self._flushed:
            sync_file_system(Path(path))
            self._flushed = True
        super().protect(path)  # type: ignore[no-untyped-call]
        self._name(Path(path))

    def move(self, from_info: str, to_info: str) -> None:
        """Give an entry of the run-cache its name."""
        sync_path(Path(from_info))
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
        """Return when the names of all files that were taken in would survive a power cut.

        Raises:
            OSError: The disk does not take them.

        """
        sync_paths(self.unsynced)
        self.unsynced.clear()


def synced(repo: Any) -> list[SyncedCache]:
    """Make the repository's caches on this machine's disks durable, and return them."""
    both = (repo.cache.local, repo.cache.legacy)
    caches: list[Any] = [cache for cache in both if type(cache) is LocalHashFileDB]
    for cache in caches:
        cache.fs = LocalFileSystem(fs=_WholeFiles())  # type: ignore[no-untyped-call]
        cache.__class__ = SyncedCache
        cache.top, cache.known, cache.unsynced = Path(repo.cache.local_cache_dir).parent, set(), set()
    return caches
