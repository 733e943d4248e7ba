"""What a seed decides: a pipeline, what goes wrong, and all that outlives a run's process."""

from __future__ import annotations

import errno
import functools
import hashlib
import os
import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from darkroom.base.meta import Resources, StageMeta
from darkroom.ledger.lock_text import LockText, Yaml
from darkroom.ledger.writer import LockRecord
from darkroom.schedule.plan import Node

_LINE = re.compile(r"( {2}| {4}| {4}- | {6})([a-z0-9]+):(?: (.+))?")


@functools.lru_cache(maxsize=1 << 12)
def _read(text: str) -> Any:
    """What `_dump` has written; any other text by YAML's own reader."""
    head, *lines = text.splitlines()
    stages: dict[str, Any] = {}
    if head != "schema: '2.0'" or lines[:1] != ["stages:"] or len(lines) == 1:
        return yaml.load(text, yaml.CSafeLoader)
    for line in lines[1:]:
        if not (found := _LINE.fullmatch(line)):
            return yaml.load(text, yaml.CSafeLoader)
        deep, key, value = found.groups()
        if deep == "  ":
            entry = stages[key] = {}
        elif deep == "    " and value is None:
            files = entry[key] = []
        elif deep == "    ":
            entry[key] = value
        elif deep == "    - ":
            files.append({key: value})
        else:
            files[-1][key] = value
    return {"schema": "2.0", "stages": stages}


def _dump(data: Any) -> str:
    lines = ["schema: '2.0'", "stages:"]
    for name, entry in (data["stages"] or {}).items():
        lines += [f"  {name}:", f"    cmd: {entry['cmd']}"]
        for kind in ("deps", "outs"):
            if entry.get(kind):
                lines.append(f"    {kind}:")
            for file in entry.get(kind, ()):
                lines += [f"    - path: {file['path']}", f"      md5: {file['md5']}"]
    return "".join(f"{line}\n" for line in lines)


QUICK_YAML = Yaml(read=_read, load=yaml.safe_load, dump=_dump, unfolded=_dump)
"""Reads and writes these entries as DVC's does, many times faster."""


class Death(BaseException):
    """The run's process is killed here: nothing of it goes on."""


@dataclass(frozen=True)
class Step:
    """A stage: one out, made of the outs of other stages."""

    name: str
    needs: tuple[str, ...]
    meta: StageMeta
    seconds: float
    fails: bool
    """Whether its command ends with an error of its own, each time."""

    def out(self, deps: tuple[str | None, ...]) -> str:
        """What its command makes of the contents of its deps."""
        return "h" + hashlib.sha256(repr((self.name, deps)).encode()).hexdigest()[:8]


@dataclass
class Faults:
    """How likely each thing is to go wrong, at each occasion."""

    killed: float = 0.0
    lost: float = 0.0
    """The place that executes is held to be lost; it answers later, when nobody expects it."""
    doubled: float = 0.0
    busy: float = 0.0
    uncommitted: float = 0.0
    """The disk is full when outs are to be kept."""
    unwritten: float = 0.0
    """The disk is full when dvc.lock or the notes are written."""
    death: int | None = None
    """At which callback of this life the run's process is killed."""

    @classmethod
    def drawn(cls, rng: random.Random) -> Faults:
        """A life's faults: some kinds often, others never."""

        def rate() -> float:
            return rng.choice((0.0, 0.0, 0.05, 0.3))

        death = rng.randrange(1, 120) if rng.random() < 0.6 else None
        return cls(rate(), rate(), rate(), rate(), rate(), rng.choice((0.0, 0.0, 0.1)), death)


@dataclass
class World:
    """What outlives a run's process, and a diary of everything that happened."""

    seed: int
    folder: Path
    rng: random.Random = field(init=False)
    steps: dict[str, Step] = field(init=False)
    files: dict[str, str] = field(default_factory=dict)
    """The contents of the outs in the workspace."""
    diary: list[tuple[Any, ...]] = field(default_factory=list)
    now: float = 0.0
    life: int = 0
    faults: Faults = field(default_factory=Faults)
    occasions: int = 0
    elsewhere: Any = None
    """The hosts of an executor that has some."""

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.steps = _drawn_steps(self.rng)
        self.folder.joinpath(".darkroom").mkdir(parents=True, exist_ok=True)
        self._record_some()

    @functools.cached_property
    def lock(self) -> Path:
        """The file dvc.lock."""
        return self.folder / "dvc.lock"

    def note(self, *what: Any) -> None:
        """Write into the diary."""
        self.diary.append((self.life, round(self.now, 3), *what))

    def occasion(self) -> None:
        """A callback of the run: its process may be killed here.

        Raises:
            Death: It is.

        """
        self.occasions += 1
        if self.occasions == self.faults.death:
            self.note("death")
            raise Death

    def happens(self, rate: float) -> bool:
        """Whether a fault that is so likely happens now."""
        return rate > 0 and self.rng.random() < rate

    def guarded_write(self, write: Callable[..., None]) -> Callable[..., None]:
        """`write_text` on a disk that may be full, in a process that may be killed."""

        def guarded(path: Path, *words: Any, **more: Any) -> None:
            self.occasion()
            if self.happens(self.faults.unwritten):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
            write(path, *words, **more)
            self.occasion()

        return guarded

    def nodes(self) -> list[Node]:
        """The stages in their serial order."""
        return [Node(name=step.name, needs=step.needs, meta=step.meta) for step in self.steps.values()]

    def contents(self, names: tuple[str, ...]) -> tuple[str | None, ...]:
        """What lies there as the outs of these stages."""
        return tuple(self.files.get(name) for name in names)

    def record_of(self, name: str) -> LockRecord:
        """What DVC's serializer would make of a stage as it is now."""
        return LockRecord(name, self.lock, name, self.entry(name, self.files))

    def entry(self, name: str, files: dict[str, str]) -> dict[str, Any]:
        """A stage's entry in dvc.lock, given the contents of all outs."""
        step = self.steps[name]
        deps = [{"path": need, "md5": files[need]} for need in step.needs]
        outs = [{"path": name, "md5": files[name]}]
        return {"cmd": f"make {name}", **({"deps": deps} if deps else {}), "outs": outs}

    @functools.cached_property
    def serial(self) -> tuple[str, dict[str, str]]:
        """The dvc.lock and the outs that a serial run leaves to which nothing happens."""
        files, held = dict(self._files), _stages(self._initial)
        lock, text = LockText(self._initial, QUICK_YAML), self._initial
        for name, step in self.steps.items():
            if name in files and held.get(name) == self.entry(name, files):
                continue
            files.pop(name, None)
            if step.fails:
                break
            files[name] = step.out(tuple(files[need] for need in step.needs))
            text = lock.update({name: self.entry(name, files)})
        return text, files

    def held(self) -> dict[str, Any]:
        """The entries of dvc.lock by stage, in the order of the file."""
        return _stages(self.lock.read_text() if self.lock.exists() else "")

    def first_stages(self) -> list[str]:
        """The stages that dvc.lock had at first."""
        return list(_stages(self._initial))

    def new_in_lock(self) -> list[str]:
        """The stages of dvc.lock that it did not have at first."""
        first = self.first_stages()
        return [name for name in self.held() if name not in first]

    def _record_some(self) -> None:
        """Begin with some stages recorded, in any order, as they are now or as they once were."""
        lock, text = LockText("", QUICK_YAML), ""
        chosen = [name for name in self.steps if self.rng.random() < 0.4]
        for name in chosen:
            needs = self.steps[name].needs
            if all(need in self.files for need in needs) and self.rng.random() < 0.7:
                made = self.steps[name].out(tuple(self.files[need] for need in needs))
            else:
                made = "once"
            self.files[name] = made
        files = {name: self.files.get(name, "gone") for name in self.steps}
        for name in self.rng.sample(chosen, len(chosen)):
            text = lock.update({name: self.entry(name, files)})
        if text:
            self.lock.write_text(text)
        self._initial, self._files = text, dict(self.files)


def _stages(text: str) -> dict[str, Any]:
    return dict((QUICK_YAML.read(text) if text else {"stages": {}})["stages"])


def _drawn_steps(rng: random.Random) -> dict[str, Step]:
    steps: dict[str, Step] = {}
    for at in range(rng.randrange(2, 9)):
        earlier = list(steps)
        needs = tuple(sorted(rng.sample(earlier, rng.randrange(0, min(3, at) + 1)), key=earlier.index))
        resources = Resources(
            cpu=rng.choice((None, None, 1, 2)), memory=rng.choice((None, 10)), gpu=rng.choice((0, 0, 1, 2))
        )
        name = f"s{at}"
        steps[name] = Step(
            name=name,
            needs=needs,
            meta=StageMeta(resources=resources, priority=rng.choice((0, 0, 5)), retries=rng.randrange(3)),
            seconds=rng.choice((0.0, 0.1, 1.0, 4.0)),
            fails=rng.random() < 0.05,
        )
    return steps
