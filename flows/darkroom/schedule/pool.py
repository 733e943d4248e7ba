"""The resources of a host: cores and memory, counted for the stages of a run, and leases of its devices."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import psutil

from darkroom.base.errors import MetaError
from darkroom.base.meta import Resources

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "BLIS_NUM_THREADS",
    "RAYON_NUM_THREADS",
    "POLARS_MAX_THREADS",
)


@dataclass(frozen=True, slots=True)
class Lease:
    """What a running stage holds; `env` is what its command must know of it."""

    resources: Resources
    env: Mapping[str, str] = field(default_factory=dict)
    devices: tuple[str, ...] = ()
    """The names of the GPUs that are held."""
    descriptors: tuple[int, ...] = ()
    """Open files whose locks hold the GPUs: every process of the stage inherits them, the last one to end
    frees the GPUs."""


class Pool(Protocol):
    """What can be held by the stages that run at once."""

    def take(self, resources: Resources, stage: str = "") -> Lease | None:
        """Hold the resources for the stage, or None where they are not free now."""

    def give(self, lease: Lease) -> None:
        """Free what was held."""

    def waits(self, heads: Sequence[tuple[Resources, str]]) -> None:
        """Note what could not be taken and is waited for, the most urgent first, each with its stage."""

    def close(self) -> None:
        """Free all that is held: the run is over."""


class Devices(Protocol):
    """The GPUs that stages can hold."""

    def take(self, resources: Resources, stage: str) -> Lease | None:
        """Hold the GPUs that were asked for, all at once, or None where they are not free now."""

    def give(self, lease: Lease) -> None:
        """Free the GPUs of the lease."""

    def waits(self, resources: Resources | None, stage: str) -> None:
        """Queue for what could not be taken; None: nothing is waited for any more."""

    def close(self) -> None:
        """Free all GPUs that are held, and leave the queue."""


class NoDevices:
    """A host without a GPU: stages that ask for one run on the CPU."""

    def take(self, resources: Resources, stage: str) -> Lease | None:  # noqa: ARG002
        """Return a lease that holds nothing."""
        return Lease(resources)

    def give(self, lease: Lease) -> None:
        """Do nothing, since nothing was held."""

    def waits(self, resources: Resources | None, stage: str) -> None:
        """Do nothing, since there is nothing to wait for."""

    def close(self) -> None:
        """Do nothing, since there is nothing to free."""


class HostPool:
    """A host's job slots, CPU cores, memory and GPUs. Who asks for more cores than there are gets all."""

    def __init__(
        self, jobs: int, cpus: int, memory: int, threads: int, devices: Devices | None = None
    ) -> None:
        self._jobs, self._cpus, self._memory = jobs, cpus, memory
        self._all_cpus, self._threads = cpus, threads
        self._devices = devices or NoDevices()

    def take(self, resources: Resources, stage: str = "") -> Lease | None:
        """Hold a slot, and what else is asked for; what is not asked for is not counted."""
        if not self._has(resources):
            return None
        held = self._devices.take(resources, stage) if resources.gpu else Lease(resources)
        if held is None:
            return None
        self._count(-1, resources)
        threads = thread_env(min(resources.cpu or 0, self._all_cpus) or self._threads)
        return replace(held, env={**threads, **held.env})

    def give(self, lease: Lease) -> None:
        """Free the slot and what else was held."""
        self._devices.give(lease)
        self._count(1, lease.resources)

    def waits(self, heads: Sequence[tuple[Resources, str]]) -> None:
        """Queue on the host for the most urgent stage that lacks nothing but a GPU."""
        lacking = (head for head in heads if head[0].gpu and self._has(head[0]))
        self._devices.waits(*next(lacking, (None, "")))

    def close(self) -> None:
        """Free the GPUs, whatever was given back."""
        self._devices.close()

    def _has(self, resources: Resources) -> bool:
        """Whether there is enough of everything but GPUs."""
        cpu = min(resources.cpu or 0, self._all_cpus)
        return self._jobs >= 1 and cpu <= self._cpus and (resources.memory or 0) <= self._memory

    def _count(self, sign: int, resources: Resources) -> None:
        self._jobs += sign
        self._cpus += sign * min(resources.cpu or 0, self._all_cpus)
        self._memory += sign * (resources.memory or 0)


def thread_env(threads: int) -> dict[str, str]:
    """The thread variables that numeric libraries read; those set from outside are left as they are."""
    return {name: str(threads) for name in THREAD_VARIABLES if name not in os.environ}


def host_cpus() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0))


def host_memory() -> int:
    """The host's memory in bytes."""
    return int(psutil.virtual_memory().total)


def refuse_too_large(named: Iterator[tuple[str, Resources]], memory: int) -> None:
    """Refuse a stage that asks for more memory than the host has: it would wait for ever.

    Raises:
        MetaError: A stage does.

    """
    for where, resources in named:
        if (resources.memory or 0) > memory:
            raise MetaError(
                f"{where}.meta.resources.memory: {resources.memory} bytes asked for, the host has {memory}"
            )
