"""How long a run will take, from the past times of its stages: the scheduler itself, on a simulated clock."""

from __future__ import annotations

import contextlib
import heapq
import statistics
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from threading import Event

from darkroom.processes.stage_process import Ending, StageJob, StageResult
from darkroom.schedule.events import Outcome
from darkroom.schedule.executor import Ended
from darkroom.schedule.plan import Node
from darkroom.schedule.pool import Lease, Pool
from darkroom.schedule.scheduler import Scheduler, Settled


def usual_seconds(seconds: Mapping[str, float]) -> float:
    """The seconds that a stage without a past is taken to need: the median of those that have one."""
    return statistics.median(seconds.values()) if seconds else 1.0


def remaining_seconds(nodes: Sequence[Node], seconds: Mapping[str, float]) -> dict[str, float]:
    """The expected length, by stage, of the longest path from its start to the end of the run."""
    usual = usual_seconds(seconds)
    remaining: dict[str, float] = {}
    after: dict[str, float] = defaultdict(float)
    for node in reversed(nodes):
        own = seconds.get(node.name, usual) if node.executes else 0.0
        remaining[node.name] = own + after[node.name]
        for other in node.needs:
            after[other] = max(after[other], remaining[node.name])
    return remaining


def widest(nodes: Sequence[Node]) -> int:
    """How many stages can run at once, at least: the most stages on one level of the graph.

    `nodes` may be some of a graph: what others of it make is there before the first of them starts.
    """
    level: dict[str, int] = {}
    for node in nodes:
        level[node.name] = 1 + max((level.get(other, 0) for other in node.needs), default=0)
    counts = Counter(level[node.name] for node in nodes if node.executes)
    return max(counts.values(), default=1)


def critical_path(
    nodes: Sequence[Node], working: Collection[str], seconds: Mapping[str, float]
) -> tuple[str, ...]:
    """The working stages on the path that decides how long the run takes at least."""
    usual = usual_seconds(seconds)
    durations = {node.name: seconds.get(node.name, usual) if node.name in working else 0.0 for node in nodes}
    remaining = remaining_seconds(nodes, durations)
    followers: dict[str, list[str]] = defaultdict(list)
    for node in nodes:
        for other in node.needs:
            followers[other].append(node.name)
    path = []
    now = max((node.name for node in nodes), key=remaining.__getitem__, default=None)
    while now is not None:
        path.append(now)
        now = max(followers[now], key=remaining.__getitem__, default=None)
    return tuple(name for name in path if name in working)


def expected_seconds(
    nodes: Sequence[Node], working: Collection[str], seconds: Mapping[str, float], pool: Pool
) -> float | None:
    """The time until the last stage is done, each taking as long as usual; None where nothing is known."""
    if not working:
        return 0.0
    if not seconds:
        return None
    usual = usual_seconds(seconds)
    clock = _Simulation({name: seconds.get(name, usual) for name in working})
    Scheduler(
        nodes,
        clock,
        pool,
        clock,
        remaining=remaining_seconds(nodes, seconds),
        keep_going=False,
        stop=Event(),
        on_settled=_nobody,
    ).run()
    return clock.now


def _nobody(*_: object) -> None:
    """Whom a settled stage interests in a simulation."""


class _Simulation:
    """Work and executor in one: working stages take their time, the others none."""

    def __init__(self, durations: Mapping[str, float]) -> None:
        self._durations = durations
        self._running: list[tuple[float, str]] = []
        self.now = 0.0

    def locked(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def peek(self, name: str) -> Settled | None:
        return None if name in self._durations else Settled(Outcome.SKIPPED)

    def begin(self, name: str, lease: Lease) -> Settled | StageJob:  # noqa: ARG002
        return self.peek(name) or StageJob(name=name, commands=(), cwd=Path(), env={})

    def launch(self, job: StageJob) -> None:
        heapq.heappush(self._running, (self.now + self._durations[job.name], job.name))

    def finished(self, wait: float) -> Ended | None:
        if not wait or not self._running:
            return None
        self.now, name = heapq.heappop(self._running)
        return Ended(name, 1, StageResult(ending=Ending.OK))

    def finish(self, name: str, result: StageResult) -> Settled:  # noqa: ARG002
        return Settled(Outcome.RAN)

    def record(self) -> None:
        pass
