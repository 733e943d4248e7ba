"""A run on very many hosts, on a simulated clock: how far from the best possible it ends.

    python -m benchmarks.darkroom.hosts.simulated [--stages 10000] [--hosts 100] [--rounds 3]
        [--out benchmarks/darkroom/results/simulated_hosts.md]

Scheduler, pool, attempts, and the board that run and hosts share are the real ones. Clock, hosts and commands
are simulated. What run and hosts do beside the commands takes the time that the options say.
"""

import contextlib
import heapq
import itertools
import random
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from benchmarks.darkroom.hosts.random_graphs import Shape, Stub, drawn, longest_path, lower_bound
from benchmarks.machine import describe
from darkroom.base.meta import Resources, StageMeta
from darkroom.exchange.board import Board
from darkroom.exchange.orders import RUN_DIGITS, Order, Record, new_token
from darkroom.exchange.storages import Storage
from darkroom.gpus.host import Host
from darkroom.processes.stage_process import Ending, StageJob, StageResult
from darkroom.remote.attempt import Notes, Offers, RemoteAttempt
from darkroom.remote.capacity import Claims, SplitPool
from darkroom.schedule.estimate import remaining_seconds
from darkroom.schedule.events import Outcome
from darkroom.schedule.executor import Ended
from darkroom.schedule.plan import Node
from darkroom.schedule.pool import HostPool, Lease
from darkroom.schedule.scheduler import Scheduler, Settled
from tests.simulation.memory_storage import MemoryStorage

POOL = "hosts"
LIMIT = 1.15
BEAT_SECONDS = 2.0
QUEUED = 1000
"""The most stages of the run that are with the pool at once: what pools.yaml has if it does not say."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Costs:
    """Seconds that are no command's."""

    run: float
    """Of the run's one thread, for each stage."""
    host: float
    """Of a host, for each stage: the checkout, what is fetched and what is stored."""
    look: float
    """Between two looks of a host or a run at the board."""


class Clock:
    """The simulated time, and what happens when."""

    def __init__(self) -> None:
        self.now = 0.0
        self._due: list[tuple[float, int, Iterator[float]]] = []
        self._numbers = itertools.count()

    def begin(self, course: Iterator[float], after: float = 0.0) -> None:
        """Let a course of events begin: it gives the seconds until its next one."""
        heapq.heappush(self._due, (self.now + after, next(self._numbers), course))

    def step(self, until: float) -> bool:
        """Let the next event happen. False: there is none by then, and it is then."""
        if not self._due or self._due[0][0] > until:
            self.now = max(self.now, until)
            return False
        at, _, course = heapq.heappop(self._due)
        self.now = max(self.now, at)
        if (seconds := next(course, None)) is not None:
            heapq.heappush(self._due, (at + seconds, next(self._numbers), course))
        return True


class Hosts:
    """The executor: real attempts, whose looks happen on the clock, and hosts that take what is offered."""

    def __init__(
        self, stubs: Mapping[str, Stub], count: int, costs: Costs, claims: Claims, folder: Path
    ) -> None:
        self.clock, self.busy, self.looks = Clock(), 0.0, 0
        self._stubs, self._costs, self._claims = stubs, costs, claims
        storage: Storage = MemoryStorage(folder)
        self._board, self._notes = Board(storage), Notes(folder / "notes")
        self._dice = random.Random(0)
        self._ended: list[Ended] = []
        for number in range(count):
            self.clock.begin(self._host(f"host{number}"), self._dice.random() * costs.look)

    def _host(self, name: str) -> Iterator[float]:
        """One host, for ever: it looks for an offer, claims it, and executes the stage."""
        board, costs = self._board, self._costs
        while True:
            if not (order := self._first_claimed(name)):
                yield costs.look
                continue
            left = self._stubs[order.stage].seconds
            self.busy += left
            yield costs.host
            for number in itertools.count():
                board.beat(order.token, number)
                if left <= BEAT_SECONDS:
                    break
                left -= BEAT_SECONDS
                yield BEAT_SECONDS
            yield left
            board.hand_in(Record(token=order.token, host=name, result=StageResult(ending=Ending.OK)))

    def _first_claimed(self, name: str) -> Order | None:
        """The first of the offers that nobody else has claimed."""
        for token in self._board.offered(POOL, self._dice):
            if self._board.claim(token, name):
                self._board.withdraw(POOL, token)
                return self._board.order(token)
        return None

    def launch(self, job: StageJob) -> None:
        """Begin an attempt."""
        self.clock.begin(self._attempt(job))

    def _attempt(self, job: StageJob) -> Iterator[float]:
        """The thread that watches over one attempt."""
        order = Order(
            token=new_token(job.rank, "0" * RUN_DIGITS),
            stage=job.name,
            attempt=1,
            revision="",
            code="",
            folder=".",
            cwd=".",
            commands=(),
            env={},
        )
        attempt = RemoteAttempt(order, self._board, Offers(self._board, POOL), self._notes, 60.0)
        with self._claims.of_attempt(job.meta.resources) as claim:
            while (ended := attempt.step(self.clock.now)) is None:
                self.looks += 1
                if attempt.seen and attempt.seen.host:
                    claim()
                yield self._costs.look
        assert isinstance(ended, Record), ended
        attempt.close()
        self._ended.append(Ended(job.name, job.attempt, ended.result))

    def finished(self, wait: float) -> Ended | None:
        """The next stage that has ended."""
        until = self.clock.now + wait
        while not self._ended and self.clock.step(until):
            pass
        return self._ended.pop() if self._ended else None


class Work:
    """What the run does with a stage: it only takes time."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock, self._seconds = clock, seconds

    def locked(self) -> contextlib.AbstractContextManager[None]:
        """Nobody else is there."""
        return contextlib.nullcontext()

    def peek(self, name: str) -> None:
        """Nothing is up to date."""

    def begin(self, name: str, lease: Lease) -> StageJob:
        """Take half of the time that a stage costs the run."""
        self._clock.now += self._seconds / 2
        return StageJob(name=name, commands=(), cwd=Path(), env={}, meta=StageMeta(resources=lease.resources))

    def finish(self, name: str, result: StageResult) -> Settled:  # noqa: ARG002
        """Take the other half."""
        self._clock.now += self._seconds / 2
        return Settled(Outcome.RAN)

    def record(self) -> None:
        """Record nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Simulated:
    """One run."""

    case: str
    seed: int
    path: float
    """Seconds of the longest path."""
    bound: float
    makespan: float
    looks: int
    """Of the run at its attempts."""
    cpu: float
    """Seconds of processor time that the simulation took."""

    @property
    def ratio(self) -> float:
        """The makespan as a multiple of what is possible at best."""
        return self.makespan / self.bound


def simulated(
    case: str, stubs: Sequence[Stub], seed: int, hosts: int, costs: Costs, known: float
) -> Simulated:
    """A run of the graph. Past times are known of a share `known` of the stages, a fifth off or less."""
    began, dice = time.process_time(), random.Random(seed)
    before = {stub.name: stub.seconds * dice.uniform(0.8, 1.2) for stub in stubs if dice.random() < known}
    meta = StageMeta(resources=Resources(pool=POOL))
    nodes = [Node(name=stub.name, needs=stub.needs, meta=meta) for stub in stubs]
    claims = Claims([POOL])
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        jobs = Hosts({stub.name: stub for stub in stubs}, hosts, costs, claims, Path(folder))
        Scheduler(
            nodes,
            Work(jobs.clock, costs.run),
            SplitPool(HostPool(1, 1, 1, 1), Host.for_stages([], 1), {POOL: QUEUED}, claims),
            jobs,
            remaining=remaining_seconds(nodes, before),
            keep_going=False,
            stop=threading.Event(),
            on_settled=lambda *_: None,
            clock=lambda: jobs.clock.now,
        ).run()
    return Simulated(
        case=case,
        seed=seed,
        path=longest_path(stubs),
        bound=lower_bound(stubs, hosts),
        makespan=jobs.clock.now,
        looks=jobs.looks,
        cpu=time.process_time() - began,
    )


def measure(stages: int, hosts: int, rounds: int, seconds: float, costs: Costs) -> Iterator[Simulated]:
    """Each case with so many seeds."""
    cases = (
        ("short paths", stages, 1.0),
        ("long paths", stages // 6, 1.0),
        ("long paths, no times known", stages // 6, 0.0),
    )
    for case, near, known in cases:
        for seed in range(rounds):
            found = simulated(case, drawn(Shape(stages, near, seconds), seed), seed, hosts, costs, known)
            print(f"{case}, seed {seed}: {found.ratio:.3f} ({found.cpu:.0f} s of processor time)", flush=True)
            yield found


def report(found: Sequence[Simulated], command: str, costs: Costs) -> str:
    """The page that is committed."""
    worst = max(one.ratio for one in found)
    met = "met" if worst <= LIMIT else "not met"
    lines = [
        "# A run on very many hosts, simulated",
        "",
        f"`{command}` on {describe()}.",
        "The best possible is the longest path, or the seconds of all commands divided by the hosts, if",
        f"that is more. Beside its command a stage costs the run's one thread {costs.run} s,",
        f"and its host {costs.host} s. Run and hosts look at the board every {costs.look} s.",
        "Past times of stages are up to a fifth off.",
        "",
        "| graph | seed | longest path, s | best possible, s | run, s | of the best | looks a second |",
        "|---|---|---|---|---|---|---|",
        *(
            f"| {one.case} | {one.seed} | {one.path:,.0f} | {one.bound:,.0f} | {one.makespan:,.0f} "
            f"| {one.ratio:.3f} | {one.looks / one.makespan:,.0f} |"
            for one in found
        ),
        "",
        f"At most {worst:.3f} times the best possible; the limit of {LIMIT} is {met}.",
    ]
    return "\n".join(lines) + "\n"


@click.command(help=__doc__)
@click.option("--stages", type=click.IntRange(min=10), default=10_000)
@click.option("--hosts", type=click.IntRange(min=1), default=100)
@click.option("--rounds", type=click.IntRange(min=1), default=3, help="Seeds for each kind of graph.")
@click.option("--seconds", type=float, default=60.0, help="What a stage takes on average.")
@click.option("--run-cost", type=float, default=0.05, help="Seconds of the run's thread for each stage.")
@click.option("--host-cost", type=float, default=1.0, help="Seconds of the host for each stage.")
@click.option("--look", type=float, default=0.5, help="Seconds between two looks at the board.")
@click.option("--out", type=click.Path(path_type=Path), help="Where to write the page.")
def main(
    stages: int,
    hosts: int,
    rounds: int,
    seconds: float,
    run_cost: float,
    host_cost: float,
    look: float,
    out: Path | None,
) -> None:
    """Simulate, print, and write the page if `--out` names one."""
    costs = Costs(run=run_cost, host=host_cost, look=look)
    words = f"--stages {stages} --hosts {hosts} --rounds {rounds}"
    command = f"python -m benchmarks.darkroom.hosts.simulated {words}"
    text = report(list(measure(stages, hosts, rounds, seconds, costs)), command, costs)
    print(text)
    if out:
        out.write_text(text)


if __name__ == "__main__":
    main()
