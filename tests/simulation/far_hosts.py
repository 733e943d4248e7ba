"""Hosts elsewhere: the real attempts and board, on a simulated clock, with hosts and answers that fail."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

from darkroom.exchange.board import Board, Seen
from darkroom.exchange.orders import Order, Record
from darkroom.exchange.storages import Storage
from darkroom.processes.stage_process import Ending, StageJob, StageResult
from darkroom.remote.attempt import Carried, Notes, RemoteAttempt
from darkroom.repository.blobs import Blob
from darkroom.schedule.executor import Ended
from tests.simulation.memory_storage import MemoryStorage
from tests.simulation.run_loop import look_seconds
from tests.simulation.world import World

LOST_SECONDS = 6.0
BEAT_SECONDS = 1.0
LOOKS = 20_000


@dataclass
class Elsewhere:
    """The hosts, and what they will do; they outlive the run's process."""

    world: World
    storage: Storage
    due: list[tuple[float, int, Iterator[float]]] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=itertools.count)
    submitted: set[str] = field(default_factory=set)
    accepted: set[str] = field(default_factory=set)

    def begin(self, at: float, course: Iterator[float]) -> None:
        """Let something happen from then on: a course gives the seconds until its next step."""
        heapq.heappush(self.due, (at, next(self.numbers), course))

    def go_on(self) -> None:
        """Do what is due by now."""
        while self.due and self.due[0][0] <= self.world.now:
            at, _, course = heapq.heappop(self.due)
            if (seconds := next(course, None)) is not None:
                self.begin(at + seconds, course)

    def execution(self, board: Board, order: Order, host: str) -> Iterator[float]:
        """A host that claims the attempt and executes it, if nothing happens to it."""
        world, step = self.world, self.world.steps[order.stage]
        if not board.claim(order.token, host):
            world.note("claim refused", order.stage)
            return
        world.note("claimed", order.stage)
        dies, cut_off = world.happens(world.faults.killed), world.happens(world.faults.lost)
        left, beats = step.seconds, itertools.count()
        while left > 0:
            if dies and world.rng.random() < 0.5:
                world.note("host dies", order.stage)
                return
            if not cut_off:
                board.beat(order.token, next(beats))
            yield min(left, BEAT_SECONDS)
            left -= BEAT_SECONDS
        if cut_off:
            yield LOST_SECONDS + world.rng.random() * 10
        deps = tuple(order.deps[need].md5 for need in step.needs)
        result = StageResult(ending=Ending.FAILED, code=1) if step.fails else StageResult(ending=Ending.OK)
        outs = {} if step.fails else {step.name: Blob(step.out(deps), 1)}
        record = Record(token=order.token, host=host, result=result, outs=outs)
        for _ in range(2 if world.happens(world.faults.doubled) else 1):
            taken = board.hand_in(record)
            world.note("handed in" if taken else "record refused", order.stage)
            yield 0.5


class FaultyBoard(Board):
    """The board as the run sees it: sometimes it cannot be reached, and at each step the run may die."""

    def __init__(self, world: World, storage: Storage) -> None:
        super().__init__(storage)
        self._world = world

    def look(self, token: str) -> Seen:
        self._world.occasion()
        if self._world.happens(self._world.faults.doubled / 3):
            raise OSError("the storage cannot be reached")
        return super().look(token)

    def write(self, order: Order) -> None:
        self._world.occasion()
        super().write(order)
        self._world.occasion()


class Carrier:
    """Brings an attempt to one or two hosts; its answers get lost."""

    def __init__(self, world: World, elsewhere: Elsewhere, board: Board) -> None:
        self._world, self._elsewhere, self._board = world, elsewhere, board

    def submit(self, order: Order) -> None:
        world, elsewhere = self._world, self._elsewhere
        world.occasion()
        if world.happens(world.faults.busy):
            raise OSError("the request was lost")
        if order.token not in elsewhere.submitted:
            elsewhere.submitted.add(order.token)
            world.note("submitted", order.stage, order.attempt)
            for host in ("a", "b")[: 2 if world.happens(world.faults.doubled) else 1]:
                at = world.now + world.rng.choice((0.0, 0.3, 3.0))
                elsewhere.begin(at, elsewhere.execution(self._board, order, host))
        world.occasion()
        if world.happens(world.faults.busy):
            raise OSError("the answer was lost")

    def state(self, token: str) -> Carried:  # noqa: ARG002
        return Carried.NO_NEWS

    def cancel(self, token: str) -> None:  # noqa: ARG002
        self._world.occasion()


class FarHosts:
    """The executor: attempts of darkroom's own, stepped on the simulated clock."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._elsewhere = _elsewhere_of(world)
        self._board = FaultyBoard(world, self._elsewhere.storage)
        self._carrier = Carrier(world, self._elsewhere, Board(self._elsewhere.storage))
        self._notes = Notes(world.folder / ".darkroom" / "attempts")
        self._attempts: dict[str, tuple[RemoteAttempt, int]] = {}
        self._looks = self._idle = 0

    def launch(self, job: StageJob) -> None:
        world, step = self._world, self._world.steps[job.name]
        world.occasion()
        order = Order(
            token=f"{world.rng.getrandbits(128):032x}",
            stage=job.name,
            attempt=job.attempt,
            revision="r",
            code="",
            folder=".",
            cwd=".",
            commands=job.commands,
            env={},
            deps={need: Blob(world.files[need], 1) for need in step.needs},
            outs=(job.name,),
        )
        attempt = RemoteAttempt(order, self._board, self._carrier, self._notes, LOST_SECONDS)
        self._attempts[job.name] = attempt, job.attempt
        self._idle = 0

    def finished(self, wait: float) -> Ended | None:
        world = self._world
        world.occasion()
        self._looks += 1
        assert self._looks < LOOKS, "the run goes on for ever"
        world.now += look_seconds(wait, self._idle)
        self._idle += bool(wait)
        self._elsewhere.go_on()
        for stage, (attempt, number) in self._attempts.items():
            ended = attempt.step(world.now)
            if ended is not None:
                del self._attempts[stage]
                result = self._taken_over(stage, ended)
                attempt.close()
                self._idle = 0
                return Ended(stage, number, result)
        return None

    def _taken_over(self, stage: str, ended: Record | StageResult) -> StageResult:
        if isinstance(ended, StageResult):
            self._world.note("given up", stage)
            return ended
        assert ended.token not in self._elsewhere.accepted, f"{stage}: a record is accepted twice"
        for path, blob in ended.outs.items():
            self._world.files[path] = blob.md5
        self._elsewhere.accepted.add(ended.token)
        self._world.note("record accepted", stage)
        return ended.result


def _elsewhere_of(world: World) -> Elsewhere:
    if world.elsewhere is None:
        world.elsewhere = Elsewhere(world, MemoryStorage(world.folder / "storage"))
    assert isinstance(world.elsewhere, Elsewhere)
    return world.elsewhere
