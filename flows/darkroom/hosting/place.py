"""A host's own folder: checkouts of its attempts, and what it has fetched before."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from darkroom.base.locks import LockFile
from darkroom.exchange.board import Board
from darkroom.exchange.storages import Storage
from darkroom.repository.blobs import BlobStore, remove_path


def host_name() -> str:
    """What this host is called where a stage's place is shown; DARKROOM_HOST says otherwise."""
    return os.environ.get("DARKROOM_HOST") or os.environ.get("SLURMD_NODENAME") or socket.gethostname()


@dataclass(frozen=True, slots=True)
class HostPlace:
    """A host's own folder for attempts, with what it has fetched before."""

    folder: Path
    storage: Storage

    @property
    def board(self) -> Board:
        """The attempts of everybody."""
        return Board(self.storage)

    @property
    def blobs(self) -> BlobStore:
        """What everybody has stored."""
        return self.storage.blobs()

    @property
    def cache(self) -> BlobStore:
        """What this host has fetched."""
        return BlobStore.in_folder(self.folder / "cache")

    @property
    def attempts(self) -> Path:
        """Each attempt's checkout and log, and a lock that is held as long as somebody executes it."""
        return self.folder / "attempts"

    @contextlib.contextmanager
    def held(self, token: str) -> Iterator[None]:
        """Hold an attempt's files meanwhile, and remove them then."""
        with self._alone():
            lock = LockFile(self.attempts / f"{token}.lock")
            lock.lock(0, 1)
        with lock:
            try:
                yield
            finally:
                self._remove(token)

    def remove_left(self) -> None:
        """Remove the files of attempts whose process was killed."""
        with contextlib.ExitStack() as free:
            with self._alone():
                left = [
                    token
                    for token in {path.name.partition(".")[0] for path in self.attempts.iterdir()} - {""}
                    if free.enter_context(LockFile(self.attempts / f"{token}.lock")).lock(0, 1)
                ]
            for token in left:
                self._remove(token)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Let nobody else take an attempt's lock: one that was just made and is not held yet looks free."""
        self.attempts.mkdir(parents=True, exist_ok=True)
        with (self.attempts / ".lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _remove(self, token: str) -> None:
        for path in self.attempts.glob(f"{token}*"):
            if path.suffix != ".lock":
                with contextlib.suppress(OSError):  # a folder that may not be changed is no reason to fail
                    remove_path(path)
        (self.attempts / f"{token}.lock").unlink(missing_ok=True)  # the last: it names what is left
