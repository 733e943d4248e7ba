"""One run of the simulated pipeline after another, until one is left in peace."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from darkroom.base.errors import RepoError, StageRecordError
from darkroom.base.meta import Resources
from darkroom.ledger import ahead, writer
from darkroom.ledger.writer import LockWriter
from darkroom.processes.stage_process import Ending, StageJob, StageResult
from darkroom.runs.report import RunOptions
from darkroom.runs.stage_work import StageWork
from darkroom.schedule.estimate import remaining_seconds
from darkroom.schedule.events import Event, Outcome
from darkroom.schedule.executor import Ended, Jobs
from darkroom.schedule.pool import HostPool, Lease
from darkroom.schedule.scheduler import Busy, Scheduler, Settled
from darkroom.workspace.workspace import Prepared
from tests.simulation.world import QUICK_YAML, Death, Faults, World

LIVES = 4
"""Runs that faults may hit, before one that they do not."""

LOST_SECONDS = 6.0
"""After so long without news a place is held to be lost."""

STEPS = 5_000
"""Looks at the executor, after which a run is held to hang."""

LONGEST_LOOK_SECONDS = 2.0
"""While nothing happens each look takes twice as long as the one before, up to this."""


class Hosts:
    """The executor: jobs take simulated seconds; results are lost, late, doubled or of killed commands."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._numbers = itertools.count()
        self._due: list[tuple[float, int, Ended]] = []
        self._looks = self._idle = 0
        self._attempts: dict[str, int] = {}

    def launch(self, job: StageJob) -> None:
        world, step = self._world, self._world.steps[job.name]
        world.occasion()
        world.note("launch", job.name, job.attempt)
        self._idle = 0
        assert self._attempts.get(job.name, 0) < job.attempt, f"{job.name}: an attempt is begun twice"
        self._attempts[job.name] = job.attempt
        world.files[job.name] = "half written"
        end = world.now + step.seconds
        result = StageResult(ending=Ending.FAILED, code=1) if step.fails else StageResult(ending=Ending.OK)
        if world.happens(world.faults.killed):
            result = StageResult(ending=world.rng.choice((Ending.KILLED, Ending.OUT_OF_MEMORY)), code=137)
        ended = Ended(job.name, job.attempt, result)
        if world.happens(world.faults.lost):
            late = end + LOST_SECONDS + world.rng.random() * 10
            self._put(late, ended)
            end, ended = end + LOST_SECONDS, ended._replace(result=StageResult(ending=Ending.KILLED, code=-9))
        self._put(end, ended)
        if world.happens(world.faults.doubled):
            self._put(end + world.rng.choice((0.0, 0.1, 2.0, 8.0)), ended)

    def _put(self, at: float, ended: Ended) -> None:
        heapq.heappush(self._due, (at, next(self._numbers), ended))

    def finished(self, wait: float) -> Ended | None:
        self._world.occasion()
        self._looks += 1
        assert self._looks < STEPS, "the run goes on for ever"
        until = self._world.now + look_seconds(wait, self._idle)
        if not self._due or self._due[0][0] > until:
            self._world.now = until
            self._idle += bool(wait)
            return None
        self._idle = 0
        at, _, ended = heapq.heappop(self._due)
        self._world.now = max(self._world.now, at)
        if ended.result.well and ended.attempt == self._attempts[ended.stage]:
            step = self._world.steps[ended.stage]
            self._world.files[ended.stage] = step.out(self._world.contents(step.needs))
        return ended


def look_seconds(wait: float, idle: int) -> float:
    """How long a look takes that is to take `wait` seconds, after so many at which nothing happened."""
    return min(wait * 2**idle, max(wait, LONGEST_LOOK_SECONDS))


class Workspace:
    """What DVC does to a stage, on the world's files, with darkroom's own ledger."""

    def __init__(self, world: World) -> None:
        self.root = world.folder
        self._world = world
        self._ledger = LockWriter(world.folder, world.folder, QUICK_YAML)
        self._ledger.begin(list(world.steps))
        self._recorded = {**self._ledger.ahead(world.lock), **world.held()}
        self.begun: set[str] = set()
        self.well: set[str] = set()

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        self._world.occasion()
        yield

    def peek(self, name: str) -> Settled | None:
        self._world.occasion()
        return Settled(Outcome.SKIPPED) if self._is_up_to_date(name) else None

    def _is_up_to_date(self, name: str) -> bool:
        world = self._world
        if name not in self._recorded or name not in world.files:
            return False
        return bool(self._recorded[name] == world.entry(name, world.files))

    def begin(self, name: str, refusal: str | None) -> Settled | Prepared:
        world = self._world
        world.occasion()
        assert refusal is None
        assert set(world.steps[name].needs) <= self.well, f"{name} is begun before what it needs"
        assert name not in self.begun, f"{name} is begun twice"
        if settled := self.peek(name):
            return settled
        if world.happens(world.faults.busy):
            raise Busy("another process")
        world.files.pop(name, None)
        self.begun.add(name)
        world.occasion()
        return Prepared(("changed",), ((name,),), self.root, {}, None, None)  # type: ignore[arg-type]

    def finish(self, name: str) -> tuple[str, ...]:
        world = self._world
        world.occasion()
        self.begun.remove(name)
        step = world.steps[name]
        assert world.files[name] == step.out(world.contents(step.needs)), f"{name}: a result of old deps"
        if world.happens(world.faults.uncommitted):
            raise StageRecordError(f"{name}: no space left")
        record = world.record_of(name)
        self._recorded[name] = record.content
        self._ledger.add(record)
        world.note("accepted", name)
        world.occasion()
        return ()

    def abandon(self, name: str) -> None:
        self._world.occasion()
        self.begun.remove(name)

    def record(self) -> None:
        self._world.occasion()
        try:
            self._ledger.write()
        except OSError as error:
            raise RepoError(str(error)) from error

    def passed(self, name: str) -> None:
        self._world.occasion()
        self._ledger.passed(name)

    def full_disks(self) -> str:
        return ""


class Everything:
    """A capacity that refuses nothing."""

    def refusal(self, name: str, resources: Resources) -> str | None:  # noqa: ARG002
        return None


class Gpus:
    """Two devices of which each is held by one stage."""

    def __init__(self) -> None:
        self.free = 2

    def take(self, resources: Resources, stage: str) -> Lease | None:  # noqa: ARG002
        if resources.gpu > self.free:
            return None
        self.free -= resources.gpu
        return Lease(resources)

    def give(self, lease: Lease) -> None:
        self.free += lease.resources.gpu
        assert self.free <= 2

    def waits(self, resources: Resources | None, stage: str) -> None:
        pass

    def close(self) -> None:
        pass


class Durations:
    """Where durations are noted."""

    def add(self, run: str, stage: str, seconds: float) -> None:
        pass


class Life:
    """One process of `darkroom run`."""

    def __init__(self, world: World, executor: Callable[[World], Jobs]) -> None:
        self._world, self._executor = world, executor
        world.life += 1
        world.occasions = 0
        self.outcomes: dict[str, Outcome] = {}
        self.error: str | None = None

    def go(self) -> None:
        """Run until every stage is settled.

        Raises:
            Death: The process was killed on the way.

        """
        world, gpus = self._world, Gpus()
        workspace, hosts, pool = Workspace(world), self._executor(world), HostPool(3, 2, 25, 1, gpus)
        nodes = world.nodes()
        work = StageWork(
            f"run-{world.life}",
            RunOptions(repo=Path(), stop=threading.Event()),
            workspace,  # type: ignore[arg-type]
            {node.name: node for node in nodes},
            Everything(),  # type: ignore[arg-type]
            Durations(),  # type: ignore[arg-type]
            self._observe,
        )

        def settled(name: str, end: Settled) -> None:
            world.occasion()
            assert name not in self.outcomes, f"{name} is settled twice"
            self.outcomes[name] = end.outcome
            if end.outcome.well:
                workspace.well.add(name)
            world.note("settled", name, str(end.outcome))
            work.settled(name, end)

        scheduler = Scheduler(
            nodes,
            work,
            pool,
            hosts,
            remaining=remaining_seconds(nodes, {step.name: step.seconds for step in world.steps.values()}),
            keep_going=False,
            stop=threading.Event(),
            on_settled=settled,
            clock=lambda: world.now,
        )
        try:
            with full_or_dying_disk(world):
                scheduler.run()
                work.record()
        except RepoError as error:
            world.note("ended", "dvc.lock cannot be written")
            self.error = str(error)
            return
        assert set(self.outcomes) == set(world.steps)
        assert (pool._jobs, pool._cpus, pool._memory, gpus.free) == (3, 2, 25, 2), "a lease is left over"
        assert not workspace.begun, "a stage is left begun"

    def _observe(self, event: Event) -> None:
        self._world.occasion()
        self._world.note("told", type(event).__name__)


@contextlib.contextmanager
def full_or_dying_disk(world: World) -> Iterator[None]:
    """Have the ledger's files written to a disk that may be full, by a process that may be killed."""
    write = writer.write_text
    guarded = world.guarded_write(write)
    with mock.patch.object(writer, "write_text", guarded), mock.patch.object(ahead, "write_text", guarded):
        yield


def simulate(seed: int, folder: Path, executor: Callable[[World], Jobs] = Hosts) -> list[tuple[Any, ...]]:
    """Live through a seed, with stages executed by `executor`; the diary of it.

    Raises:
        AssertionError: Something happened that must not.

    """
    world = World(seed, folder)
    for _ in range(LIVES):
        world.faults = Faults.drawn(world.rng)
        life = Life(world, executor)
        with contextlib.suppress(Death):
            life.go()
        check_prefix(world)
    done = what_is_done(world)
    world.faults = Faults()
    last = Life(world, executor)
    last.go()
    check_prefix(world)
    check_end(world, last)
    again = {name for name in done if last.outcomes[name] not in (Outcome.SKIPPED, Outcome.BLOCKED)}
    assert not again, f"{again} were done, and are executed again"
    return world.diary


def what_is_done(world: World) -> set[str]:
    """The stages whose results are recorded or noted ahead, and are those of their deps."""
    known = {**LockWriter(world.folder, world.folder, QUICK_YAML).ahead(world.lock), **world.held()}
    done: set[str] = set()
    for name, step in world.steps.items():
        whole = set(step.needs) <= done and name in world.files
        if whole and known.get(name) == world.entry(name, world.files):
            done.add(name)
    return done


def check_prefix(world: World) -> None:
    """What is new in dvc.lock is what a serial run appends first, in its order; the rest is noted ahead."""
    serial = QUICK_YAML.read(world.serial[0] or "stages: {}")["stages"]
    appended = [name for name in serial if name in _new(world, serial)]
    found = world.new_in_lock()
    assert found == appended[: len(found)], f"{found} are no first of {appended}"


def _new(world: World, serial: dict[str, Any]) -> set[str]:
    return set(serial) - set(world.first_stages())


def check_end(world: World, last: Life) -> None:
    """A run that nothing disturbs ends as a serial one, whatever was before it."""
    text, files = world.serial
    failed = [
        name for name, step in world.steps.items() if step.fails and last.outcomes[name] is Outcome.FAILED
    ]
    if not failed:
        assert all(end.well for end in last.outcomes.values()), last.outcomes
        assert world.lock.read_text() == text if text else not world.lock.exists()
        assert world.files == files
        return
    place = list(world.steps).index(failed[0])
    reached = list(world.steps)[:place]
    serial = QUICK_YAML.read(text or "stages: {}")["stages"]
    assert list(world.held()) == list(serial)
    assert {name: world.held().get(name) for name in reached} == {name: serial.get(name) for name in reached}
