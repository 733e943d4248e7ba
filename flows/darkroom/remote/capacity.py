"""What this host and the pools have together for the stages of one run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from darkroom.base.meta import Resources
from darkroom.gpus.host import Host
from darkroom.schedule.estimate import widest
from darkroom.schedule.plan import Node
from darkroom.schedule.pool import Lease, Pool, thread_env


@dataclass(frozen=True, slots=True)
class PooledCapacity:
    """The capacity of this host for the stages without a pool; of a pool, a number of stages at once."""

    host: Host
    jobs: Mapping[str, int]
    """The most stages at once, by the pools' names."""

    @classmethod
    def for_stages(cls, nodes: Sequence[Node], jobs: int | None, pools: Mapping[str, int]) -> PooledCapacity:
        """Read the host; a stage gets the threads that it had if all ran here.

        Raises:
            MetaError: A stage that runs here asks for more memory than the host has.

        """
        host = Host.for_stages([node for node in nodes if not node.meta.resources.pool], jobs)
        threads = max(1, host.cpus // min(host.jobs, widest(nodes)))
        return cls(replace(host, threads=threads), pools)

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
        return SplitPool(self.host.pool(run, root, on_wait), self.host, self.jobs)


class SplitPool:
    """Leases of this host's pool, and of so many jobs of each other one."""

    def __init__(self, here: Pool, host: Host, jobs: Mapping[str, int]) -> None:
        self._here, self._host = here, host
        self._free = dict(jobs)

    def take(self, resources: Resources, stage: str = "") -> Lease | None:
        """Hold what is asked for, here or there."""
        if resources.pool is None:
            return self._here.take(resources, stage)
        if not self._free[resources.pool]:
            return None
        self._free[resources.pool] -= 1
        return Lease(resources, thread_env(resources.cpu or self._host.threads))

    def give(self, lease: Lease) -> None:
        """Free what was held."""
        if lease.resources.pool is None:
            self._here.give(lease)
        else:
            self._free[lease.resources.pool] += 1

    def waits(self, heads: Sequence[tuple[Resources, str]]) -> None:
        """Queue on this host for what is waited for here."""
        self._here.waits([head for head in heads if head[0].pool is None])

    def close(self) -> None:
        """Free what is held on this host."""
        self._here.close()
