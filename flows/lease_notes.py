"""Who holds which part of a device and who waits, as the files in the folder of the leases tell it."""

from __future__ import annotations

import getpass
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from flows.devices import Device
from flows.gpu_choice import Request
from flows.lock_files import LockFile, Range, make_folder

ATTENTIVE_SECONDS = 5.0
"""Who waits and has not looked for so long (stopped, busy with a large commit) keeps its place but no device.
A waiting run looks five times a second."""

_LAST_TICKET = 1 << 40
_LAST_SECOND = 1 << 40  # a calendar's years end somewhere
_UNREADABLE = (KeyError, TypeError, ValueError, OverflowError)


@dataclass(frozen=True, kw_only=True, slots=True)
class Holder:
    """Who holds a lease or waits for one."""

    pid: int
    user: str
    run: str
    repository: str
    stage: str = ""
    since: float = 0.0
    """Seconds since the epoch."""

    @classmethod
    def this_process(cls, run: str, repository: Path) -> Holder:
        """The run that this process is."""
        return cls(pid=os.getpid(), user=_user(), run=run, repository=str(repository))


def _user() -> str:
    with suppress(KeyError, OSError):  # a container's user without a name
        return getpass.getuser()
    return str(os.getuid())


@dataclass(frozen=True, slots=True)
class Held:
    """A part of a device and who holds it; None: nobody wrote it down."""

    bytes: int
    holder: Holder | None


@dataclass(frozen=True, slots=True)
class Waiter:
    """A run in the queue."""

    ticket: int
    request: Request
    looked: float
    """Seconds on the host's monotonic clock."""
    holder: Holder

    @property
    def attentive(self) -> bool:
        """Whether it would take what becomes free."""
        return time.monotonic() - self.looked < ATTENTIVE_SECONDS


class Folder:
    """The leases and the queue of a host, as they are now."""

    def __init__(self, path: Path) -> None:
        self._path = path
        make_folder(path)

    def device_file(self, device: Device) -> LockFile:
        """A new open file of the device, which holds nothing yet."""
        return LockFile(self._path / f"device.{device.name.replace('/', '_')}")

    def queue_file(self) -> LockFile:
        """A new open file of the queue, which holds no place yet."""
        return LockFile(self._path / "queue")

    def held(self, device: Device) -> list[Held]:
        """What is leased of a device, and to whom."""
        with self.device_file(device) as file:
            locked = file.locked(0, device.memory)
            known = [Held(_length(ranges), holder) for ranges, holder in _holders(file.notes(), locked)]
        unknown = _length(locked) - sum(part.bytes for part in known)
        return [*known, Held(unknown, None)] if unknown else known

    def waiting(self) -> list[Waiter]:
        """Who waits, in the order in which they came."""
        with self.queue_file() as file:
            locked = file.locked(1, _LAST_TICKET)
            waiters = [waiter for note in file.notes() if (waiter := _waiter(note))]
        here = {w.ticket: w for w in reversed(waiters) if _within((w.ticket, w.ticket + 1), locked)}
        return [here[ticket] for ticket in sorted(here)]


def described(holder: Holder) -> str:
    """`train of /data/project since 2026-01-02 10:15:03 (anna's run 20260102-101500-7, pid 7)`."""
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(holder.since))
    whose = f"{holder.user}'s run {holder.run}, pid {holder.pid}"
    return f"{holder.stage} of {holder.repository} since {since} ({whose})"


def hold(file: LockFile, device: Device, size: int, holder: Holder) -> bool:
    """Hold so many free bytes of the device. Noted down before: nobody ever sees a holder without a name."""
    locked = file.locked(0, device.memory)
    others = list(_holders(file.notes(), locked))
    ranges = _free_ranges(locked, device.memory, size)
    file.write_notes([_note(ranges, holder), *(_note(of_other, other) for of_other, other in others)])
    return all(file.lock(start, end) for start, end in ranges)


def _free_ranges(locked: Sequence[Range], memory: int, size: int) -> list[Range]:
    """The first `size` bytes that are not locked; memory is memory, they need not lie side by side."""
    free: list[Range] = []
    start = 0
    for first, end in (*locked, (memory, memory)):
        if first > start and size:
            free.append((start, min(first, start + size)))
            size -= _length(free[-1:])
        start = end
    return free


def _length(ranges: Sequence[Range]) -> int:
    return sum(end - start for start, end in ranges)


def _note(ranges: Sequence[Range], holder: Holder) -> dict[str, Any]:
    return {"ranges": ranges, **asdict(holder)}


def _holders(
    notes: Sequence[Mapping[str, Any]], locked: Sequence[Range]
) -> Iterator[tuple[list[Range], Holder]]:
    """The notes that count: all that they name is locked, and no later note (they stand first) names it."""
    named: list[Range] = []
    for note in notes:
        with suppress(*_UNREADABLE):
            ranges = [(int(start), int(end)) for start, end in note["ranges"]]
            holder = _holder(note)
            if all(_within(one, locked) and not _overlaps(one, named) for one in ranges):
                named += ranges
                yield ranges, holder


def _within(one: Range, locked: Sequence[Range]) -> bool:
    return _length([(max(one[0], a), min(one[1], b)) for a, b in locked if a < one[1] and one[0] < b]) == (
        one[1] - one[0]
    )


def _overlaps(one: Range, others: Sequence[Range]) -> bool:
    return any(start < one[1] and one[0] < end for start, end in others)


def _holder(note: Mapping[str, Any]) -> Holder:
    """Raises one of _UNREADABLE: anybody can write notes."""
    since = float(note["since"])
    if not 0 <= since < _LAST_SECOND:
        raise ValueError(since)
    return Holder(
        pid=int(note["pid"]),
        user=_text(note["user"]),
        run=_text(note["run"]),
        repository=_text(note["repository"]),
        stage=_text(note["stage"]),
        since=since,
    )


def _text(value: object) -> str:
    """Without what a terminal would take for a command."""
    return "".join(letter for letter in str(value) if letter.isprintable())


def _waiter(note: Mapping[str, Any]) -> Waiter | None:
    with suppress(*_UNREADABLE):
        asked = note["request"]
        memory = None if asked["memory"] is None else int(asked["memory"])
        request = Request(int(asked["count"]), memory, tuple(map(str, asked["names"])))
        return Waiter(int(note["ticket"]), request, float(note["looked"]), _holder(note["holder"]))
    return None
