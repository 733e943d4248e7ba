"""Who holds which part of a device and who waits, as the files in the lease folder say it.

How much is held, and by which user, cannot be forged: it is a lock, and the owner of a file. Everything else
is what that user writes about itself, and may be anything.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from darkroom.gpus import lease_gate
from darkroom.gpus.choice import Request
from darkroom.gpus.devices import Device
from darkroom.gpus.lease_folder import LeaseFile, OwnFile, SharedFolder, user_name

ATTENTIVE_SECONDS = 5.0
"""Who waits and has not looked for so long (stopped, busy with a large commit) keeps its place but no device.
A waiting run looks five times a second."""

_QUEUE = "queue"
_LAST_SECOND = 1 << 40  # a calendar's years end somewhere
_LONGEST_TEXT = 200
_UNREADABLE = (KeyError, TypeError, ValueError, OverflowError)


@dataclass(frozen=True, kw_only=True, slots=True)
class LeaseHolder:
    """Who holds a lease or waits for one."""

    pid: int | None
    """The run's; None: no process of the user's has it, here."""
    user: str
    run: str
    repository: str
    stage: str = ""
    since: float = 0.0
    """Since when it holds or waits, in seconds since the epoch."""

    @classmethod
    def this_process(cls, run: str, repository: Path) -> LeaseHolder:
        """The run that this process is."""
        return cls(pid=os.getpid(), user=user_name(os.geteuid()), run=run, repository=str(repository))


@dataclass(frozen=True, slots=True)
class HeldShare:
    """A part of a device and who holds it."""

    bytes: int
    user: str
    holder: LeaseHolder | None
    """Who holds it, as the holder says; None: the user did not write down for what."""

    @property
    def in_words(self) -> str:
        """`train of /data/project since ...`, or what is known besides."""
        return _in_words(self.user, self.holder)


@dataclass(frozen=True, slots=True)
class Waiter:
    """A run in the queue."""

    place: tuple[int, int]
    """Less came earlier; the second is the inode of its file."""
    request: Request
    looked: float
    """Seconds on the host's monotonic clock."""
    holder: LeaseHolder

    @property
    def attentive(self) -> bool:
        """Whether it would take what becomes free."""
        return time.monotonic() - self.looked < ATTENTIVE_SECONDS


class HostLeases:
    """The leases and the queue of a host, as they are now.

    Raises:
        LeaseError: The folder of the leases cannot be used; methods raise it too.

    """

    def __init__(self, path: Path) -> None:
        self._shared = SharedFolder(path)

    def close(self) -> None:
        """What was taken stays taken."""
        self._shared.close()

    def __enter__(self) -> HostLeases:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def alone(self, me: LeaseHolder) -> Iterator[str | None]:
        """Decide while no other run does. Yields None, or in words the run that stayed ahead."""
        self._shared.open_anew_if_removed()
        with lease_gate.alone_at_gate(self._shared, asdict(me)) as ahead:
            yield _in_words(user_name(ahead.uid), _holder(ahead)) if ahead else None

    def held(self, device: Device) -> list[HeldShare]:
        """The leased parts of a device, with their holders."""
        files = self._shared.held(_kind_of(device))
        return [
            HeldShare(min(file.length, device.memory), user_name(file.uid), _holder(file)) for file in files
        ]

    def waiting(self) -> list[Waiter]:
        """Who waits, in the order in which they came."""
        waiters = (_waiter(file) for file in self._shared.held(_QUEUE))
        return sorted((waiter for waiter in waiters if waiter), key=lambda waiter: waiter.place)

    def hold(self, device: Device, size: int, holder: LeaseHolder) -> OwnFile:
        """Hold so many bytes of a device. Whether they are free is decided before, alone."""
        return self._shared.make(_kind_of(device), size, asdict(holder))

    def join(self, request: Request, holder: LeaseHolder) -> OwnFile:
        """Take the last place in the queue. The clock tells the places: no other file changes the order."""
        return self._shared.make(_QUEUE, time.monotonic_ns(), waiting_note(request, holder))

    def remove_left(self) -> None:
        """Remove what killed runs of this user have left."""
        self._shared.remove_left()


def _in_words(user: str, holder: LeaseHolder | None) -> str:
    return describe_holder(holder) if holder else f"{user}, who did not write down for what"


def describe_holder(holder: LeaseHolder) -> str:
    """`train of /data/project since 2026-01-02 10:15:03 (anna's run 20260102-101500-7, pid 7)`."""
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(holder.since))
    pid = "" if holder.pid is None else f", pid {holder.pid}"
    return f"{holder.stage} of {holder.repository} since {since} ({holder.user}'s run {holder.run}{pid})"


def waiting_note(request: Request, holder: LeaseHolder) -> dict[str, Any]:
    """What a run in the queue writes down at each look."""
    return {"request": asdict(request), "looked": time.monotonic(), "holder": asdict(holder)}


def _kind_of(device: Device) -> str:
    return f"device.{device.name.replace('/', '_')}"


def _holder(file: LeaseFile) -> LeaseHolder | None:
    with suppress(*_UNREADABLE):
        return _read_holder(file.note, file.uid)
    return None


def _read_holder(note: Any, uid: int) -> LeaseHolder:
    """The holder that a note names; where it names none, one of _UNREADABLE is raised."""
    since = float(note["since"])
    if not 0 <= since < _LAST_SECOND:
        raise ValueError(since)
    return LeaseHolder(
        pid=_pid_of(uid, note["pid"]),
        user=user_name(uid),
        run=_text(note["run"]),
        repository=_text(note["repository"]),
        stage=_text(note["stage"]),
        since=since,
    )


def _pid_of(uid: int, pid: Any) -> int | None:
    """The pid if a process of that user has it: nobody can have another's process taken for his."""
    with suppress(psutil.Error):
        if isinstance(pid, int) and uid in psutil.Process(pid).uids():
            return pid
    return None


def _text(value: object) -> str:
    """A text without what a terminal would take for a command, cut where it is long."""
    return "".join(letter for letter in str(value)[:_LONGEST_TEXT] if letter.isprintable())


def _waiter(file: LeaseFile) -> Waiter | None:
    with suppress(*_UNREADABLE):
        note: Any = file.note
        asked = note["request"]
        memory = None if asked["memory"] is None else int(asked["memory"])
        request = Request(int(asked["count"]), memory, tuple(map(str, asked["names"])))
        if request.count < 1 or (memory is not None and memory < 1):
            raise ValueError(asked)  # a claim on less than nothing would free what is held
        return Waiter(
            (file.length, file.inode), request, float(note["looked"]), _read_holder(note["holder"], file.uid)
        )
    return None
