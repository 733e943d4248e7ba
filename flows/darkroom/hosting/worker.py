"""A host that takes attempts of one pool: `darkroom worker`."""

from __future__ import annotations

import contextlib
import os
import queue
import threading
from collections.abc import Callable
from pathlib import Path

from darkroom.base.errors import MetaError, explain_os_error
from darkroom.base.locks import LockFileError
from darkroom.base.meta import Resources, StageMeta
from darkroom.exchange.orders import Order
from darkroom.gpus.host import Host
from darkroom.hosting.execution import execute_claimed
from darkroom.hosting.place import HostPlace, host_name
from darkroom.schedule.plan import Node
from darkroom.schedule.pool import Lease, Pool, refuse_too_large

Say = Callable[[str], None]


def leases_of_host(folder: Path, jobs: int | None, say: Say) -> tuple[Host, Pool]:
    """What this host has, and a pool of it with its GPUs leased.

    Raises:
        LeaseError: The folder of the leases cannot be used.

    """
    any_gpu = Node(name="any", meta=StageMeta(resources=Resources(gpu=1)))
    host = Host.for_stages([any_gpu], jobs)
    return host, host.pool(f"worker-{os.getpid()}", folder, lambda stage, why: say(f"{stage}: waits: {why}"))


class Worker:
    """Takes the attempts that are offered to `pool`, as far as this host has room for them."""

    def __init__(
        self, place: HostPlace, pool: str, jobs: int | None, stop: threading.Event, say: Say
    ) -> None:
        self._place, self._pool, self._stop, self._say = place, pool, stop, say
        self._host, self._leases = leases_of_host(place.folder, jobs, say)
        self._threads: set[threading.Thread] = set()
        self._ended: queue.SimpleQueue[tuple[threading.Thread, Lease]] = queue.SimpleQueue()
        self._complained = ""
        self._refused: set[str] = set()

    def run(self) -> None:
        """Work until told to stop; what runs then is ended, and its run told so."""
        with contextlib.suppress(OSError, LockFileError):  # it is in nobody's way
            self._place.remove_left()
        self._say(f"host {host_name()} works for pool {self._pool} of {self._place.storage.address}")
        try:
            while not self._stop.is_set():
                self._take_offered()
                self._free_ended(self._place.storage.look_seconds)
        finally:
            for thread in self._threads:
                thread.join()
            self._leases.close()

    def _free_ended(self, wait: float) -> None:
        """Return once an attempt has ended, whose room is free then, or after `wait` seconds."""
        with contextlib.suppress(queue.Empty):
            thread, lease = self._ended.get(timeout=wait)
            self._threads.remove(thread)
            self._leases.give(lease)

    def _take_offered(self) -> None:
        if len(self._threads) >= self._host.jobs:
            return  # and the storage is not asked for nothing
        board = self._place.board
        try:
            for token in board.offered(self._pool):
                try:
                    order = board.order(token)
                except ValueError as error:  # others are not to wait for it
                    self._refuse(token, f"attempt {token}", str(error))
                    continue
                if order is None or not board.is_current(token):
                    board.withdraw(self._pool, token)
                else:
                    self._take(order)
            self._complain("")
        except OSError as error:
            self._complain(explain_os_error(error))

    def _take(self, order: Order) -> None:
        resources = Resources(
            order.resources.cpu, order.resources.memory, order.resources.gpu, order.resources.gpu_memory
        )
        if why := self._refusal(order):
            self._refuse(order.token, order.stage, why)
            return
        if not (lease := self._leases.take(resources, order.stage)):
            return
        claimed = False
        try:
            claimed = self._place.board.claim(order.token, host_name())
        finally:
            if not claimed:
                self._leases.give(lease)
        if not claimed:
            return
        with contextlib.suppress(OSError):
            self._place.board.withdraw(self._pool, order.token)
        self._say(f"{order.stage}: attempt {order.attempt} taken")
        thread = threading.Thread(target=self._execute, args=(order, lease), name=order.stage)
        self._threads.add(thread)
        thread.start()

    def _refusal(self, order: Order) -> str | None:
        """Why this host can never execute it, however much of it is free; None: it can."""
        try:
            refuse_too_large(iter([(order.stage, order.resources)]), self._host.memory)
        except MetaError as error:
            return str(error)
        return self._host.refusal(order.stage, order.resources)

    def _refuse(self, token: str, what: str, why: str) -> None:
        """Tell the run once: it may wait for another host, and says for how many in vain."""
        if token not in self._refused:
            self._place.board.refuse(token, host_name(), why)
            self._refused.add(token)
            self._say(f"{what}: not for this host: {why}")

    def _execute(self, order: Order, lease: Lease) -> None:
        env = {name: value for name, value in lease.env.items() if name not in order.env}
        try:
            if execute_claimed(self._place, order, env, lease.descriptors, self._stop, self._say):
                self._say(f"{order.stage}: attempt {order.attempt} handed in")
        except Exception as error:  # the run takes silence for a lost host, and the worker goes on
            self._say(f"{order.stage}: {error}")
        finally:
            self._ended.put((threading.current_thread(), lease))

    def _complain(self, why: str) -> None:
        if why and why != self._complained:
            self._say(f"the storage cannot be read, tried again: {why}")
        self._complained = why
