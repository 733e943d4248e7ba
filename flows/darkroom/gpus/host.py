"""What this host has for the stages of a run: job slots, cores, memory, GPUs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from darkroom.base.errors import MetaError
from darkroom.base.meta import Resources
from darkroom.gpus.choice import CountedDevices, refusal_by_devices
from darkroom.gpus.devices import VISIBLE, Device, Gpus, host_gpus, visible_devices
from darkroom.gpus.lease_folder import lease_folder
from darkroom.gpus.lease_notes import LeaseHolder
from darkroom.gpus.leases import HostDevices
from darkroom.schedule.estimate import widest
from darkroom.schedule.plan import Node
from darkroom.schedule.pool import Devices, HostPool, NoDevices, host_cpus, host_memory, refuse_too_large


@dataclass(frozen=True, slots=True)
class Host:
    """What a run sees of the host, read once."""

    jobs: int
    cpus: int
    memory: int
    """Bytes."""
    threads: int
    """The threads of a stage that does not say how many cores it takes."""
    gpus: Gpus
    usable: tuple[Device, ...]
    """The GPUs that CUDA_VISIBLE_DEVICES leaves."""

    @classmethod
    def for_stages(cls, nodes: Sequence[Node], jobs: int | None) -> Host:
        """Read it; GPUs only where a stage asks for one.

        Raises:
            MetaError: A stage asks for more memory than the host has.

        """
        cpus, memory = host_cpus(), host_memory()
        refuse_too_large(((node.name, node.meta.resources) for node in nodes), memory)
        gpus = host_gpus(os.environ) if any(node.meta.resources.gpu for node in nodes) else Gpus()
        jobs = jobs or cpus
        threads = max(1, cpus // min(jobs, widest(nodes)))
        return cls(jobs, cpus, memory, threads, gpus, visible_devices(gpus.devices, os.environ.get(VISIBLE)))

    def refusal(self, name: str, resources: Resources) -> str | None:
        """Why a stage cannot be executed on this host's GPUs, in one line; None: it can."""
        if not (why := refusal_by_devices(resources, self.usable)):
            return None
        file, _, stage = name.rpartition(":")
        return f"{file or 'dvc.yaml'}: {stage}.meta.{why}"

    def refuse(self, nodes: Iterable[Node]) -> None:
        """Check that each stage can be executed on this host's GPUs.

        Raises:
            MetaError: One cannot; the message is about the first.

        """
        for node in nodes:
            if why := self.refusal(node.name, node.meta.resources):
                raise MetaError(why)

    def counted_pool(self) -> HostPool:
        """A pool that only counts: for an estimate."""
        return self._pool(CountedDevices(self.usable))

    def pool(self, run: str, root: Path, on_wait: Callable[[str, str], None]) -> HostPool:
        """The pool of one run, its GPUs leased.

        Raises:
            LeaseError: The folder of the leases cannot be used.

        """
        if not self.usable:
            return self._pool(NoDevices())
        me = LeaseHolder.this_process(run, root)
        return self._pool(HostDevices(self.gpus, self.usable, lease_folder(os.environ), me, on_wait))

    def _pool(self, devices: Devices) -> HostPool:
        return HostPool(self.jobs, self.cpus, self.memory, self.threads, devices)
