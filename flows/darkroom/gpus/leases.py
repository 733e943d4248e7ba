"""Leases of GPUs: locks that the kernel frees, in one folder for all runs and users of the host.

A lease of a device is a file of the run. The run locks as many of its bytes as it asked for bytes of the
device's memory. The stage's processes inherit the open file, so the device becomes free when the last of them
is gone, and not before. A waiting run has a file in the queue. One run at a time decides.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path
from typing import TypeVar

import psutil

from darkroom.base.meta import Resources
from darkroom.gpus.choice import (
    Load,
    Request,
    blocking_devices,
    choose_devices,
    device_share,
    has_room,
    is_possible,
    left_over,
)
from darkroom.gpus.devices import VISIBLE, Device, Gpus
from darkroom.gpus.lease_folder import ForeignError, LeaseError, OwnFile
from darkroom.gpus.lease_notes import (
    HeldShare,
    HostLeases,
    LeaseHolder,
    Waiter,
    describe_holder,
    waiting_note,
)
from darkroom.schedule.pool import Lease

SAY_AFTER_SECONDS = 2.0
"""A wait is worth a line once it has lasted so long."""

Decided = TypeVar("Decided")


def load_of(device: Device, held: Sequence[HeldShare], gpus: Gpus) -> Load:
    """What is in use of a device, by leases and by others."""
    leased = sum(part.bytes for part in held)
    use = gpus.use(device)
    if use is None:
        return Load(device, leased, outside=device.memory)
    owners = {part.holder.pid for part in held if part.holder and part.holder.pid is not None}
    strangers = {pid: used for pid, used in use.processes.items() if _is_stranger(pid, owners)}
    outside = max(use.memory - leased, sum(strangers.values()))
    return Load(device, leased, outside, tuple(strangers))


def _is_stranger(pid: int, owners: set[int]) -> bool:
    """Whether a process belongs to no run that holds leases. False for a process that cannot be seen."""
    with suppress(psutil.Error):
        return owners.isdisjoint((pid, *(parent.pid for parent in psutil.Process(pid).parents())))
    return False


@dataclass(frozen=True, slots=True)
class _Place:
    """The place in the queue of one run."""

    file: OwnFile
    request: Request
    holder: LeaseHolder


class HostDevices:
    """The GPUs that one run may use, taken from those of the host. Used by one thread.

    Raises:
        LeaseError: The folder of the leases cannot be used; for another user who stands in the way it waits
            instead.

    """

    def __init__(
        self,
        gpus: Gpus,
        usable: Sequence[Device],
        folder: Path,
        me: LeaseHolder,
        on_wait: Callable[[str, str], None],
    ) -> None:
        self._gpus, self._usable, self._me, self._on_wait = gpus, usable, me, on_wait
        self._path = folder
        self._folder: HostLeases | None = None
        self._mine: _Place | None = None
        self._said: str | None = None
        self._leases: dict[tuple[int, ...], list[OwnFile]] = {}
        try:
            with self._opened().alone(me):
                self._opened().remove_left()
        except ForeignError:
            pass  # said and waited for as soon as a stage needs a device
        except LeaseError:
            self.close()
            raise

    def take(self, resources: Resources, stage: str) -> Lease | None:
        """Hold all the devices that were asked for, or none: they are not free, or others came before."""
        request = Request.for_stage(resources, self._usable)
        if not is_possible(request, self._usable):
            return Lease(
                resources
            )  # it may turn out to need nothing; it is refused where it would be executed
        lease = self._alone(stage, lambda folder: self._take(folder, request, resources, stage))
        if lease is not None and self._mine and self._mine.request == request:
            self._leave()
        return lease

    def _take(self, folder: HostLeases, request: Request, resources: Resources, stage: str) -> Lease | None:
        chosen = choose_devices(request, left_over(self._before(folder, request), self._loads(folder)))
        if chosen is None:
            return None
        shares = {device: device_share(request, device) for device in chosen}
        return self._hold(folder, resources, shares, stage)

    def give(self, lease: Lease) -> None:
        """Close what holds the devices; a process that outlives its stage holds them until it ends."""
        for file in self._leases.pop(lease.descriptors, ()):
            file.close()

    def waits(self, resources: Resources | None, stage: str) -> None:
        """Queue for what could not be taken, or say that one is there still; None: leave the queue."""
        if resources is None:
            self._leave()
            return
        request = Request.for_stage(resources, self._usable)
        self._alone(stage, lambda folder: self._queue_up(folder, request, stage))
        with suppress(LeaseError):  # said the next time
            self._say()

    def close(self) -> None:
        """Free all that is held, leave the queue."""
        for files in self._leases.values():
            for file in files:
                file.close()
        self._leases.clear()
        self._leave()
        if self._folder:
            self._folder.remove_left()
            self._folder.close()
            self._folder = None

    def _opened(self) -> HostLeases:
        self._folder = self._folder or HostLeases(self._path)
        return self._folder

    def _alone(self, stage: str, decide: Callable[[HostLeases], Decided]) -> Decided | None:
        """Decide while no other run does. None, and a report, if another run or a problem prevents that."""
        try:
            folder = self._opened()
            with folder.alone(replace(self._me, stage=stage, since=time.time())) as ahead:
                if ahead is None:
                    return decide(folder)
            self._on_wait(stage, f"another run decides on GPUs and does not come to an end: {ahead}")
        except LeaseError as error:
            self._on_wait(stage, str(error))
        return None

    def _loads(self, folder: HostLeases) -> list[Load]:
        return [load_of(device, folder.held(device), self._gpus) for device in self._gpus.devices]

    def _before(self, folder: HostLeases, request: Request) -> Iterator[Request]:
        """The requests that come before this one: a run's place is that of its most urgent request alone."""
        for waiter in folder.waiting():
            if self._is_mine(waiter) and waiter.request == request:
                return
            if waiter.attentive:
                yield waiter.request

    def _is_mine(self, waiter: Waiter) -> bool:
        return self._mine is not None and waiter.place[1] == self._mine.file.inode

    def _hold(
        self, folder: HostLeases, resources: Resources, shares: Mapping[Device, int], stage: str
    ) -> Lease:
        me = replace(self._me, stage=stage, since=time.time())
        with ExitStack() as stack:
            files = [stack.enter_context(folder.hold(*part, me)) for part in shares.items()]
            stack.pop_all()
        names = tuple(device.name for device in shares)
        descriptors = tuple(file.descriptor for file in files)
        self._leases[descriptors] = files
        return Lease(resources, {VISIBLE: ",".join(names)}, names, descriptors)

    def _queue_up(self, folder: HostLeases, request: Request, stage: str) -> None:
        """Take the last place in the queue, or show that the one we have is wanted still."""
        holder = replace(self._me, stage=stage, since=time.time())
        if self._mine is None:
            self._mine, self._said = _Place(folder.join(request, holder), request, holder), None
            return
        if self._mine.holder.stage == stage:
            holder = self._mine.holder
        else:
            self._said = None
        self._mine = replace(self._mine, request=request, holder=holder)
        self._mine.file.note(waiting_note(request, holder))

    def _leave(self) -> None:
        if self._mine:
            self._mine.file.free()
            self._mine = None

    def _say(self) -> None:
        """Say on what we wait, once a stage, where it is not on this run's own stages alone."""
        mine = self._mine
        if mine is None or self._said == mine.holder.stage:
            return
        if time.time() - mine.holder.since < SAY_AFTER_SECONDS:
            return
        if words := self._awaited(self._opened(), mine):
            self._said = mine.holder.stage
            self._on_wait(mine.holder.stage, words)

    def _awaited(self, folder: HostLeases, mine: _Place) -> str:
        loads = self._loads(folder)
        lines = [
            f"{load.device.name} ({'; '.join(words)})"
            for load in blocking_devices(mine.request, loads)
            if (words := self._in_the_way(folder, load))
        ]
        earlier = takewhile(lambda waiter: not self._is_mine(waiter), folder.waiting())
        ahead = [waiter for waiter in earlier if waiter.attentive]
        if ahead and any(has_room(mine.request, load) for load in loads):
            lines.append(f"who came before: {'; '.join(describe_holder(waiter.holder) for waiter in ahead)}")
        return ", ".join(lines)

    def _in_the_way(self, folder: HostLeases, load: Load) -> list[str]:
        """Who is on a device but this run, in words."""
        words = [
            f"held by {part.in_words}"
            for part in folder.held(load.device)
            if part.holder is None or (part.user, part.holder.run) != (self._me.user, self._me.run)
        ]
        if load.strangers or load.outside:
            words.append(outside_in_words(load))
        return words


def outside_in_words(load: Load) -> str:
    """`1.2 GB in use outside darkroom by pid 12`."""
    by = f" by pid {', '.join(map(str, load.strangers))}" if load.strangers else ""
    return f"{load.outside / 1e9:.1f} GB in use outside darkroom{by}"
