"""Files and folders by their hashes, in a store with the layout of DVC's caches and remotes.

A shared folder with such a store can be used as a DVC remote, and a DVC remote as such a store.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
import shutil
import stat
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from dvc_data.hashfile.db import HashFileDB
from dvc_data.hashfile.hash_info import HashInfo
from dvc_data.hashfile.tree import Tree
from dvc_objects.fs.local import LocalFileSystem

from darkroom.repository.filesystems import FileSystemAccess
from darkroom.repository.patches.special_files import open_to_read

FOLDER = ".dir"
"""The end of the hash of a folder, as in dvc.lock."""

_HASH = re.compile(r"\w+(\.dir)?", re.ASCII)
"""What a hash looks like. It becomes part of a path, so nothing else is taken for one."""

LAYOUT = ("files", "md5")

AT_ONCE = 8
"""Files of a folder that go over a network side by side."""

_PIECE_BYTES = 1 << 20

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class BlobGoneError(OSError):
    """The store does not hold a blob, or holds another content in its place."""


class UnfitError(OSError):
    """A file that is to be stored cannot be read, or is none: to try again does not help."""


@dataclass(frozen=True, slots=True)
class Blob:
    """A file, or a folder with all that is in it."""

    md5: str
    """The hash as dvc.lock has it: a folder's ends in `.dir`."""
    size: int
    """Bytes; of a folder, those of all its files."""
    executable: bool = False
    """Whether the file may be executed."""
    executables: tuple[str, ...] = ()
    """The paths in a folder that may be executed, which its hash does not tell."""

    def __post_init__(self) -> None:
        """Take the list that JSON has for a tuple.

        Raises:
            ValueError: The hash is none.

        """
        object.__setattr__(self, "executables", tuple(self.executables))
        if not _HASH.fullmatch(self.md5):
            raise ValueError(f"{self.md5!r} is no hash")


class BlobStore:
    """A store of blobs; several processes and hosts may use it at once."""

    def __init__(self, access: FileSystemAccess) -> None:
        self._access = access
        self._place = "/".join((access.path, *LAYOUT))
        self._local = LocalFileSystem()  # type: ignore[no-untyped-call]
        self._store: HashFileDB | None = None
        self._counting = threading.Lock()
        self.written = 0
        """The bytes that this object has put into the store: what was there already is none of them."""

    @classmethod
    def in_folder(cls, folder: Path) -> BlobStore:
        """The store in a folder, which need not be there yet."""
        folder.joinpath(*LAYOUT).mkdir(parents=True, exist_ok=True)
        return cls(FileSystemAccess.to_folder(folder))

    def put(self, path: Path) -> Blob:
        """Store the file or folder at `path`, except the parts that the store already has.

        Raises:
            OSError: It cannot be read or stored.

        """
        if not path.is_dir():
            return self.put_file(path)
        tree, size, executables = Tree(), 0, []  # type: ignore[no-untyped-call]
        for file, blob in self._each(self._put_named, files_below(path)):
            name = file.relative_to(path)
            tree.add(name.parts, None, HashInfo("md5", blob.md5))
            size += blob.size
            executables += [name.as_posix()] if blob.executable else []
        tree.digest()
        oid, content = str(tree.hash_info.value), tree.as_bytes()
        if self.lacks(oid):
            self._call(lambda store: store.add_bytes(oid, content))
            self._count(len(content))
        return Blob(oid, size, executables=tuple(executables))

    def put_file(self, path: Path) -> Blob:
        """Store one file, as far as it is not there yet."""
        blob = blob_of_file(path)
        if self.lacks(blob.md5):
            self._call(
                lambda store: store.add(
                    str(path), self._local, blob.md5, hardlink=False, check_exists=False, on_error=_raise
                )
            )
            self._count(blob.size)
        return blob

    def _put_named(self, path: Path) -> tuple[Path, Blob]:
        return path, self.put_file(path)

    def _call(self, work: Callable[[HashFileDB], Answer]) -> Answer:
        return self._access.call(lambda file_system: work(self._store_in(file_system)))

    def _store_in(self, file_system: Any) -> HashFileDB:
        if self._store is None or self._store.fs is not file_system:  # it remembers which folders are there
            self._store = HashFileDB(file_system, self._place)
        return self._store

    def _count(self, size: int) -> None:
        with self._counting:
            self.written += size

    def _each(self, work: Callable[[Item], Answer], items: Iterable[Item]) -> Iterator[Answer]:
        """Do it for each, in order; side by side where that goes over a network."""
        if self._access.kind == "local":
            yield from map(work, items)
            return
        with ThreadPoolExecutor(AT_ONCE) as threads:
            yield from threads.map(work, items)

    def put_replaced(self, path: Path, held: Path) -> Blob:
        """Store a file that others may replace meanwhile by renaming: as it is now.

        It is held at `held` until then, on the same file system and outside of what others look through.

        Raises:
            OSError: It cannot be read or stored.

        """
        held.hardlink_to(path)
        try:
            return self.put_file(held)
        finally:
            held.unlink(missing_ok=True)

    def lacks(self, md5: str) -> bool:
        """Whether the blob is not there.

        Raises:
            OSError: The store cannot be asked.

        """

        def is_missing(store: HashFileDB) -> bool:
            try:
                store.fs.info(store.oid_to_path(md5))
            except FileNotFoundError:  # `exists` takes any error for that, a lost request too
                return True
            return False

        return self._call(is_missing)

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
        entries = self._listing(blob.md5)
        path.mkdir(exist_ok=True)
        executables = frozenset(blob.executables)

        def place_entry(entry: tuple[str, str]) -> int:
            name, md5 = entry
            moved = self.place_file(md5, path / name, cache)
            if name in executables:
                make_executable(path / name)
            return moved

        for name, _ in entries:
            (path / name).parent.mkdir(parents=True, exist_ok=True)
        return sum(self._each(place_entry, entries))

    def _listing(self, md5: str) -> list[tuple[str, str]]:
        """The files of a folder: their paths in it, and their hashes."""
        try:
            content = self._call(lambda store: _read(store, md5))
        except FileNotFoundError as error:
            raise BlobGoneError(f"{md5} is not in the storage any more") from error
        if hashlib.md5(content, usedforsecurity=False).hexdigest() + FOLDER != md5:
            raise BlobGoneError(f"{md5} is damaged in the storage")
        try:
            entries = [(str(entry["relpath"]), Blob(entry["md5"], 0).md5) for entry in json.loads(content)]
        except (KeyError, TypeError, ValueError) as error:
            raise BlobGoneError(f"{md5} is no list of files: {error}") from error
        for name, _ in entries:
            if Path(name).is_absolute() or ".." in Path(name).parts:
                raise BlobGoneError(f"{md5} names a file outside of its folder: {name}")
        return entries

    def place_file(self, md5: str, path: Path, cache: BlobStore | None) -> int:
        """Put a file's content at `path`, as `place` does."""
        if cache is not None and not cache.lacks(md5):
            try:
                cache.place_file(md5, path, None)
            except BlobGoneError:
                cache.forget(md5)
            else:
                cache.note_use(md5)
                return 0
        # Named as DVC names its own: what a killed run has left beside an out, the next one removes.
        partial = path.with_name(f".{secrets.token_urlsafe(16)}.tmp")
        try:
            self._call(lambda store: store.fs.get_file(store.oid_to_path(md5), str(partial)))
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

    def note_use(self, md5: str) -> None:
        """Let `prune_folder` take the blob for one that was used just now."""
        with contextlib.suppress(OSError):
            os.utime(self._store_in(self._local).oid_to_path(md5))

    def forget(self, md5: str) -> None:
        """Remove a blob that is damaged."""
        with contextlib.suppress(FileNotFoundError):
            self._call(lambda store: store.fs.rm_file(store.oid_to_path(md5)))


def blob_of_file(path: Path) -> Blob:
    """The blob that a file is, stored or not.

    Raises:
        UnfitError: It cannot be read, or is a pipe, a socket or a device.

    """
    digest = hashlib.md5(usedforsecurity=False)
    try:
        with open(path, "rb", opener=open_to_read) as file:
            while piece := file.read(_PIECE_BYTES):
                digest.update(piece)
            mode = os.fstat(file.fileno())
    except OSError as error:
        raise UnfitError(error.errno, error.strerror, str(path)) from error
    return Blob(digest.hexdigest(), mode.st_size, bool(mode.st_mode & stat.S_IXUSR))


def files_below(folder: Path) -> Iterator[Path]:
    """All files below a folder, through links, in a fixed order."""
    for place, folders, names in os.walk(folder, followlinks=True):
        folders.sort()
        yield from (Path(place, name) for name in sorted(names))


def prune_folder(folder: Path, most: int) -> int:
    """Remove blobs from a folder's store until `most` bytes are left, first what was not used for longest.

    Returns:
        The bytes removed. Others may use the store meanwhile: what they miss they fetch.

    """
    kept: list[tuple[float, int, Path]] = []
    for path in files_below(folder.joinpath(*LAYOUT)):
        with contextlib.suppress(FileNotFoundError):
            state = path.stat()
            kept.append((state.st_mtime, state.st_size, path))
    total, removed = sum(size for _, size, _ in kept), 0
    for _, size, path in sorted(kept):
        if total - removed <= most:
            break
        path.unlink(missing_ok=True)
        removed += size
    return removed


def make_executable(path: Path) -> None:
    """Let everybody execute the file."""
    path.chmod(path.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)


def remove_path(path: Path) -> None:
    """Remove what is at `path`, a folder with all that is in it; nothing need be there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _read(store: HashFileDB, md5: str) -> bytes:
    with store.fs.open(store.oid_to_path(md5), "rb") as file:
        return bytes(file.read())


def _raise(_: str, error: BaseException) -> None:
    raise error
