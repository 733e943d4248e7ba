"""The scheduler on a clock that jumps: what starts when, and what becomes of the rest."""

from __future__ import annotations

import contextlib
import heapq
from pathlib import Path
from threading import Event

from hypothesis import given
from hypothesis import strategies as st

from darkroom.base.meta import Resources, StageMeta
from darkroom.processes.stage_process import Ending, StageJob, StageResult
from darkroom.schedule.estimate import (
    critical_path,
    expected_seconds,
    remaining_seconds,
    usual_seconds,
    widest,
)
from darkroom.schedule.events import Outcome
from darkroom.schedule.executor import Ended
from darkroom.schedule.plan import Node
from darkroom.schedule.pool import HostPool, Lease
from darkroom.schedule.scheduler import BeginAnew, Busy, Scheduler, Settled


class Bench:
    """Work and executor of stages that take given seconds; keeps a diary."""

    def __init__(self, seconds: dict[str, float], fails: set[str] = frozenset(), busy: int = 0) -> None:  # type: ignore[assignment]
        self.seconds, self.fails, self.busy = seconds, fails, busy
        self.now = 0.0
        self.running: list[tuple[float, str]] = []
        self.diary: list[tuple[float, str, str]] = []
        self.at_once = 0
        self.ranks: dict[str, int] = {}

    def locked(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def peek(self, name: str) -> Settled | None:
        return None if name in self.seconds else Settled(Outcome.SKIPPED)

    def begin(self, name: str, lease: Lease) -> Settled | StageJob:
        if self.busy:
            self.busy -= 1
            raise Busy
        return self.peek(name) or StageJob(name=name, commands=(), cwd=Path(), env=lease.env)

    def launch(self, job: StageJob) -> None:
        self.diary.append((self.now, "start", job.name))
        self.ranks[job.name] = job.rank
        heapq.heappush(self.running, (self.now + self.seconds[job.name], job.name))
        self.at_once = max(self.at_once, len(self.running))

    def finished(self, wait: float) -> Ended | None:
        if not wait or not self.running:
            return None
        self.now, name = heapq.heappop(self.running)
        result = StageResult(ending=Ending.FAILED if name in self.fails else Ending.OK)
        return Ended(name, 1, result)

    def finish(self, name: str, result: StageResult) -> Settled | BeginAnew:
        self.diary.append((self.now, "end", name))
        return Settled(Outcome.RAN if result.well else Outcome.FAILED)

    def record(self) -> None:
        self.diary.append((self.now, "record", ""))

    def started(self) -> list[str]:
        return [name for _, what, name in self.diary if what == "start"]


def go(
    nodes: list[Node],
    bench: Bench,
    jobs: int = 2,
    cpus: int = 2,
    keep_going: bool = False,
    stop: Event | None = None,
) -> dict[str, Outcome]:
    outcomes: dict[str, Outcome] = {}
    Scheduler(
        nodes,
        bench,
        HostPool(jobs, cpus, 1000, 1),
        bench,
        remaining=remaining_seconds(nodes, bench.seconds),
        keep_going=keep_going,
        stop=stop or Event(),
        on_settled=lambda name, settled: outcomes.update({name: settled.outcome}),
        clock=lambda: bench.now,
    ).run()
    return outcomes


def node(name: str, *needs: str, **options: object) -> Node:
    return Node(name=name, needs=needs, **options)  # type: ignore[arg-type]


def test_the_longest_remaining_path_starts_first() -> None:
    nodes = [node("short"), node("head"), node("tail", "head"), node("middle")]
    bench = Bench({"short": 1, "head": 1, "tail": 5, "middle": 3})
    go(nodes, bench)
    assert bench.started() == ["head", "middle", "tail", "short"]
    assert bench.ranks == {"head": 0, "tail": 1, "middle": 2, "short": 3}
    assert bench.now == 6


def test_priority_goes_before_length() -> None:
    nodes = [node("long"), node("urgent", meta=StageMeta(priority=1))]
    bench = Bench({"long": 9, "urgent": 1})
    go(nodes, bench, jobs=1)
    assert bench.started() == ["urgent", "long"]
    assert bench.ranks == {"urgent": 0, "long": 1}


def test_who_waits_for_much_keeps_nobody_waiting_who_asks_for_little() -> None:
    all_cpus = StageMeta(Resources(cpu=2), priority=9)
    nodes = [node("a", meta=StageMeta(Resources(cpu=1), priority=10)), node("big", meta=all_cpus), node("b")]
    bench = Bench({"a": 5, "big": 1, "b": 1})
    go(nodes, bench)
    assert bench.diary[0][2] == "a"
    assert (0.0, "start", "b") in bench.diary
    assert (5.0, "start", "big") in bench.diary


def test_an_up_to_date_stage_needs_no_scarce_resource() -> None:
    scarce = StageMeta(Resources(cpu=2))
    nodes = [node("holds", meta=scarce), node("done", meta=scarce), node("next", "done")]
    bench = Bench({"holds": 10, "next": 1})
    go(nodes, bench)
    assert (0.0, "start", "next") in bench.diary


def test_after_a_failure_only_what_a_serial_run_would_have_reached_is_started() -> None:
    nodes = [node("slow"), node("before", "slow"), node("bad"), node("child", "bad"), node("later", "slow")]
    bench = Bench({"slow": 5, "before": 1, "bad": 1, "child": 1, "later": 1}, fails={"bad"})
    outcomes = go(nodes, bench)
    assert outcomes == {
        "slow": Outcome.RAN,
        "before": Outcome.RAN,
        "bad": Outcome.FAILED,
        "child": Outcome.BLOCKED,
        "later": Outcome.BLOCKED,
    }


def test_keep_going_leaves_out_only_what_depends_on_the_failure() -> None:
    nodes = [node("bad"), node("child", "bad"), node("grandchild", "child"), node("other")]
    bench = Bench(dict.fromkeys(("bad", "child", "grandchild", "other"), 1), fails={"bad"})
    outcomes = go(nodes, bench, jobs=1, keep_going=True)
    assert [str(outcomes[n.name]) for n in nodes] == ["failed", "blocked", "blocked", "ran"]


def test_all_that_depends_on_a_failure_is_left_out_by_each_way() -> None:
    nodes = [node("bad"), node("one", "bad"), node("two", "bad"), node("three", "one"), node("four", "two")]
    bench = Bench(dict.fromkeys(("bad", "one", "two", "three", "four"), 1), fails={"bad"})
    outcomes = go(nodes, bench, keep_going=True)
    assert [str(outcomes[n.name]) for n in nodes] == ["failed", *["blocked"] * 4]


def test_one_waits_for_another_that_it_does_not_need() -> None:
    nodes = [node("bad"), node("ice", after=("bad",))]
    bench = Bench({"bad": 3, "ice": 1}, fails={"bad"})
    assert go(nodes, bench, keep_going=True)["ice"] is Outcome.RAN
    assert (3.0, "start", "ice") in bench.diary


def test_a_stage_whose_paths_are_in_use_elsewhere_is_asked_again() -> None:
    bench = Bench({"a": 1}, busy=2)
    assert go([node("a")], bench) == {"a": Outcome.RAN}


@st.composite
def graphs(draw: st.DrawFn) -> list[Node]:
    nodes: list[Node] = []
    for number in range(draw(st.integers(1, 12))):
        needs = draw(st.lists(st.sampled_from(nodes), unique=True, max_size=3)) if nodes else []
        cpu = draw(st.sampled_from([None, None, 1, 2]))
        nodes.append(node(f"s{number}", *(n.name for n in needs), meta=StageMeta(Resources(cpu=cpu))))
    return nodes


@given(graphs(), st.data(), st.integers(1, 4))
def test_any_graph_in_order_within_resources_and_everything_settled(
    nodes: list[Node], data: st.DataObject, jobs: int
) -> None:
    names = [n.name for n in nodes]
    seconds = {
        name: data.draw(st.integers(1, 9))
        for name in data.draw(st.lists(st.sampled_from(names), unique=True))
    }
    bench = Bench(dict(seconds))
    outcomes = go(nodes, bench, jobs)
    assert set(outcomes) == set(names)
    assert bench.at_once <= jobs
    times = {(what, name): at for at, what, name in bench.diary}
    for n in nodes:
        for other in n.needs:
            if n.name in seconds and other in seconds:
                assert times["start", n.name] >= times["end", other]
    total = expected_seconds(nodes, set(seconds), dict(seconds), HostPool(jobs, 2, 1000, 1))
    assert total == bench.now
    assert total >= sum(seconds[name] for name in critical_path(nodes, set(seconds), dict(seconds)))


def test_estimates_by_hand() -> None:
    nodes = [node("a"), node("b", "a"), node("c", "a"), node("d", "b", "c")]
    seconds = {"a": 1.0, "b": 2.0, "c": 5.0, "d": 1.0}
    assert remaining_seconds(nodes, seconds) == {"a": 7.0, "b": 3.0, "c": 6.0, "d": 1.0}
    assert critical_path(nodes, {"a", "b", "c", "d"}, seconds) == ("a", "c", "d")
    assert critical_path(nodes, {"b", "d"}, seconds) == ("b", "d")
    assert expected_seconds(nodes, {"a", "b", "c", "d"}, seconds, HostPool(1, 1, 1, 1)) == 9.0
    assert expected_seconds(nodes, {"a", "b", "c", "d"}, seconds, HostPool(2, 1, 1, 1)) == 7.0
    assert expected_seconds(nodes, {"a"}, {}, HostPool(2, 1, 1, 1)) is None
    assert widest(nodes) == 2
    assert widest(nodes[1:]) == 2, "what runs elsewhere counts for nothing"
    assert widest(nodes[3:]) == 1


class Retrying(Bench):
    """Stages whose first attempts end by a kill; the next one comes after `pause`."""

    def __init__(self, seconds: dict[str, float], kills: dict[str, int], pause: float) -> None:
        super().__init__(seconds)
        self.kills, self.pause = dict(kills), pause

    def finished(self, wait: float) -> Ended | None:
        if wait and not self.running:
            self.now += wait
        return super().finished(wait)

    def finish(self, name: str, result: StageResult) -> Settled | BeginAnew:
        if self.kills.get(name):
            self.kills[name] -= 1
            self.diary.append((self.now, "killed", name))
            return BeginAnew(self.pause)
        return super().finish(name, result)


def test_a_stage_to_be_begun_again_holds_nothing_until_then() -> None:
    nodes = [node("killed"), node("other"), node("child", "killed")]
    bench = Retrying({"killed": 2, "other": 1, "child": 1}, {"killed": 2}, pause=2)
    assert go(nodes, bench, jobs=1) == dict.fromkeys(("killed", "other", "child"), Outcome.RAN)
    assert bench.started() == ["killed", "other", "killed", "killed", "child"]
    killed = [at for at, what, _ in bench.diary if what == "killed"]
    starts = [at for at, what, name in bench.diary if (what, name) == ("start", "killed")]
    assert all(start >= at + 2 for at, start in zip(killed, starts[1:], strict=True))
    assert bench.at_once == 1


def test_a_stop_while_a_stage_waits_for_its_next_attempt_ends_the_run() -> None:
    stop = Event()

    class Stopped(Retrying):
        def finish(self, name: str, result: StageResult) -> Settled | BeginAnew:
            stop.set()
            return super().finish(name, result)

    bench = Stopped({"killed": 1, "child": 1}, {"killed": 1}, pause=1e9)
    outcomes = go([node("killed"), node("child", "killed")], bench, stop=stop)
    assert outcomes == {"killed": Outcome.CANCELLED, "child": Outcome.CANCELLED}


class Growing(Bench):
    """Has `big` run again with more memory; notes what each attempt holds."""

    def __init__(self) -> None:
        super().__init__({"big": 1, "other": 9})
        self.held: list[int | None] = []

    def begin(self, name: str, lease: Lease) -> Settled | StageJob:
        if name == "big":
            self.held.append(lease.resources.memory)
        return super().begin(name, lease)

    def finish(self, name: str, result: StageResult) -> Settled | BeginAnew:
        if name == "big" and self.held[-1] != 900:
            return BeginAnew(0.0, Resources(memory=900))
        return super().finish(name, result)


def test_another_attempt_holds_what_it_asks_for_anew() -> None:
    nodes = [node("big", meta=StageMeta(Resources(memory=300))), node("other")]
    bench = Growing()
    assert go(nodes, bench) == {"big": Outcome.RAN, "other": Outcome.RAN}
    assert bench.held == [300, 900]


def test_a_stage_without_a_past_takes_as_long_as_the_others_in_the_middle() -> None:
    assert usual_seconds({}) == 1.0
    assert usual_seconds({"a": 4.0, "b": 2.0, "c": 9.0}) == 4.0
    nodes = [node("data", executes=False), node("a", "data"), node("new", "a"), node("c", "new")]
    seconds = {"a": 4.0, "c": 2.0, "gone": 9.0, "data": 7.0}
    usual = 5.5  # of 2, 4, 7 and 9
    assert remaining_seconds(nodes, seconds) == {
        "data": 4.0 + usual + 2.0,  # there is nothing to execute
        "a": 4.0 + usual + 2.0,
        "new": usual + 2.0,
        "c": 2.0,
    }
    pool = HostPool(2, 2, 1000, 1)
    assert expected_seconds(nodes, {"new", "c"}, seconds, pool) == usual + 2.0
    assert expected_seconds(nodes, set(), {}, pool) == 0.0
    assert expected_seconds(nodes, set(), seconds, pool) == 0.0
    assert expected_seconds(nodes, {"c"}, {}, pool) is None
    assert critical_path(nodes, {"new", "c"}, seconds) == ("new", "c")
    assert critical_path([], set(), {}) == ()


def test_the_path_that_decides_is_that_of_the_working_stages() -> None:
    """The longest by all past times is up to date; of what works, the other way is longer."""
    nodes = [node("a"), node("long", "a"), node("short", "a"), node("end", "long", "short")]
    seconds = {"a": 1.0, "long": 9.0, "short": 2.0, "end": 1.0}
    assert critical_path(nodes, {"short", "end"}, seconds) == ("short", "end")
    assert critical_path(nodes, {"a", "long", "short"}, seconds) == ("a", "long")


def test_as_many_stages_run_at_once_as_the_widest_level_has_that_execute() -> None:
    nodes = [
        node("a"),
        node("b"),
        node("data", executes=False),
        node("ab", "a", "b"),
        node("aa", "a"),
        node("end", "ab", "data"),
    ]
    assert widest(nodes) == 2
    assert widest([*nodes, node("other")]) == 3
    assert widest([*nodes, node("high", "ab"), node("higher", "aa")]) == 3
    assert widest([node("data", executes=False)]) == 1
    assert widest([]) == 1


def test_stages_that_start_and_end_together_are_estimated_by_the_jobs_there_are() -> None:
    nodes = [node(name) for name in "abcde"]
    seconds = dict.fromkeys("abcde", 2.0)
    for jobs, expected in ((1, 10.0), (2, 6.0), (4, 4.0), (5, 2.0)):
        assert expected_seconds(nodes, set("abcde"), seconds, HostPool(jobs, 9, 1000, 1)) == expected
