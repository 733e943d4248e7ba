"""Which stage starts when. It knows neither DVC nor Prefect nor processes; all of these are arguments.

A stage is considered once everything that it needs is ready. If it is up to date, it is finished at once.
Otherwise it starts as soon as its resources are free, the stage with the longest remaining path first. After
a failure only stages start that a serial run would have reached before the failed one. With `keep_going` all
stages start that do not depend on the failed one.
"""

from __future__ import annotations

import heapq
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from operator import itemgetter
from threading import Event
from typing import Protocol

from darkroom.base.meta import Resources
from darkroom.processes.stage_process import StageJob, StageResult
from darkroom.schedule.events import Outcome
from darkroom.schedule.executor import Ended, Jobs, UnderWay
from darkroom.schedule.plan import Node
from darkroom.schedule.pool import Lease, Pool

_LOOK_SECONDS = 0.2
_BUSY_SECONDS = 1.0


class Busy(Exception):  # noqa: N818  (not an error: ask again later)
    """Another process uses the stage's paths just now; the text says which."""


@dataclass(frozen=True, slots=True)
class Settled:
    """A stage that is done with, one way or another."""

    outcome: Outcome
    reasons: tuple[str, ...] = ()
    seconds: float = 0.0
    error: str | None = None


@dataclass(frozen=True, slots=True)
class BeginAnew:
    """A stage that is to be begun anew after so many seconds; it holds nothing until then."""

    seconds: float
    resources: Resources | None = None
    """What it asks for from then on; None: the same."""


class Work(Protocol):
    """What is done with a stage, in the scheduler's own thread. `peek` and `begin` may raise Busy."""

    def locked(self) -> AbstractContextManager[None]:
        """The lock that is held around every other call, and not while the scheduler waits."""

    def peek(self, name: str) -> Settled | None:
        """Settle a stage that is up to date; None where there is something to do."""

    def begin(self, name: str, lease: Lease) -> Settled | StageJob:
        """Settle a stage without executing it, or make it ready to be executed."""

    def finish(self, name: str, result: StageResult) -> Settled | BeginAnew:
        """Take over the results of an executed stage, or give up on this attempt."""

    def record(self) -> None:
        """Make what was begun and finished since the last time durable."""


@dataclass(eq=False, slots=True)
class _Stage:
    """A stage that is not settled, and what is known of it."""

    node: Node
    place: int
    """Its number in the serial order."""
    rank: int
    """Its number if all stages were ready: by priority, the longest remaining path, the serial order."""
    request: Resources
    """What it asks for: more than its node says after an attempt that ran out of memory."""
    dependents: list[_Stage] = field(default_factory=list)
    """The stages that need it."""
    followers: list[_Stage] = field(default_factory=list)
    """The stages that start after it, those that need it among them."""
    waits_for: int = 0
    """How many stages that it follows are not settled."""
    peeked: bool = False
    """Whether it was looked at while it waited for a scarce resource: once is enough."""
    lease: Lease | None = None
    """What it holds while its command is executed."""

    @property
    def name(self) -> str:
        """The node's name."""
        return self.node.name


Queued = tuple[int, _Stage]
"""A stage's rank, of which less is more urgent and which no two share, and the stage."""


class Scheduler:
    """One run of the stages in `nodes`, which stand in the serial order."""

    def __init__(
        self,
        nodes: Sequence[Node],
        work: Work,
        pool: Pool,
        jobs: Jobs,
        *,
        remaining: Mapping[str, float],
        keep_going: bool,
        stop: Event,
        on_settled: Callable[[str, Settled], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._work, self._pool, self._jobs, self._clock = work, pool, jobs, clock
        self._keep_going, self._stop, self._on_settled = keep_going, stop, on_settled
        self._open = _linked(nodes, remaining)  # what is settled leaves it
        self._running = 0
        self._under_way = UnderWay()
        self._arrived: list[tuple[_Stage, StageResult]] = []
        # One heap for each kind of request: what does not fit keeps nobody waiting who asks for less.
        self._ready: dict[Resources, list[Queued]] = defaultdict(list)
        self._busy: list[_Stage] = []
        self._later: list[tuple[float, int, _Stage]] = []  # to be begun anew: when, its rank
        for stage in self._open.values():
            if not stage.waits_for:
                self._make_ready(stage)

    def run(self) -> None:
        """Return when every stage is settled."""
        while self._open:
            with self._work.locked():
                while self._collect() or self._start():
                    pass
            if self._open:
                self._pool.waits([(kind, stage.name) for (_, stage), kind in self._heads()])
                self._wait()

    def _wait(self) -> None:
        """Return when a result is there, the run is told to stop, or a stage may be begun again."""
        seconds = _BUSY_SECONDS if self._busy and not self._running else _LOOK_SECONDS
        if ended := self._jobs.finished(seconds):
            self._take_in(ended)
        else:
            for stage in self._busy:
                self._make_ready(stage)
            self._busy.clear()
        while self._later and self._later[0][0] <= self._clock():
            self._make_ready(heapq.heappop(self._later)[-1])

    def _collect(self) -> bool:
        """Take over what finished, all of it before one record is written. False: nothing did."""
        if self._stop.is_set():
            self._give_up(lambda _: True, Settled(Outcome.CANCELLED))
        while ended := self._jobs.finished(0):
            self._take_in(ended)
        finished = [(stage, self._work.finish(stage.name, result)) for stage, result in self._arrived]
        self._arrived.clear()
        if finished:
            self._work.record()
        for stage, end in finished:
            self._release(stage)
            if isinstance(end, BeginAnew):
                stage.request = end.resources or stage.request
                heapq.heappush(self._later, (self._clock() + end.seconds, stage.rank, stage))
            else:
                self._settle(stage, end)
        return bool(finished)

    def _take_in(self, ended: Ended) -> None:
        """Accept the first result of an attempt under way; a late or doubled one is none."""
        if self._under_way.accepts(ended):
            self._arrived.append((self._open[ended.stage], ended.result))

    def _start(self) -> bool:
        """Look at the most urgent stage whose resources are free. False: there is none."""
        for (_, stage), kind in self._heads():
            if lease := self._pool.take(kind, stage.name):
                self._pop(kind)
                self._begin(stage, lease)
                return True
            if kind != Resources() and not stage.peeked and self._peek(stage, kind):
                return True
        return False

    def _heads(self) -> list[tuple[Queued, Resources]]:
        """The first stage of each kind of request, the most urgent of them first."""
        for heap in self._ready.values():
            while heap and heap[0][1].name not in self._open:
                heapq.heappop(heap)
        return sorted(((heap[0], kind) for kind, heap in self._ready.items() if heap), key=itemgetter(0))

    def _begin(self, stage: _Stage, lease: Lease) -> None:
        try:
            begun = self._work.begin(stage.name, lease)
        except Busy:
            self._busy.append(stage)
            self._pool.give(lease)
            return
        if isinstance(begun, StageJob):
            stage.lease = lease
            self._running += 1
            self._under_way.began(begun)
            self._jobs.launch(replace(begun, rank=stage.rank))
            return
        self._pool.give(lease)
        self._work.record()
        self._settle(stage, begun)

    def _release(self, stage: _Stage) -> None:
        assert stage.lease is not None
        self._pool.give(stage.lease)
        stage.lease = None
        self._running -= 1

    def _peek(self, stage: _Stage, kind: Resources) -> bool:
        """A stage that waits for a scarce resource may turn out to need nothing. False: it does need it."""
        if not (lease := self._pool.take(Resources())):
            return False
        self._pool.give(lease)
        stage.peeked = True
        try:
            settled = self._work.peek(stage.name)
        except Busy:
            return False
        if settled is None:
            return False
        self._pop(kind)
        self._settle(stage, settled)
        return True

    def _pop(self, kind: Resources) -> None:
        heapq.heappop(self._ready[kind])

    def _make_ready(self, stage: _Stage) -> None:
        heapq.heappush(self._ready[stage.request], (stage.rank, stage))

    def _settle(self, stage: _Stage, settled: Settled) -> None:
        if self._open.pop(stage.name, None) is None:
            return
        self._on_settled(stage.name, settled)
        if settled.outcome is Outcome.FAILED:
            self._fail(stage)
        for follower in stage.followers:
            follower.waits_for -= 1
            if not follower.waits_for and follower.name in self._open:
                self._make_ready(follower)

    def _fail(self, stage: _Stage) -> None:
        """Block what depends on it; without `keep_going` start nothing that serially comes after it."""
        todo = list(stage.dependents)
        while todo:
            other = todo.pop()
            if other.name in self._open:
                reason = f"{other.name}: not started, {stage.name} failed"
                self._settle(other, Settled(Outcome.BLOCKED, error=reason))
                todo += other.dependents
        if not self._keep_going:
            later = Settled(Outcome.BLOCKED, error=f"not started, {stage.name} failed")
            self._give_up(lambda other: other.place > stage.place, later)

    def _give_up(self, chosen: Callable[[_Stage], bool], settled: Settled) -> None:
        for stage in [stage for stage in self._open.values() if chosen(stage) and stage.lease is None]:
            self._settle(stage, settled)


def _linked(nodes: Sequence[Node], remaining: Mapping[str, float]) -> dict[str, _Stage]:
    """The stages in the serial order, each with those that follow it."""
    places = range(len(nodes))
    by_urgency = sorted(places, key=lambda at: (-nodes[at].meta.priority, -remaining[nodes[at].name], at))
    ranks = {place: rank for rank, place in enumerate(by_urgency)}
    stages = {
        node.name: _Stage(node, place, ranks[place], node.meta.resources) for place, node in enumerate(nodes)
    }
    for stage in stages.values():
        for other in stage.node.needs:
            stages[other].dependents.append(stage)
        for other in (*stage.node.needs, *stage.node.after):
            stages[other].followers.append(stage)
            stage.waits_for += 1
    return stages
