"""Files and folders by their hashes, in a store with the layout of DVC's caches and remotes.

A shared folder with such a store can be used as a DVC remote, and a DVC remote as such a store.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dvc_data.hashfile.db import HashFileDB
from dvc_data.hashfile.hash_info import HashInfo
from dvc_data.hashfile.tree import Tree
from dvc_objects.fs.local import LocalFileSystem

FOLDER = ".dir"
"""With this ends the hash of a folder, as in dvc.lock."""

LAYOUT = ("files", "md5")

_PIECE_BYTES = 1 << 20


class BlobGoneError(OSError):
    """The store does not hold a blob, or holds another content in its place."""


@dataclass(frozen=True, slots=True)
class Blob:
    """A file, or a folder with all that is in it."""

    md5: str
    """As dvc.lock has it: a folder's ends in `.dir`."""
    size: int
    """Bytes; of a folder, those of all its files."""
    executable: bool = False
    """Whether the file may be executed; a folder's hash does not say so of its files."""


class BlobStore:
    """A store of blobs; several processes and hosts may use it at once."""

    def __init__(self, store: HashFileDB) -> None:
        self._store = store
        self._local = _local()
        self.written = 0
        """The bytes that this object has put into the store: what was there already is none of them."""

    @classmethod
    def in_folder(cls, folder: Path) -> BlobStore:
        """The store in a folder, which need not be there yet."""
        place = folder.joinpath(*LAYOUT)
        place.mkdir(parents=True, exist_ok=True)
        return cls(HashFileDB(_local(), str(place)))

    def put(self, path: Path) -> Blob:
        """Store the file or folder at `path`, except the parts that the store already has.

        Raises:
            OSError: It cannot be read or stored.

        """
        if not path.is_dir():
            return self.put_file(path)
        tree, size = Tree(), 0  # type: ignore[no-untyped-call]
        for file in files_below(path):
            blob = self.put_file(file)
            tree.add(file.relative_to(path).parts, None, HashInfo("md5", blob.md5))
            size += blob.size
        tree.digest()
        oid = str(tree.hash_info.value)
        if not self._store.exists(oid):
            self._store.add_bytes(oid, tree.as_bytes())
            self.written += len(tree.as_bytes())
        return Blob(oid, size)

    def put_file(self, path: Path) -> Blob:
        """Store one file, as far as it is not there yet."""
        blob = blob_of_file(path)
        if not self._store.exists(blob.md5):
            self._store.add(str(path), self._local, blob.md5, hardlink=False, on_error=_raise)
            self.written += blob.size
        return blob

    def put_replaced(self, path: Path) -> Blob:
        """Store a file that others may replace meanwhile by renaming: as it is now.

        Raises:
            OSError: It cannot be read or stored.

        """
        held = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
        held.hardlink_to(path)
        try:
            return self.put_file(held)
        finally:
            held.unlink(missing_ok=True)

    def lacks(self, md5: str) -> bool:
        """Whether the blob is not there."""
        return not self._store.exists(md5)

    def place(self, blob: Blob, path: Path, cache: BlobStore | None = None) -> int:
        """Put a blob's content at `path`, by way of `cache` where there is one; the bytes that were fetched.

        Raises:
            BlobGoneError: The store does not hold it, or something else in its place.
            OSError: It cannot be read or written.

        """
        path.parent.mkdir(parents=True, exist_ok=True)
        if not blob.md5.endswith(FOLDER):
            fetched = self.place_file(blob.md5, path, cache)
            if blob.executable:
                make_executable(path)
            return fetched
        entries, fetched = self._listing(blob.md5), 0
        path.mkdir(exist_ok=True)
        for entry in entries:
            if (name := Path(entry["relpath"])).is_absolute() or ".." in name.parts:
                raise BlobGoneError(f"{blob.md5} names a file outside of its folder: {name}")
            target = path / name
            target.parent.mkdir(parents=True, exist_ok=True)
            fetched += self.place_file(entry["md5"], target, cache)
        return fetched

    def _listing(self, md5: str) -> list[dict[str, str]]:
        try:
            with self._store.fs.open(self._store.oid_to_path(md5), "rb") as file:
                content = file.read()
        except FileNotFoundError as error:
            raise BlobGoneError(f"{md5} is not in the storage any more") from error
        if hashlib.md5(content, usedforsecurity=False).hexdigest() + FOLDER != md5:
            raise BlobGoneError(f"{md5} is damaged in the storage")
        return list(json.loads(content))

    def place_file(self, md5: str, path: Path, cache: BlobStore | None) -> int:
        """Put a file's content at `path`, as `place` does."""
        if cache is not None and not cache.lacks(md5):
            try:
                cache.place_file(md5, path, None)
            except BlobGoneError:
                cache.forget(md5)
            else:
                return 0
        partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
        try:
            self._store.fs.get_file(self._store.oid_to_path(md5), str(partial))
            if blob_of_file(partial).md5 != md5:
                self.forget(md5)  # whoever stores it next does so anew
                raise BlobGoneError(f"{md5} is damaged in the storage")
            partial.replace(path)
        except FileNotFoundError as error:
            raise BlobGoneError(f"{md5} is not in the storage any more") from error
        finally:
            partial.unlink(missing_ok=True)
        if cache is not None:
            cache.put_file(path)
        return path.stat().st_size

    def forget(self, md5: str) -> None:
        """Remove a blob that is damaged."""
        with contextlib.suppress(FileNotFoundError):
            self._store.fs.rm_file(self._store.oid_to_path(md5))


def blob_of_file(path: Path) -> Blob:
    """The blob that a file is, stored or not."""
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            digest.update(piece)
        mode = os.fstat(file.fileno())
    return Blob(digest.hexdigest(), mode.st_size, bool(mode.st_mode & stat.S_IXUSR))


def files_below(folder: Path) -> Iterator[Path]:
    """All files below a folder, through links, in a fixed order."""
    for place, folders, names in os.walk(folder, followlinks=True):
        folders.sort()
        yield from (Path(place, name) for name in sorted(names))


def make_executable(path: Path) -> None:
    """Let everybody execute the file."""
    path.chmod(path.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)


def remove_path(path: Path) -> None:
    """Remove what is at `path`, a folder with all that is in it; nothing need be there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _local() -> LocalFileSystem:
    return LocalFileSystem()  # type: ignore[no-untyped-call]


def _raise(_: str, error: BaseException) -> None:
    raise error
