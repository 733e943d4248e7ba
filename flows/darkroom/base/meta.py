"""The `meta` keys of dvc.yaml that darkroom reads: what a stage needs, and which way a metric is better.

    meta:
      resources: {cpu: 2, memory: 4GB, gpu: 1, gpu_memory: 8GB, gpu_required: true}
      priority: 10      # higher starts first among those that could start
      timeout: 2h       # seconds, or a number with s, m, h or d
      retries: 2        # after a kill or an out-of-memory, never after the stage's own error
                        # `memory: {first: 4GB, factor: 2}` asks for more after each out-of-memory
      keep_daemons: true  # processes that it starts in a session of their own outlive the stage
      changes_deps: [notebook.ipynb]  # deps that its command changes
      check_params: python check.py params.yaml  # says what is wrong with its parameters before anything runs
      pool: gpu         # the hosts that execute it; .darkroom/pools.yaml defines `gpu`
      checkpoints: [model.ckpt]  # files from which a later attempt continues, on any host
      same_processor: true  # only on processors with the vector units of the host that planned

Other keys of `meta:` belong to other programs and are ignored. A key is an error if it seems to mean one of
ours: misspelt, in another case, another word for it (`retry`, `max_time`), or in another place (`gpu` beside
`resources`). A `meta:` that is no mapping is ignored, too.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from darkroom.base.errors import MetaError

_UNITS = {"": 1, "B": 1}
_UNITS |= {f"{p}B": 1000**n for n, p in enumerate("KMGT", 1)}
_UNITS |= {f"{p}IB": 1024**n for n, p in enumerate("KMGT", 1)}
_SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}

_LIKENESS = 0.82
"""How alike two words must be, by difflib: `prior` and `memo` are no slips of ours."""

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
        "higher_is_better": "higher highest",
        "lower_is_better": "lower lowest",
        "measured_with": "measuredby measuredunder",
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
    pool: str | None = None
    """The pool whose hosts have all that; None: this host. Said by `pool`, beside `resources`."""
    memory_factor: float = 1.0
    """The factor by which the memory grows for the next attempt after one that ran out of it."""

    def after_out_of_memory(self, most: int | None = None) -> Resources:
        """What the next attempt asks for; of `most`, the bytes that there are, no more than all."""
        if self.memory is None:
            return self
        grown = int(self.memory * self.memory_factor)
        return replace(self, memory=grown if most is None else max(self.memory, min(grown, most)))


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
    check_params: str | None = None
    """A quick command for the shell that fails if the parameters are wrong, with a line for each fault."""
    checkpoints: tuple[str, ...] = ()
    """Paths, from the stage's folder, of what a later attempt on another host goes on from."""
    same_processor: bool = False
    """Whether the processor's vector units decide its result: a host that has others refuses it."""


@dataclass(frozen=True, slots=True)
class MetricMeta:
    """The part of a metrics file's `meta:` that is read here: which way its figures are better.

    A figure is named as `dvc metrics show` names it, with dots for what is nested; `*` in a name stands for
    any text, dots included.
    """

    higher_is_better: tuple[str, ...] = ()
    lower_is_better: tuple[str, ...] = ()
    absent_value: float | None = None
    """The number that the file holds where there is no figure; None: there is no such number."""
    measured_with: Mapping[str, str] = field(default_factory=dict)
    """The entry of the file that says what measured a figure, such as a model's hash, by its name."""

    def instrument(self, name: str) -> str | None:
        """The entry that says what measured the figure; None: nothing is said."""
        fitting = [
            (len(pattern), entry) for pattern, entry in self.measured_with.items() if _fits(pattern, name)
        ]
        return max(fitting)[1] if fitting else None

    def direction(self, name: str) -> int:
        """1 where a higher value of the figure is better, -1 where a lower one is, 0 where neither is said.

        Where several names fit, the one with most letters beside `*` decides.
        """
        fitting = {
            (len(pattern.replace("*", "")), sign)
            for sign, patterns in ((1, self.higher_is_better), (-1, self.lower_is_better))
            for pattern in patterns
            if _fits(pattern, name)
        }
        closest = max((letters for letters, _ in fitting), default=0)
        return sum(sign for letters, sign in fitting if letters == closest)

    def present(self, value: object) -> object:
        """The value, or None where it is the number that stands for no figure."""
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return None if is_number and value == self.absent_value else value


def _fits(pattern: str, name: str) -> bool:
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), name, re.DOTALL) is not None


def parse_metric_meta(meta: Any, where: str) -> MetricMeta:
    """The `meta:` of a metrics file as written in dvc.yaml; `where` is `dvc.yaml: train.metrics.m.json`.

    Raises:
        MetaError: A key or a value is wrong; the message begins with the key's path.

    """
    if not isinstance(meta, Mapping):
        return MetricMeta()  # absent, or nobody's business here
    at = f"{where}.meta"
    for key in meta:
        if key not in _METRIC_META and (near := _nearest(key, _METRIC_META)):
            raise MetaError(f"{at}.{key}: unknown key; did you mean '{near}'?")
    parsed = MetricMeta(
        **{key: parse(meta[key], f"{at}.{key}") for key, parse in _METRIC_META.items() if key in meta}
    )
    if both := sorted(set(parsed.higher_is_better) & set(parsed.lower_is_better)):
        raise MetaError(f"{at}.lower_is_better: {both[0]!r} stands under higher_is_better too")
    return parsed


def parse_meta(meta: Any, where: str) -> StageMeta:
    """A stage's `meta:` as written in dvc.yaml; `where` is `dvc.yaml: train`.

    Raises:
        MetaError: A key or a value is wrong; the message begins with the key's path.

    """
    if not isinstance(meta, Mapping):
        return StageMeta()  # absent, or nobody's business here
    at = f"{where}.meta"
    for key in meta:
        if key not in _META and (mend := _mend(key, _META, _RESOURCES, "meta.resources")):
            raise MetaError(f"{at}.{key}: {mend}")
    parsed = {key: parse(meta[key], f"{at}.{key}") for key, parse in _META.items() if key in meta}
    pool = parsed.pop("pool", None)
    stage = StageMeta(**parsed)
    if stage.resources.memory_factor != 1 and not stage.retries:
        raise MetaError(f"{at}.resources.memory.factor: says nothing without another attempt; add retries: 2")
    return replace(stage, resources=replace(stage.resources, pool=pool)) if pool else stage


def _resources(value: Any, at: str) -> Resources:
    known = ", ".join(_RESOURCES)
    if not isinstance(value, Mapping):
        raise MetaError(f"{at}: must be a mapping of {known}")
    for key in value:
        if key not in _RESOURCES:
            mend = _mend(key, _RESOURCES, _META, "meta") or f"unknown key; known are {known}"
            raise MetaError(f"{at}.{key}: {mend}")
    parsed = {key: _RESOURCES[key](entry, f"{at}.{key}") for key, entry in value.items()}
    if isinstance(memory := parsed.get("memory"), tuple):
        parsed["memory"], parsed["memory_factor"] = memory
    resources = Resources(**parsed)
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
    """The bytes of `8GB`, `8 GiB`, `500MB` or a number.

    Raises:
        MetaError: The value is no size; the message begins with `at`.

    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", str(value))
    if isinstance(value, bool) or match is None or match[2].upper() not in _UNITS or float(match[1]) <= 0:
        raise MetaError(f"{at}: {value!r} is not a size; write it as 500MB, 8GB or 8GiB")
    return int(float(match[1]) * _UNITS[match[2].upper()])


def _memory(value: Any, at: str) -> int | tuple[int, float]:
    """Bytes, or those of the first attempt and by how much they grow."""
    if not isinstance(value, Mapping):
        return parse_bytes(value, at)
    if set(value) != {"first", "factor"}:
        raise MetaError(f"{at}: write a size, or what grows as {{first: 16GB, factor: 2}}")
    factor = _number(value["factor"], f"{at}.factor")
    if not 1 < factor < float("inf"):
        raise MetaError(f"{at}.factor: {value['factor']!r} is not above 1")
    return parse_bytes(value["first"], f"{at}.first"), float(factor)


def _seconds(value: Any, at: str) -> float:
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhd]?)\s*", str(value))
    if isinstance(value, bool) or match is None or float(match[1]) <= 0:
        raise MetaError(f"{at}: {value!r} is not a time; write it as 90 (seconds), 15m, 2h or 1d")
    return float(match[1]) * _SECONDS[match[2]]


def _texts(what: str) -> Callable[[Any, str], tuple[str, ...]]:
    def parse(value: Any, at: str) -> tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
            raise MetaError(f"{at}: must be a list of {what}")
        return tuple(value)

    return parse


def _instruments(value: Any, at: str) -> dict[str, str]:
    pairs = value.items() if isinstance(value, Mapping) else [(None, None)]
    if not all(isinstance(text, str) for pair in pairs for text in pair):
        raise MetaError(f"{at}: must be a mapping of figures' names to the name of what measured them")
    return dict(value)


def _command(value: Any, at: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise MetaError(f"{at}: {value!r} is not a command")
    return value


def _number(value: Any, at: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise MetaError(f"{at}: {value!r} is not a number")
    return value


def _name(value: Any, at: str) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", value):
        raise MetaError(f"{at}: {value!r} is not a pool's name; use letters, digits, - and _")
    return value


_FIGURES = _texts("figures' names, as `dvc metrics show` has them, with * for any text")


_RESOURCES: dict[str, Callable[[Any, str], Any]] = {
    "cpu": _whole(1),
    "memory": _memory,
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
    "changes_deps": _texts("paths, as the stage's deps have them"),
    "check_params": _command,
    "pool": _name,
    "checkpoints": _texts("paths, from the stage's folder"),
    "same_processor": _flag,
}
_METRIC_META: dict[str, Callable[[Any, str], Any]] = {
    "higher_is_better": _FIGURES,
    "lower_is_better": _FIGURES,
    "absent_value": _number,
    "measured_with": _instruments,
}
