"""What a run is asked to do, and what it reports at its end."""

from __future__ import annotations

import contextlib
import gc
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from darkroom.repository.graph import Selection
from darkroom.schedule.events import (
    Event,
    Outcome,
    StageFinished,
)
from darkroom.schedule.plan import Node, Plan

Place = Callable[[Sequence[Node]], tuple[Node, ...]]


def with_pool(node: Node, pool: str | None) -> Node:
    """The node, executed by hosts of that pool; None: on this host."""
    if node.meta.resources.pool == pool:
        return node
    resources = replace(node.meta.resources, pool=pool)
    return replace(node, meta=replace(node.meta, resources=resources))


def placed_here(nodes: Sequence[Node]) -> tuple[Node, ...]:
    """All nodes on this host, whatever pools they name."""
    return tuple(with_pool(node, None) for node in nodes)


@dataclass(frozen=True, kw_only=True, slots=True)
class RunOptions(Selection):
    """What to run and how; flags that `dvc repro` has mean what they mean there."""

    repo: Path = Path()
    """A folder of the repository; targets are relative to it."""
    jobs: int | None = None
    """The most stages at once; None: as many as the host has cores."""
    keep_going: bool = False
    dry: bool = False
    """Whether the run only plans and executes nothing."""
    place: Place = field(default=placed_here)
    """Says of the stages which pool's hosts execute them."""
    lacks: Callable[[str], bool] = field(default=lambda _: False)
    """Whether these hosts cannot have the data of a hash yet."""
    stop: threading.Event = field(default_factory=threading.Event)
    """Once set (Ctrl-C, a cancelled flow), nothing more starts, what runs is ended, what finished stays."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunReport:
    """How a run ended. `stages` holds every stage of the plan, in the plan's order."""

    run: str
    plan: Plan
    stages: Mapping[str, StageFinished]
    seconds: float
    errors: tuple[str, ...]
    """The errors, one line each: what is wrong, where, and what mends it."""
    last_lines: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The end of the output of each stage that failed and that said something."""

    @property
    def well(self) -> bool:
        """Whether every stage is done or was up to date."""
        return not self.errors and all(stage.outcome.well for stage in self.stages.values())

    def outcomes(self) -> dict[str, Outcome]:
        """The outcome of each stage by its name."""
        return {name: stage.outcome for name, stage in self.stages.items()}


Observe = Callable[[Event], None]


@contextlib.contextmanager
def collector_paused() -> Iterator[None]:
    """Pause Python's search for cycles, which is in vain where many objects are made and all stay."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
