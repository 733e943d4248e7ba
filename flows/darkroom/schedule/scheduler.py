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
from dataclasses import dataclass, replace
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

Rank = tuple[int, str]
"""A stage's place in the queue, in which less is more urgent, and its name."""


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
        self._nodes = {node.name: node for node in nodes}
        self._requests = {node.name: node.meta.resources for node in nodes}
        self._places = {node.name: place for place, node in enumerate(nodes)}
        self._work, self._pool, self._jobs = work, pool, jobs
        self._remaining, self._keep_going, self._stop, self._on_settled = (
            remaining,
            keep_going,
            stop,
            on_settled,
        )
        self._ranks = self._by_urgency()
        self._clock = clock
        self._open = dict.fromkeys(self._nodes)  # not settled, in serial order
        self._running: dict[str, Lease] = {}
        self._under_way = UnderWay()
        self._arrived: list[tuple[str, StageResult]] = []
        self._waiting_for = {node.name: len(node.needs) + len(node.after) for node in nodes}
        self._followers: dict[str, list[str]] = defaultdict(list)
        self._dependents: dict[str, list[str]] = defaultdict(list)
        for node in nodes:
            for other in node.needs:
                self._dependents[other].append(node.name)
            for other in (*node.needs, *node.after):
                self._followers[other].append(node.name)
        # One heap for each kind of request: what does not fit keeps nobody waiting who asks for less.
        self._ready: dict[Resources, list[Rank]] = defaultdict(list)
        self._peeked: set[str] = set()
        self._busy: list[str] = []
        self._later: list[tuple[float, str]] = []  # to be begun anew, and when
        for name, count in self._waiting_for.items():
            if not count:
                self._make_ready(name)

    def run(self) -> None:
        """Return when every stage is settled."""
        while self._open:
            with self._work.locked():
                while self._collect() or self._start():
                    pass
            if self._open:
                self._pool.waits([(kind, name) for (*_, name), kind in self._heads()])
                self._wait()

    def _wait(self) -> None:
        """Return when a result is there, the run is told to stop, or a stage may be begun again."""
        seconds = _BUSY_SECONDS if self._busy and not self._running else _LOOK_SECONDS
        if ended := self._jobs.finished(seconds):
            self._take_in(ended)
        else:
            for name in self._busy:
                self._make_ready(name)
            self._busy.clear()
        while self._later and self._later[0][0] <= self._clock():
            self._make_ready(heapq.heappop(self._later)[1])

    def _collect(self) -> bool:
        """Take over what finished, all of it before one record is written. False: nothing did."""
        if self._stop.is_set():
            self._give_up(lambda _: True, Settled(Outcome.CANCELLED))
        while ended := self._jobs.finished(0):
            self._take_in(ended)
        finished = [(name, self._work.finish(name, result)) for name, result in self._arrived]
        self._arrived.clear()
        if finished:
            self._work.record()
        for name, end in finished:
            self._pool.give(self._running.pop(name))
            if isinstance(end, BeginAnew):
                self._requests[name] = end.resources or self._requests[name]
                heapq.heappush(self._later, (self._clock() + end.seconds, name))
            else:
                self._settle(name, end)
        return bool(finished)

    def _take_in(self, ended: Ended) -> None:
        """Accept the first result of an attempt under way; a late or doubled one is none."""
        if self._under_way.accepts(ended):
            self._arrived.append((ended.stage, ended.result))

    def _start(self) -> bool:
        """Look at the most urgent stage whose resources are free. False: there is none."""
        for (*_, name), kind in self._heads():
            if lease := self._pool.take(kind, name):
                self._pop(kind)
                self._begin(name, lease)
                return True
            if kind != Resources() and name not in self._peeked and self._peek(name, kind):
                return True
        return False

    def _heads(self) -> list[tuple[Rank, Resources]]:
        """The first stage of each kind of request, the most urgent of them first."""
        for heap in self._ready.values():
            while heap and heap[0][-1] not in self._open:
                heapq.heappop(heap)
        return sorted(((heap[0], kind) for kind, heap in self._ready.items() if heap), key=itemgetter(0))

    def _begin(self, name: str, lease: Lease) -> None:
        try:
            begun = self._work.begin(name, lease)
        except Busy:
            self._busy.append(name)
            self._pool.give(lease)
            return
        if isinstance(begun, StageJob):
            self._running[name] = lease
            self._under_way.began(begun)
            self._jobs.launch(replace(begun, rank=self._ranks[name]))
            return
        self._pool.give(lease)
        self._work.record()
        self._settle(name, begun)

    def _peek(self, name: str, kind: Resources) -> bool:
        """A stage that waits for a scarce resource may turn out to need nothing. False: it does need it."""
        if not (lease := self._pool.take(Resources())):
            return False
        self._pool.give(lease)
        self._peeked.add(name)
        try:
            settled = self._work.peek(name)
        except Busy:
            return False
        if settled is None:
            return False
        self._pop(kind)
        self._settle(name, settled)
        return True

    def _pop(self, kind: Resources) -> None:
        heapq.heappop(self._ready[kind])

    def _make_ready(self, name: str) -> None:
        heapq.heappush(self._ready[self._requests[name]], (self._ranks[name], name))

    def _by_urgency(self) -> dict[str, int]:
        """Each stage's place if all were ready: by priority, the longest remaining path, the serial order."""

        def urgency(name: str) -> tuple[int, float, int]:
            return -self._nodes[name].meta.priority, -self._remaining[name], self._places[name]

        return {name: rank for rank, name in enumerate(sorted(self._nodes, key=urgency))}

    def _settle(self, name: str, settled: Settled) -> None:
        if name not in self._open:
            return
        del self._open[name]
        self._on_settled(name, settled)
        if settled.outcome is Outcome.FAILED:
            self._fail(name)
        for follower in self._followers[name]:
            self._waiting_for[follower] -= 1
            if not self._waiting_for[follower] and follower in self._open:
                self._make_ready(follower)

    def _fail(self, name: str) -> None:
        """Block what depends on it; without `keep_going` start nothing that serially comes after it."""
        todo = list(self._dependents[name])
        while todo:
            other = todo.pop()
            if other in self._open:
                self._settle(other, Settled(Outcome.BLOCKED, error=f"{other}: not started, {name} failed"))
                todo += self._dependents[other]
        if not self._keep_going:
            later = Settled(Outcome.BLOCKED, error=f"not started, {name} failed")
            self._give_up(lambda other: self._places[other] > self._places[name], later)

    def _give_up(self, chosen: Callable[[str], bool], settled: Settled) -> None:
        for name in [name for name in self._open if chosen(name) and name not in self._running]:
            self._settle(name, settled)
