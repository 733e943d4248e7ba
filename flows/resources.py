"""What a stage says about itself under `meta:` in dvc.yaml, and what the host has to give.

    meta:
      resources: {cpu: 2, memory: 4GB, gpu: 1, gpu_memory: 8GB, gpu_required: true}
      priority: 10      # higher starts first among those that could start
      timeout: 2h       # seconds, or a number with s, m, h or d
      retries: 2        # after a kill or an out-of-memory, never after the stage's own error
      keep_daemons: true  # what it starts in a session of its own stays when the stage ends
      changes_deps: [notebook.ipynb]  # deps that its command changes

Other keys of `meta:` belong to others and are left alone, unless they mean one of ours: misspelt, in another
case, by another word (`retry`, `max_time`), or at another place (`gpu` beside `resources`). A `meta:` that is
no mapping is left alone, too.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
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

_LIKENESS = 0.82
"""Of two words by difflib: `prior` and `memo` are no slips of ours."""

_OTHER_WORDS = {
    word: key
    for key, words in {
        "priority": "prio",
        "timeout": "time timelimit maxtime walltime",
        "retries": "retry retrys maxretry maxretries",
        "cpu": "cores numcpus ncpus",
        "memory": "mem ram",
        "gpu": "numgpus ngpus gpucount",
        "gpu_memory": "vram",
        "keep_daemons": "daemon daemons keepdaemon",
    }.items()
    for word in words.split()
}
"""What other programs call our keys, in small letters alone."""


@dataclass(frozen=True, slots=True)
class Resources:
    """What a stage takes while it runs. None: nothing was said."""

    cpu: int | None = None
    memory: int | None = None
    """Bytes."""
    gpu: int = 0
    """Devices; on a host that has none the stage runs on the CPU."""
    gpu_memory: int | None = None
    """Bytes on each device; None: the whole device."""
    gpu_required: bool = False
    """Never on the CPU."""


@dataclass(frozen=True, slots=True)
class StageMeta:
    """The part of a stage's `meta:` that is read here."""

    resources: Resources = field(default_factory=Resources)
    priority: int = 0
    timeout: float | None = None
    """Seconds."""
    retries: int = 0
    keep_daemons: bool = False
    """Whether processes that leave the stage's process group stay when it ends."""
    changes_deps: tuple[str, ...] = ()
    """Deps that the command changes, as `deps` or `params` has them: recorded as they are after it."""


def parse_meta(meta: Any, where: str) -> StageMeta:
    """A stage's `meta:` as written in dvc.yaml; `where` is `dvc.yaml: train`.

    Raises MetaError with the key's path for a wrong key or value.
    """
    if not isinstance(meta, Mapping):
        return StageMeta()  # absent, or nobody's business here
    at = f"{where}.meta"
    for key in meta:
        if key not in _META and (mend := _mend(key, _META, _RESOURCES, "meta.resources")):
            raise MetaError(f"{at}.{key}: {mend}")
    return StageMeta(**{key: parse(meta[key], f"{at}.{key}") for key, parse in _META.items() if key in meta})


def _resources(value: Any, at: str) -> Resources:
    known = ", ".join(_RESOURCES)
    if not isinstance(value, Mapping):
        raise MetaError(f"{at}: must be a mapping of {known}")
    for key in value:
        if key not in _RESOURCES:
            mend = _mend(key, _RESOURCES, _META, "meta") or f"unknown key; known are {known}"
            raise MetaError(f"{at}.{key}: {mend}")
    resources = Resources(**{key: _RESOURCES[key](entry, f"{at}.{key}") for key, entry in value.items()})
    for key in ("gpu_memory", "gpu_required"):
        if getattr(resources, key) and not resources.gpu:
            raise MetaError(f"{at}.{key}: says nothing without a number of devices; add gpu: 1")
    return resources


def _mend(key: object, known: Iterable[str], elsewhere: Iterable[str], place: str) -> str | None:
    """What to write instead of `key`; None where it means none of the keys known here, or at `place`."""
    if near := _nearest(key, known):
        return f"unknown key; did you mean '{near}'?"
    if near := _nearest(key, elsewhere):
        return f"belongs under {place}" + ("" if near == key else f", as '{near}'")
    return None


def _nearest(key: object, known: Iterable[str]) -> str | None:
    """The key that `key` means. A slip of the pen leaves the first letter: `source` is not `resources`."""
    plain = _plain(key)
    names = {_plain(name): name for name in known}
    if (word := _OTHER_WORDS.get(plain)) in names.values():
        return word
    like = [name for name in names if name[0] == plain[:1]]
    return next((names[name] for name in difflib.get_close_matches(plain, like, 1, _LIKENESS)), None)


def _plain(key: object) -> str:
    return re.sub(r"[\W_]", "", str(key).lower())


def _whole(least: int | None) -> Callable[[Any, str], int]:
    def parse(value: Any, at: str) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or (least is not None and value < least):
            raise MetaError(
                f"{at}: {value!r} is not a whole number" + ("" if least is None else f" from {least} on")
            )
        return value

    return parse


def _flag(value: Any, at: str) -> bool:
    if not isinstance(value, bool):
        raise MetaError(f"{at}: {value!r} is neither true nor false")
    return value


def parse_bytes(value: Any, at: str) -> int:
    """The bytes of `8GB`, `8 GiB`, `500MB` or a number. Raises MetaError, which begins with `at`."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", str(value))
    if isinstance(value, bool) or match is None or match[2].upper() not in _UNITS or float(match[1]) <= 0:
        raise MetaError(f"{at}: {value!r} is not a size; write it as 500MB, 8GB or 8GiB")
    return int(float(match[1]) * _UNITS[match[2].upper()])


def _seconds(value: Any, at: str) -> float:
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhd]?)\s*", str(value))
    if isinstance(value, bool) or match is None or float(match[1]) <= 0:
        raise MetaError(f"{at}: {value!r} is not a time; write it as 90 (seconds), 15m, 2h or 1d")
    return float(match[1]) * _SECONDS[match[2]]


def _paths(value: Any, at: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(path, str) for path in value):
        raise MetaError(f"{at}: must be a list of paths, as the stage's deps have them")
    return tuple(value)


_RESOURCES: dict[str, Callable[[Any, str], Any]] = {
    "cpu": _whole(1),
    "memory": parse_bytes,
    "gpu": _whole(0),
    "gpu_memory": parse_bytes,
    "gpu_required": _flag,
}
_META: dict[str, Callable[[Any, str], Any]] = {
    "resources": _resources,
    "priority": _whole(None),
    "timeout": _seconds,
    "retries": _whole(0),
    "keep_daemons": _flag,
    "changes_deps": _paths,
}


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
        """What could not be taken just now and is waited for, the most urgent first, each with its stage."""


class Devices(Protocol):
    """The GPUs that stages can hold."""

    def take(self, resources: Resources, stage: str) -> Lease | None:
        """Hold the GPUs that were asked for, all at once, or None where they are not free now."""

    def give(self, lease: Lease) -> None:
        """Free them."""

    def waits(self, resources: Resources | None, stage: str) -> None:
        """Queue for what could not be taken; None: nothing is waited for any more."""

    def close(self) -> None:
        """Free all that is held, leave the queue."""


class NoDevices:
    """A host without a GPU: stages that ask for one run on the CPU."""

    def take(self, resources: Resources, stage: str) -> Lease | None:  # noqa: ARG002
        """Nothing is held."""
        return Lease(resources)

    def give(self, lease: Lease) -> None:
        """Nothing was held."""

    def waits(self, resources: Resources | None, stage: str) -> None:
        """Nothing to wait for."""

    def close(self) -> None:
        """Nothing to free."""


class HostPool:
    """A host's job slots, CPU cores, memory and GPUs. Who asks for more cores than there are gets all."""

    def __init__(
        self, jobs: int, cpus: int, memory: int, threads: int, devices: Devices | None = None
    ) -> None:
        self._jobs, self._cpus, self._memory = jobs, cpus, memory
        self._all_cpus, self._threads = cpus, threads
        self._devices = devices or NoDevices()

    def take(self, resources: Resources, stage: str = "") -> Lease | None:
        """A slot, and what else was asked for; nothing asked for, nothing counted."""
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
