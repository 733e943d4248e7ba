"""Leases of GPUs: held by locks that the kernel frees, in one folder for all runs and users of the host.

Each device has a file, and the bytes of its memory are the bytes of the file: a stage holds as many of them
as it asked for, or all. The open file that holds them is inherited by the stage's processes, so that the
device is free when the last of them is gone and not before. The file `queue` has a byte for each run that
waits, and its first byte is held by who takes, joins or leaves: everything is decided by one run at a time.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path

import psutil

from flows.devices import VISIBLE, Device, Gpus
from flows.gpu_choice import Load, Request, blockers, choose, fits, is_possible, left_over, share
from flows.lease_notes import Folder, Held, Holder, Waiter, described, hold
from flows.lock_files import LeaseError
from flows.resources import Lease, Resources

SAY_AFTER_SECONDS = 2.0
"""A wait is worth a line once it has lasted so long."""

_GATE = (0, 1)


def load_of(device: Device, held: Sequence[Held], gpus: Gpus) -> Load:
    """What is in use of a device, by leases and by others."""
    leased = sum(part.bytes for part in held)
    use = gpus.use(device)
    if use is None:
        return Load(device, leased, outside=device.memory)
    owners = {part.holder.pid for part in held if part.holder}
    strangers = {pid: used for pid, used in use.processes.items() if _is_stranger(pid, owners)}
    outside = max(0, use.memory - leased, sum(strangers.values()))
    return Load(device, leased, outside, tuple(strangers))


def _is_stranger(pid: int, owners: set[int]) -> bool:
    """Whether a process belongs to none of the runs that hold leases; not said of one that cannot be seen."""
    with suppress(psutil.Error):
        return owners.isdisjoint((pid, *(parent.pid for parent in psutil.Process(pid).parents())))
    return False


class HostDevices:
    """The GPUs that one run may use, taken from those of the host. Used by one thread.

    Raises LeaseError where the folder of the leases cannot be used.
    """

    def __init__(
        self,
        gpus: Gpus,
        usable: Sequence[Device],
        folder: Path,
        me: Holder,
        on_wait: Callable[[str, str], None],
    ) -> None:
        self._gpus, self._usable, self._me, self._on_wait = gpus, usable, me, on_wait
        self._folder = Folder(folder)
        self._queue = self._folder.queue_file()
        self._mine: Waiter | None = None
        self._said: str | None = None
        self._leases: dict[tuple[int, ...], Lease] = {}

    def take(self, resources: Resources, stage: str) -> Lease | None:
        """Hold all the devices that were asked for, or none: they are not free, or others came before."""
        request = Request.of(resources, self._usable)
        if not is_possible(request, self._usable):
            return Lease(
                resources
            )  # it may turn out to need nothing; it is refused where it would be executed
        lease = None
        with self._alone(stage) as alone:
            chosen = choose(request, left_over(self._before(request), self._loads())) if alone else None
            if chosen is not None:
                lease = self._hold(resources, {device: share(request, device) for device in chosen}, stage)
            if lease is not None and self._mine and self._mine.request == request:
                self._leave()
        return lease

    def give(self, lease: Lease) -> None:
        """Close what holds the devices; a process that outlives its stage holds them until it ends."""
        if self._leases.pop(lease.descriptors, None):
            for descriptor in lease.descriptors:
                os.close(descriptor)

    def waits(self, resources: Resources | None, stage: str) -> None:
        """Queue for what could not be taken, or say that one is there still; None: leave the queue."""
        if resources is None and self._mine is None:
            return
        with self._alone(stage) as alone:
            if not alone:
                return
            if resources is None:
                self._leave()
            else:
                self._queue_up(Request.of(resources, self._usable), stage)
        with suppress(LeaseError):  # said the next time
            self._say()

    def close(self) -> None:
        """Free all that is held, leave the queue."""
        for lease in list(self._leases.values()):
            self.give(lease)
        self._queue.close()

    @contextmanager
    def _alone(self, stage: str) -> Iterator[bool]:
        """Decide while no other run does. What the host lacks for it at the moment is said and waited for."""
        try:
            with self._queue.alone(*_GATE) as alone:
                yield alone
        except LeaseError as error:
            self._on_wait(stage, str(error))

    def _loads(self) -> list[Load]:
        return [load_of(device, self._folder.held(device), self._gpus) for device in self._gpus.devices]

    def _before(self, request: Request) -> Iterator[Request]:
        """Of those who wait who comes first: the run's place is that of its most urgent request alone."""
        for waiter in self._folder.waiting():
            if self._mine and waiter.ticket == self._mine.ticket and waiter.request == request:
                return
            if waiter.attentive:
                yield waiter.request

    def _hold(self, resources: Resources, shares: Mapping[Device, int], stage: str) -> Lease | None:
        me = replace(self._me, stage=stage, since=time.time())
        with ExitStack() as stack:
            files = [stack.enter_context(self._folder.device_file(device)) for device in shares]
            if not all(hold(file, *part, me) for file, part in zip(files, shares.items(), strict=True)):
                return None  # someone locks without asking
            stack.pop_all()
        names = tuple(device.name for device in shares)
        descriptors = tuple(file.descriptor for file in files)
        lease = Lease(resources, {VISIBLE: ",".join(names)}, names, descriptors)
        self._leases[descriptors] = lease
        return lease

    def _queue_up(self, request: Request, stage: str) -> None:
        """Take a place at the end of the queue, or show that the one we have is wanted still."""
        now, waiting = time.monotonic(), self._folder.waiting()
        if self._mine is None:
            ticket = 1 + max((waiter.ticket for waiter in waiting), default=0)
            while not self._queue.lock(ticket, ticket + 1):
                ticket += 1
            self._mine = Waiter(ticket, request, now, replace(self._me, stage=stage, since=time.time()))
            self._said = None
        elif self._mine.holder.stage != stage:
            holder = replace(self._mine.holder, stage=stage, since=time.time())
            self._mine, self._said = replace(self._mine, request=request, holder=holder), None
        self._mine = replace(self._mine, request=request, looked=now)
        self._write_queue([waiter for waiter in waiting if waiter.ticket != self._mine.ticket])

    def _leave(self) -> None:
        if self._mine:
            self._queue.unlock(self._mine.ticket, self._mine.ticket + 1)
            self._mine = None
            self._write_queue(self._folder.waiting())

    def _write_queue(self, others: Sequence[Waiter]) -> None:
        waiting = [*others, self._mine] if self._mine else others
        self._queue.write_notes(asdict(waiter) for waiter in waiting)

    def _say(self) -> None:
        """Say on what we wait, once a stage, where it is not on this run's own stages alone."""
        mine = self._mine
        if mine is None or self._said == mine.holder.stage:
            return
        if time.time() - mine.holder.since < SAY_AFTER_SECONDS:
            return
        if words := self._awaited(mine):
            self._said = mine.holder.stage
            self._on_wait(mine.holder.stage, words)

    def _awaited(self, mine: Waiter) -> str:
        loads = self._loads()
        lines = [
            f"{load.device.name} ({'; '.join(words)})"
            for load in blockers(mine.request, loads)
            if (words := self._in_the_way(load))
        ]
        ahead = [
            waiter for waiter in self._folder.waiting() if waiter.ticket < mine.ticket and waiter.attentive
        ]
        if ahead and any(fits(mine.request, load) for load in loads):
            lines.append(f"who came before: {'; '.join(described(waiter.holder) for waiter in ahead)}")
        return ", ".join(lines)

    def _in_the_way(self, load: Load) -> list[str]:
        """Who is on a device but this run, in words."""
        held = self._folder.held(load.device)
        words = [
            f"held by {described(part.holder)}" if part.holder else "held by somebody unknown"
            for part in held
            if part.holder is None or part.holder.run != self._me.run
        ]
        if load.strangers or load.outside:
            words.append(outside_in_words(load))
        return words


def outside_in_words(load: Load) -> str:
    """`1.2 GB in use outside darkroom by pid 12`."""
    by = f" by pid {', '.join(map(str, load.strangers))}" if load.strangers else ""
    return f"{load.outside / 1e9:.1f} GB in use outside darkroom{by}"
