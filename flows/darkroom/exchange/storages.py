"""Where a board lies: a few small files, in a shared folder, in S3 or behind sshd.

Every step is one that the place does whole or not at all. To create a file that nobody has created before is
a link to a finished one (in folders, NFS too, and by sshd), or S3's conditional write (`If-None-Match: *`).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import threading
import weakref
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, Protocol

from darkroom.base.errors import UsageError
from darkroom.base.files import sync_path
from darkroom.repository.blobs import BlobStore
from darkroom.repository.filesystems import FileSystemAccess, access_to

SFTP_SECONDS = 60.0
"""A server behind sshd that has not answered for so long does not answer."""


class Storage(Protocol):
    """Small files by key, such as `attempts/TOKEN/beat`. Without an answer all methods raise OSError."""

    address: str
    look_seconds: float
    """Between two looks at what has changed."""

    def read(self, key: str) -> bytes | None:
        """A file's content; None: it is not there."""

    def write(self, key: str, content: bytes, *, new: bool = False) -> None:
        """Replace a file, or make it. Where its folder is gone nothing is made, unless it is `new`."""

    def create(self, key: str, content: bytes) -> bool:
        """Make a file unless it is there. False: it is, with another content, or its folder is gone."""

    def listed(self, key: str) -> dict[str, float]:
        """The names in a folder, and when each was written, by one clock."""

    def remove(self, key: str) -> None:
        """Remove a file, or a folder with all that is in it, as far as there is one."""

    def blobs(self) -> BlobStore:
        """The store of data beside the small files."""


class FolderStorage:
    """A folder that all hosts see."""

    look_seconds = 0.5

    def __init__(self, folder: Path) -> None:
        self.folder, self.address = folder, str(folder)

    def read(self, key: str) -> bytes | None:
        """A file's content; None: it is not there."""
        try:
            return (self.folder / key).read_bytes()
        except FileNotFoundError:
            return None

    def write(self, key: str, content: bytes, *, new: bool = False) -> None:
        """Replace a file; what is `new` is safe from a power cut, too."""
        path = self.folder / key
        if new:
            path.parent.mkdir(parents=True, exist_ok=True)
        gone = contextlib.nullcontext() if new else contextlib.suppress(FileNotFoundError)
        with gone, self._finished(path, content, synced=new) as draft:
            draft.replace(path)  # a link that somebody has put there is replaced, and not followed
            if new:
                sync_path(path.parent)

    def create(self, key: str, content: bytes) -> bool:
        """Link a finished file into its place, as far as that is free."""
        path = self.folder / key
        try:
            with self._finished(path, content, synced=True) as draft:
                os.link(draft, path)
                sync_path(path.parent)
        except FileNotFoundError:
            return False
        except FileExistsError:
            return self.read(key) == content
        return True

    @contextlib.contextmanager
    def _finished(self, path: Path, content: bytes, *, synced: bool) -> Iterator[Path]:
        """A file beside `path`, with the content; it is gone after the block."""
        draft = path.with_name(f".{secrets.token_hex(8)}")
        try:
            with draft.open("xb") as file:
                file.write(content)
                if synced:
                    file.flush()
                    os.fsync(file.fileno())
            yield draft
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(path)) from error  # `write` does not say where
        finally:
            draft.unlink(missing_ok=True)

    def listed(self, key: str) -> dict[str, float]:
        """The names in a folder, and when each was written."""
        found: dict[str, float] = {}
        with contextlib.suppress(FileNotFoundError):
            for path in (self.folder / key).iterdir():
                with contextlib.suppress(FileNotFoundError):
                    found[path.name] = path.stat().st_mtime
        return found

    def remove(self, key: str) -> None:
        """Remove a file or a folder."""
        path = self.folder / key
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)

    def blobs(self) -> BlobStore:
        """The store in the same folder."""
        return BlobStore.in_folder(self.folder)


class _FarStorage:
    """What S3 and ssh have in common: a file system of DVC's, asked again where it does not answer."""

    look_seconds = 2.0

    def __init__(self, access: FileSystemAccess) -> None:
        self._access, self.address = access, access.address

    def _path(self, key: str) -> str:
        return f"{self._access.path}/{key}"

    def read(self, key: str) -> bytes | None:
        """A file's content; None: it is not there."""
        try:
            return bytes(self._access.call(lambda system: system.fs.cat_file(self._path(key))))
        except FileNotFoundError:
            return None

    def create(self, key: str, content: bytes) -> bool:
        """Make a file unless it is there; with this content it is, where only the answer was lost."""
        try:
            self._access.call(lambda system: self._made(system, self._path(key), content))
        except FileExistsError:
            return self.read(key) == content
        return True

    def _made(self, system: Any, path: str, content: bytes) -> None:
        raise NotImplementedError

    def listed(self, key: str) -> dict[str, float]:
        """The names in a folder, and when each was written, by the storage's clock."""
        try:
            found = self._access.call(lambda system: system.fs.ls(self._path(key), detail=True))
        except FileNotFoundError:
            return {}
        names = {one["name"].rstrip("/").rpartition("/")[2]: one for one in found}
        return {name: _written(one) for name, one in names.items() if name and not name.startswith(".")}

    def remove(self, key: str) -> None:
        """Remove a file or a folder."""
        with contextlib.suppress(FileNotFoundError):
            self._access.call(lambda system: system.fs.rm(self._path(key), recursive=True))

    def blobs(self) -> BlobStore:
        """The store at the same address."""
        return BlobStore(self._access)


class BucketStorage(_FarStorage):
    """S3, or what speaks as it does, conditional writes included."""

    def write(self, key: str, content: bytes, *, new: bool = False) -> None:  # noqa: ARG002
        """Replace an object."""
        self._access.call(lambda system: system.fs.pipe_file(self._path(key), content))

    def _made(self, system: Any, path: str, content: bytes) -> None:
        try:
            system.fs.pipe_file(path, content, mode="create")
        except FileExistsError:
            raise
        except OSError as error:  # some servers do not name the condition that their 412 is about
            if system.fs.exists(path):
                raise FileExistsError(path) from error
            raise


class SftpStorage(_FarStorage):
    """A folder behind OpenSSH's sshd, by SFTP; no shell is needed there."""

    def __init__(self, access: FileSystemAccess) -> None:
        super().__init__(access)
        self._channels: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()
        self._lock = threading.Lock()

    def write(self, key: str, content: bytes, *, new: bool = False) -> None:
        """Replace a file by renaming a finished one."""
        path = self._path(key)

        def replace(system: Any) -> None:
            if not new and not system.fs.exists(path.rpartition("/")[0]):
                return
            with _draft(system, path, content) as draft:
                system.fs.mv(draft, path)

        self._access.call(replace)

    def _made(self, system: Any, path: str, content: bytes) -> None:
        with _draft(system, path, content) as draft:
            try:
                _awaited(system.fs, self._channel(system.fs).link(draft, path))
            except Exception as error:  # SFTP has no word of its own for it
                if system.fs.exists(path):
                    raise FileExistsError(path) from error
                raise

    def _channel(self, connected: Any) -> Any:
        """An SFTP channel of our own: the file system's have no links."""
        with self._lock:
            if connected not in self._channels:
                self._channels[connected] = _awaited(connected, _channel_of(connected.client))
            return self._channels[connected]


async def _channel_of(client: Any) -> Any:
    return await client.start_sftp_client()


def _awaited(connected: Any, work: Coroutine[Any, Any, Any]) -> Any:
    """What a coroutine of the connection returns."""
    return asyncio.run_coroutine_threadsafe(work, connected.loop).result(SFTP_SECONDS)


@contextlib.contextmanager
def _draft(system: Any, path: str, content: bytes) -> Iterator[str]:
    folder, _, name = path.rpartition("/")
    draft = f"{folder}/.{name}.{secrets.token_hex(4)}"
    try:
        system.fs.pipe_file(draft, content)
        yield draft
    finally:
        with contextlib.suppress(FileNotFoundError):
            system.fs.rm_file(draft)


def _written(entry: dict[str, Any]) -> float:
    moment = entry.get("LastModified") or entry.get("mtime")
    return moment.timestamp() if moment else 0.0


def open_storage(address: str, root: Path | None = None) -> Storage:
    """The storage at an address: a folder, `s3://`, `ssh://`, or `remote://NAME` as DVC's settings have it.

    Raises:
        UsageError: The address is wrong, or what is needed for it is not installed.

    """
    access = access_to(address, root)
    match access.kind:
        case "s3":
            return BucketStorage(access)
        case "ssh":
            return SftpStorage(access)
    return FolderStorage(Path(access.path))


def check_storage(storage: Storage) -> None:
    """Try whether the storage can be used, and lets one host alone create a file.

    Raises:
        UsageError: It cannot, and why.

    """
    key = f"checks/{secrets.token_hex(8)}"
    try:
        storage.write(f"{key}/there", b"", new=True)
        if not storage.create(f"{key}/one", b"first") or storage.create(f"{key}/one", b"second"):
            raise UsageError(
                f"storage: {storage.address}: it lets two hosts create the same file (a server that ignores"
                " `If-None-Match`), so that both would run one stage; choose another one"
            )
        storage.remove(key)
    except OSError as error:
        raise UsageError(
            f"storage: {storage.address} cannot be used: {' '.join(str(error).split())}"
        ) from error
