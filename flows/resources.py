"""What a stage says about itself under `meta:` in dvc.yaml, and what the host has to give.

    meta:
      resources: {cpu: 2, memory: 4GB, gpu: 1, gpu_memory: 8GB}
      priority: 10      # higher starts first among those that could start
      timeout: 2h       # seconds, or a number with s, m, h or d
      retries: 2        # after a kill or an out-of-memory, never after the stage's own error

Other keys of `meta:` belong to others and are left alone, unless they look like ours misspelt.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import psutil

from flows.errors import MetaError

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

_UNITS = {"": 1, "B": 1, **{f"{p}B": 1000**n for n, p in enumerate("KMGT", 1)}}
_UNITS |= {f"{p}IB": 1024**n for n, p in enumerate("KMGT", 1)}
_SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


@dataclass(frozen=True, slots=True)
class Resources:
    """What a stage takes while it runs. None: nothing was said."""

    cpu: int | None = None
    memory: int | None = None
    """Bytes."""
    gpu: int = 0
    gpu_memory: int | None = None
    """Bytes on each device; None: the whole device."""


@dataclass(frozen=True, slots=True)
class StageMeta:
    """The part of a stage's `meta:` that is read here."""

    resources: Resources = field(default_factory=Resources)
    priority: int = 0
    timeout: float | None = None
    """Seconds."""
    retries: int = 0


def parse_meta(meta: Any, where: str) -> StageMeta:
    """A stage's `meta:` as written in dvc.yaml; `where` is `dvc.yaml: train`.

    Raises MetaError with the key's path for a wrong key or value.
    """
    if not isinstance(meta, Mapping):
        return StageMeta()  # absent, or nobody's business here
    at = f"{where}.meta"
    for key in meta:
        if key not in _META and (near := _nearest(str(key), _META)):
            raise MetaError(f"{at}.{key}: unknown key; did you mean '{near}'?")
    return StageMeta(**{key: parse(meta[key], f"{at}.{key}") for key, parse in _META.items() if key in meta})


def _resources(value: Any, at: str) -> Resources:
    if not isinstance(value, Mapping):
        raise MetaError(f"{at}: must be a mapping of {', '.join(_RESOURCES)}")
    for key in value:
        if key not in _RESOURCES:
            near = _nearest(str(key), _RESOURCES)
            mend = f"did you mean '{near}'?" if near else f"known are {', '.join(_RESOURCES)}"
            raise MetaError(f"{at}.{key}: unknown key; {mend}")
    return Resources(**{key: _RESOURCES[key](entry, f"{at}.{key}") for key, entry in value.items()})


def _nearest(key: str, known: Mapping[str, Any]) -> str | None:
    return next(iter(difflib.get_close_matches(key, list(known), 1, 0.7)), None)


def _whole(least: int | None) -> Callable[[Any, str], int]:
    def parse(value: Any, at: str) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or (least is not None and value < least):
            raise MetaError(
                f"{at}: {value!r} is not a whole number" + ("" if least is None else f" from {least} on")
            )
        return value

    return parse


def _bytes(value: Any, at: str) -> int:
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", str(value))
    if isinstance(value, bool) or match is None or match[2].upper() not in _UNITS or float(match[1]) <= 0:
        raise MetaError(f"{at}: {value!r} is not a size; write it as 500MB, 8GB or 8GiB")
    return int(float(match[1]) * _UNITS[match[2].upper()])


def _seconds(value: Any, at: str) -> float:
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhd]?)\s*", str(value))
    if isinstance(value, bool) or match is None or float(match[1]) <= 0:
        raise MetaError(f"{at}: {value!r} is not a time; write it as 90 (seconds), 15m, 2h or 1d")
    return float(match[1]) * _SECONDS[match[2]]


_RESOURCES: dict[str, Callable[[Any, str], Any]] = {
    "cpu": _whole(1),
    "memory": _bytes,
    "gpu": _whole(0),
    "gpu_memory": _bytes,
}
_META: dict[str, Callable[[Any, str], Any]] = {
    "resources": _resources,
    "priority": _whole(None),
    "timeout": _seconds,
    "retries": _whole(0),
}


@dataclass(frozen=True, slots=True)
class Lease:
    """What a running stage holds; `env` is what its command must know of it."""

    resources: Resources
    env: Mapping[str, str] = field(default_factory=dict)


class Pool(Protocol):
    """What can be held by the stages that run at once."""

    def take(self, resources: Resources) -> Lease | None:
        """Hold the resources, or None where they are not free now."""

    def give(self, lease: Lease) -> None:
        """Free what was held."""


class HostPool:
    """A host's job slots, CPU cores and memory. A stage that asks for more cores than there are gets all."""

    def __init__(self, jobs: int, cpus: int, memory: int, threads: int) -> None:
        self._jobs, self._cpus, self._memory = jobs, cpus, memory
        self._all_cpus, self._threads = cpus, threads

    def take(self, resources: Resources) -> Lease | None:
        """A slot, and the cores and the memory that were asked for; nothing asked for, nothing counted."""
        cpu, memory = min(resources.cpu or 0, self._all_cpus), resources.memory or 0
        if self._jobs < 1 or cpu > self._cpus or memory > self._memory:
            return None
        self._count(-1, cpu, memory)
        return Lease(resources, thread_env(cpu or self._threads))

    def give(self, lease: Lease) -> None:
        """Free the slot, the cores and the memory."""
        self._count(1, min(lease.resources.cpu or 0, self._all_cpus), lease.resources.memory or 0)

    def _count(self, sign: int, cpu: int, memory: int) -> None:
        self._jobs += sign
        self._cpus += sign * cpu
        self._memory += sign * memory


def thread_env(threads: int) -> dict[str, str]:
    """The thread variables that numeric libraries read; those set from outside are left as they are."""
    return {name: str(threads) for name in THREAD_VARIABLES if name not in os.environ}


def host_cpus() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def host_memory() -> int:
    """Bytes of memory of the host."""
    return int(psutil.virtual_memory().total)


def refuse_too_large(named: Iterator[tuple[str, Resources]], memory: int) -> None:
    """Raise MetaError for a stage that asks for more memory than the host has: it would wait for ever."""
    for where, resources in named:
        if (resources.memory or 0) > memory:
            raise MetaError(
                f"{where}.meta.resources.memory: {resources.memory} bytes asked for, the host has {memory}"
            )
