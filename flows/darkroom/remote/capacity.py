"""What this host and the pools have together for the stages of one run."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from darkroom.base.meta import Resources
from darkroom.gpus.host import Host
from darkroom.schedule.estimate import widest
from darkroom.schedule.plan import Node
from darkroom.schedule.pool import Lease, Pool, thread_env

LEAST_WAITING = 8
"""How many stages of a kind may wait for a worker, however few have one."""

WAITING_SHARE = 2
"""One more stage may wait for each so many that have a worker."""


class Claims:
    """How many of the stages that were offered to workers have one; asked and told from several threads.

    A run offers little more than workers can take soon: hosts and run look at each offer twice a second.
    """

    def __init__(self, pools: Collection[str]) -> None:
        self._pools = frozenset(pools)
        self._lock = threading.Lock()
        self._claimed: Counter[Resources] = Counter()

    def leave_room(self, kind: Resources, offered: int) -> bool:
        """Whether one more may be offered that asks for this, where so many have been."""
        if kind.pool not in self._pools:
            return True
        with self._lock:
            claimed = self._claimed[kind]
        return offered - claimed < LEAST_WAITING + claimed // WAITING_SHARE

    @contextlib.contextmanager
    def of_attempt(self, kind: Resources) -> Iterator[Callable[[], None]]:
        """Give what is to be called once a worker has the attempt; at the block's end it is done."""
        claimed = False

        def claim() -> None:
            nonlocal claimed
            if not claimed:
                claimed = True
                self._count(kind, 1)

        try:
            yield claim
        finally:
            if claimed:
                self._count(kind, -1)

    def _count(self, kind: Resources, change: int) -> None:
        with self._lock:
            self._claimed[kind] += change


@dataclass(frozen=True, slots=True)
class PooledCapacity:
    """The capacity of this host for the stages without a pool; of a pool, a number of stages at once."""

    host: Host
    jobs: Mapping[str, int]
    """The most stages at once, by the pools' names."""
    claims: Claims

    @classmethod
    def for_stages(
        cls, nodes: Sequence[Node], jobs: int | None, pools: Mapping[str, int], claims: Claims
    ) -> PooledCapacity:
        """Read the host; a stage gets the threads that it had if all ran here.

        Raises:
            MetaError: A stage that runs here asks for more memory than the host has.

        """
        host = Host.for_stages([node for node in nodes if not node.meta.resources.pool], jobs)
        threads = max(1, host.cpus // min(host.jobs, widest(nodes)))
        return cls(replace(host, threads=threads), pools, claims)

    def refusal(self, name: str, resources: Resources) -> str | None:
        """Why the stage can never be executed; of a pool's stages its hosts decide."""
        return None if resources.pool else self.host.refusal(name, resources)

    def refuse(self, nodes: Iterable[Node]) -> None:
        """Refuse what can never be executed on this host.

        Raises:
            MetaError: One of the nodes cannot.

        """
        self.host.refuse(node for node in nodes if not node.meta.resources.pool)

    def counted_pool(self) -> Pool:
        """A pool that only counts, for an estimate."""
        return SplitPool(self.host.counted_pool(), self.host, self.jobs)

    def pool(self, run: str, root: Path, on_wait: Callable[[str, str], None]) -> Pool:
        """The pool of one run: leases of this host, and numbers of the others."""
        return SplitPool(self.host.pool(run, root, on_wait), self.host, self.jobs, self.claims)


class SplitPool:
    """Leases of this host's pool, and of so many jobs of each other one."""

    def __init__(self, here: Pool, host: Host, jobs: Mapping[str, int], claims: Claims | None = None) -> None:
        self._here, self._host, self._claims = here, host, claims
        self._free = dict(jobs)
        self._taken: Counter[Resources] = Counter()

    def take(self, resources: Resources, stage: str = "") -> Lease | None:
        """Hold what is asked for, here or there."""
        if resources.pool is None:
            return self._here.take(resources, stage)
        if not self._free[resources.pool]:
            return None
        if self._claims and not self._claims.leave_room(resources, self._taken[resources]):
            return None
        self._count(resources, resources.pool, 1)
        return Lease(resources, thread_env(resources.cpu or self._host.threads))

    def give(self, lease: Lease) -> None:
        """Free what was held."""
        if lease.resources.pool is None:
            self._here.give(lease)
        else:
            self._count(lease.resources, lease.resources.pool, -1)

    def _count(self, resources: Resources, pool: str, taken: int) -> None:
        self._taken[resources] += taken
        self._free[pool] -= taken

    def waits(self, heads: Sequence[tuple[Resources, str]]) -> None:
        """Queue on this host for what is waited for here."""
        self._here.waits([head for head in heads if head[0].pool is None])

    def close(self) -> None:
        """Free what is held on this host."""
        self._here.close()
