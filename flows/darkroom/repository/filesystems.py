"""The file systems of DVC's remotes: folders, S3 and ssh. What fails is tried again, then said in one line.

Options such as a key file or an endpoint stand in DVC's own settings (`dvc remote modify`, also `--global`)
and in what its plugins read: AWS's variables and files, ~/.ssh/config.
"""

from __future__ import annotations

import errno
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from dvc.config import Config, ConfigError
from dvc.fs import get_cloud_fs
from dvc_objects.fs.base import FileSystem
from dvc_objects.fs.local import LocalFileSystem

from darkroom.base.errors import UsageError

Answer = TypeVar("Answer")

WAITS = (0.2, 0.6, 2.0, 5.0)
"""Seconds before a request is made again, one after the other; each up to half as long again, by chance."""

CONNECT_SECONDS, READ_SECONDS = 10, 60
"""How long S3 may take to answer, where DVC's settings do not say, and ssh to connect."""

ALIVE_SECONDS, ALIVE_TIMES = 15, 4
"""A server behind ssh that is silent is asked so often whether it is there; then the connection is broken."""

KINDS = {"local": "a folder", "s3": "s3://BUCKET/FOLDER", "ssh": "ssh://HOST/FOLDER"}
"""What addresses look like, by DVC's name of the file system."""

_ANSWERS = (FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError, PermissionError)
"""The errors with which the storage has answered."""

_OF_THIS_HOST = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.ENOMEM}
_FAULTS = (TypeError, AttributeError, LookupError, NameError, AssertionError)
"""The errors that are no answers of a library but mistakes in code."""


class StorageError(OSError):
    """The storage does not answer, however often it is asked."""


_NO_ANSWER = {
    errno.EIO,
    errno.ESTALE,
    errno.ETIMEDOUT,
    errno.ENOTCONN,
    errno.EHOSTDOWN,
    errno.EHOSTUNREACH,
    errno.ENETDOWN,
    errno.ENETUNREACH,
    errno.ECONNREFUSED,
    errno.ECONNRESET,
    errno.ECONNABORTED,
}


def is_outage(error: OSError) -> bool:
    """Whether a storage did not answer, and may do so later. A mounted folder has numbers for that."""
    return isinstance(error, StorageError) or error.errno in _NO_ANSWER


class FileSystemAccess:
    """One file system of DVC's, opened when it is needed, and anew where its connection broke."""

    def __init__(
        self, kind: str, path: str, address: str, opened: Callable[[], Any], waits: tuple[float, ...]
    ) -> None:
        self.kind, self.path, self.address = kind, path, address
        self._opened, self._waits = opened, waits
        self._lock = threading.Lock()
        self._file_system: Any = None

    @classmethod
    def to_folder(cls, folder: Path) -> FileSystemAccess:
        """The access to a folder of this host, or one that it has mounted. Nothing is tried again."""
        return cls("local", str(folder), str(folder), _local, ())

    def call(self, work: Callable[[Any], Answer]) -> Answer:
        """Do something with the file system, again after a while where that fails; it may be done twice.

        Raises:
            OSError: The file system's answer, such as FileNotFoundError.
            StorageError: It does not answer.

        """
        for wait in (*self._waits, None):
            used = None
            try:
                used = self._open()
                return work(used)
            except (*_ANSWERS, *_FAULTS):
                raise
            except Exception as error:  # each library has errors of its own
                if (wait is None and not self._waits) or getattr(error, "errno", None) in _OF_THIS_HOST:
                    raise
                self._forget(used)
                if wait is None:
                    said = " ".join(str(error).split()) or type(error).__name__
                    tries = len(self._waits) + 1
                    raise StorageError(f"{self.address}: {said} (asked {tries} times)") from error
            time.sleep(wait * (1 + random.random() / 2))
        raise AssertionError("unreachable")

    def _open(self) -> Any:
        with self._lock:
            if self._file_system is None:
                self._file_system = self._opened()
            return self._file_system

    def _forget(self, used: Any) -> None:
        """Open anew what may have lost its connection. S3 has none that lasts."""
        with self._lock:
            if self._file_system is used and self.kind == "ssh":
                self._file_system = None


def access_to(address: str, root: Path | None = None) -> FileSystemAccess:
    """The access to the storage at an address: a folder, `s3://`, `ssh://`, or `remote://NAME` of DVC's.

    `root` is the repository whose remotes are known; None: only those of the user's and the host's settings.

    Raises:
        UsageError: The address is wrong, or what DVC needs for it is not installed.

    """
    if "://" not in address:
        return FileSystemAccess.to_folder((root or Path()).absolute() / Path(address).expanduser())
    scheme = address.partition("://")[0]
    known = ", ".join(KINDS.values())
    elsewhere = UsageError(f"storage: {address}: hosts cannot claim stages there; take one of {known}")
    if scheme not in (*KINDS, "remote"):
        raise elsewhere
    try:
        config = Config(str(root / ".dvc") if root else None)
        if _scheme(config, address) not in (*KINDS, "remote", ""):
            raise elsewhere  # before its plugin is missed, which would not help
        kind, options, path = get_cloud_fs(config, url=address)
        if kind.protocol not in KINDS:
            raise elsewhere
        if kind.protocol == "local":
            return FileSystemAccess.to_folder(Path(path).absolute())
        kind(**options)  # looks for the plugin
    except ConfigError as error:
        raise UsageError(f"storage: {address}: {error}; see `dvc remote list`") from error
    except ImportError as error:
        raise UsageError(f"storage: {address}: {error}; install darkroom[s3] or darkroom[ssh]") from error
    return FileSystemAccess(kind.protocol, path.rstrip("/"), address, lambda: _opened(kind, options), WAITS)


REFERENCES_MOST = 10
"""How many remotes may name another one as their address, one after the other."""


def _scheme(config: Config, address: str) -> str:
    """The scheme of an address; of `remote://NAME` that of the remote's own, "" of a folder, or `remote`."""
    for _ in range(REFERENCES_MOST):
        scheme, between, rest = address.partition("://")
        if scheme != "remote" or not between:
            return scheme if between else ""
        remote = config["remote"].get(rest.partition("/")[0].lower())
        if remote is None:
            break  # DVC says it in words of its own
        address = remote["url"]
    return "remote"


def _opened(kind: type[FileSystem], options: dict[str, Any]) -> FileSystem:
    file_system = kind(**options)
    if kind.protocol == "ssh":  # else a silent server is waited for until TCP gives up: a quarter hour
        file_system.fs_args |= {
            "connect_timeout": CONNECT_SECONDS,
            "keepalive_interval": ALIVE_SECONDS,
            "keepalive_count_max": ALIVE_TIMES,
        }
    if kind.protocol == "s3":  # `FileSystemAccess` alone waits and asks again: a stop is not kept waiting
        settings = file_system.fs_args.setdefault("config_kwargs", {})
        settings.setdefault("connect_timeout", CONNECT_SECONDS)
        settings.setdefault("read_timeout", READ_SECONDS)
        settings["retries"] = {"total_max_attempts": 1}
        file_system.fs.retries = 1
        file_system.fs.dircache.use_listings_cache = False  # others write there, too
    return file_system


def _local() -> LocalFileSystem:
    return LocalFileSystem()  # type: ignore[no-untyped-call]
