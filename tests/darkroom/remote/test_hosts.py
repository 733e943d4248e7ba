"""Stages on other hosts, which are real processes: the same bytes, and what becomes of lost ones."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from darkroom.base.errors import UsageError
from darkroom.base.files import logs_folder
from darkroom.exchange.board import Board
from darkroom.exchange.orders import Record, vector_units
from darkroom.exchange.storages import FolderStorage
from darkroom.processes.stage_process import Ending, StageResult
from darkroom.remote.executor import stages_elsewhere
from darkroom.repository.blobs import BlobStore
from darkroom.runs.attempt_table import AttemptLine, AttemptTable
from darkroom.runs.report import RunOptions
from darkroom.schedule.events import Event, Outcome, StageAgain
from tests.darkroom.remote.hosts import POOL, HostProcess, hosts, hosts_in, run_elsewhere, set_pools
from tests.darkroom.repositories import contents, files, git, make, put, serial_repro
from tests.darkroom.runs.test_equality import assert_as_planned
from tests.darkroom.runs.test_random_graphs import KINDS, Pipeline, change, mend, pipelines
from tests.darkroom.shapes import DIAMOND, Shape
from tests.darkroom.waiting import wait_for

ALL = """\
stages:
  first:
    cmd:
    - mkdir -p out; echo 1 > out/a; cp run.sh out/b.sh; chmod +x out/b.sh
    - cp run.sh tool.sh; echo 1 > m.json; chmod +x tool.sh m.json
    deps: [run.sh, data]
    outs: [out, tool.sh]
    metrics: [m.json: {cache: false}]
  last:
    wdir: sub
    cmd: ls ../out > list.txt; cat ../m.json ../data/x.txt >> list.txt; ../tool.sh >> list.txt; ../out/b.sh
    deps: [../out, ../tool.sh, ../m.json, ../data]
    outs: [list.txt]
"""
FILES = {"dvc.yaml": ALL, "run.sh": "#!/bin/sh\necho tool\n", "data/x.txt": "x\n", "sub/here.txt": ""}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> object:
    folder = tmp_path_factory.mktemp("pair")
    with hosts(folder, folder / "storage", "one", "two"):
        yield folder / "storage"


@pytest.mark.slow
@pytest.mark.parametrize(
    "shape", [Shape("diamond", {"dvc.yaml": DIAMOND, "in.txt": "in\n"}), Shape("all", FILES, add=("data",))]
)
def test_the_bytes_are_those_of_a_serial_run(tmp_path: Path, pair: Path, shape: Shape) -> None:
    serial, far = (make(tmp_path / name, shape, tmp_path) for name in ("serial", "far"))
    set_pools(far, pair)
    assert serial_repro(serial)
    report = run_elsewhere(RunOptions(repo=far), far)
    assert report.errors == ()
    assert set(report.outcomes().values()) <= {Outcome.RAN, Outcome.SKIPPED}
    assert {stage.pool for stage in report.plan.stages if not stage.name.endswith(".dvc")} == {POOL}
    assert contents(far) == contents(serial)
    assert executables(far) == executables(serial)
    assert not any((pair / "attempts").iterdir()), "what is done with is removed"


def executables(root: Path) -> list[str]:
    """What DVC's stages have made that may be executed."""
    made = (
        path for name in ("out", "tool.sh", "m.json") for path in (root / name, *(root / name).rglob("*"))
    )
    return sorted(str(path.relative_to(root)) for path in made if path.is_file() and os.access(path, os.X_OK))


@pytest.mark.slow
@pytest.mark.timeout(1800)
@settings(max_examples=5, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(pipeline=pipelines(), seed=st.integers(0, 2**32))
def test_random_pipelines(pair: Path, pipeline: Pipeline, seed: int) -> None:
    dice, step = random.Random(seed), {}
    with tempfile.TemporaryDirectory() as name:
        shape = Shape("random", pipeline.files())
        serial, far = (make(Path(name, copy), shape, Path(name)) for copy in ("serial", "far"))
        set_pools(far, pair)
        for number in range(3):
            for root in (serial, far):
                there = {
                    path: text for path, text in step.items() if text is not None or (root / path).exists()
                }
                put(root, there, root)
                git(root, "add", "-A")
                git(root, "commit", "--allow-empty", "-m", "change")
            well = serial_repro(serial)
            report = run_elsewhere(RunOptions(repo=far, jobs=3), far)
            told = f"step {number} of {pipeline.files()['dvc.yaml']}\n{step}\n{report.errors}"
            assert report.well == well, told
            assert_as_planned(report)
            if not well:
                step = mend(pipeline)
                continue
            assert files(far) == files(serial), told  # each step is committed: git has nothing to say
            step = {**change(pipeline, dice, KINDS), **change(pipeline, dice, ["fail", "nothing"])}


WAITS = """\
stages:
  long:
    cmd: sh long.sh
    deps: [long.sh]
    outs: [long.txt]
    meta: {checkpoints: [long.ckpt], retries: 3}
  after:
    cmd: cat long.txt > after.txt
    deps: [long.txt]
    outs: [after.txt]
"""
# Goes on from its checkpoint; else it says that it has begun and waits until it may end.
LONG = """\
if [ -e long.ckpt ]; then echo "from $(cat long.ckpt)"; else
  trap 'echo half > long.ckpt; exit 143' TERM
  [ -z "$EARLY" ] || { echo early > new; mv new long.ckpt; }
  echo begun; while [ ! -e %s ]; do sleep 0.1; done
fi
echo made > long.txt
"""


class FarRun(threading.Thread):
    """A run whose stage `long` waits on a host until `gate` exists."""

    def __init__(self, folder: Path, *, lost_after: float = 600.0, more: str = "") -> None:
        super().__init__(daemon=True)
        self.gate = folder / "gate"
        shape = Shape("waits", {"dvc.yaml": WAITS, "long.sh": LONG % self.gate, ".gitignore": "/long.ckpt\n"})
        self.root = make(folder / "repo", shape, folder)
        set_pools(self.root, folder / "storage", lost_after=lost_after, more=more)
        (folder / "storage").mkdir(exist_ok=True)
        self.events: list[Event] = []
        self.options = RunOptions(repo=self.root)
        self.report = None

    def run(self) -> None:
        self.report = run_elsewhere(self.options, self.root, self.events.append)

    def lines(self) -> list[str]:
        return [getattr(event, "line", "") for event in list(self.events)]

    def wait_until_begun(self) -> str:
        """The name of the host where the stage waits."""
        assert wait_for(lambda: "begun" in self.lines(), 240), self.events
        return hosts_in(self.events, "long")[0]

    def end(self) -> None:
        self.join(280)
        assert not self.is_alive(), self.events


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_killed_host_is_noticed_and_its_stage_continues_elsewhere(tmp_path: Path) -> None:
    run = FarRun(tmp_path, lost_after=20)
    stored = tmp_path / "storage" / "attempts"
    with hosts(tmp_path, tmp_path / "storage", "one", "two", EARLY="1") as started:
        run.start()
        first = run.wait_until_begun()
        assert wait_for(lambda: list(stored.glob("*/checkpoints.json")), 240)
        started[first].process.kill()
        run.end()
    assert "from early" in run.lines()
    assert run.report is not None
    assert run.report.errors == ()
    assert (run.root / "after.txt").read_text() == "made\n"
    assert any(isinstance(event, StageAgain) and "lost" in event.reason for event in run.events)
    assert hosts_in(run.events, "long")[-1] != first


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_host_that_was_cut_off_is_refused_when_it_returns(tmp_path: Path) -> None:
    run = FarRun(tmp_path, lost_after=20)
    with hosts(tmp_path, tmp_path / "storage", "one", "two") as started:
        run.start()
        first = run.wait_until_begun()
        os.kill(started[first].process.pid, signal.SIGSTOP)
        assert wait_for(lambda: any(isinstance(event, StageAgain) for event in run.events), 240)
        run.gate.touch()  # both may end now; the one that was given up returns after the other
        run.end()
        os.kill(started[first].process.pid, signal.SIGCONT)
        started[first].wait_until_said("given up by its run")
        assert "long: attempt 1 handed in" not in started[first].said
    assert run.report is not None
    assert run.report.errors == ()
    assert run.report.outcomes() == {"long": Outcome.RAN, "after": Outcome.RAN}
    told = [entry for entry in journal_of(run.root, run.report.run) if entry.stage == "long"]
    (second,) = {"one", "two"} - {first}
    assert [(entry.attempt, entry.event, entry.host) for entry in told] == [
        (1, "submitted", ""),
        (1, "runs", first),
        (1, "lost", first),
        (2, "submitted", ""),
        (2, "runs", second),
        (2, "ok", second),
    ]
    assert told[2].why == f"host {first} was lost"
    assert [entry.time for entry in told] == sorted(entry.time for entry in told)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_host_that_is_shut_down_hands_its_checkpoint_on(tmp_path: Path) -> None:
    run = FarRun(tmp_path)
    with hosts(tmp_path, tmp_path / "storage", "one", "two") as started:
        run.start()
        first = run.wait_until_begun()
        started[first].process.terminate()
        run.end()
    assert run.report is not None
    assert run.report.errors == ()
    assert "from half" in run.lines()
    assert hosts_in(run.events, "long")[-1] != first


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_stop_of_the_run_ends_the_stage_on_its_host(tmp_path: Path) -> None:
    run = FarRun(tmp_path)
    with hosts(tmp_path, tmp_path / "storage", "one"):
        run.start()
        run.wait_until_begun()
        said = [one.describe() for one in stages_elsewhere(run.root)]
        assert said == [f"long runs on host one of pool {POOL}"]
        run.options.stop.set()
        run.end()
    assert run.report is not None
    assert run.report.outcomes() == {"long": Outcome.CANCELLED, "after": Outcome.CANCELLED}
    assert (run.root / "long.ckpt").read_text() == "half\n", "the next run goes on from there"
    assert stages_elsewhere(run.root) == ()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_run_that_was_killed_takes_its_stage_over_again(tmp_path: Path) -> None:
    run = FarRun(tmp_path)
    board = Board(FolderStorage(tmp_path / "storage"))
    with hosts(tmp_path, tmp_path / "storage", "one") as started:
        killed = subprocess.Popen(
            [sys.executable, "-m", "darkroom.cli.main", "run", "--no-record"], cwd=run.root
        )
        assert wait_for(lambda: any(seen.host for _, seen in board.under_way()), 240)
        killed.kill()
        killed.wait()
        run.start()
        run.wait_until_begun()
        run.gate.touch()
        run.end()
        assert started["one"].said.count("long: attempt 1 taken") == 1
    assert run.report is not None
    assert run.report.errors == ()


def journal_of(root: Path, run: str) -> list[AttemptLine]:
    return list(AttemptTable(logs_folder(root, run)).entries())


MANY = 100_000
MOVES = f"""\
stages:
  top: {{cmd: "head -c {MANY} /dev/zero | tr '\\\\0' a > top.txt", outs: [top.txt]}}
  left: {{cmd: tr a b < top.txt > left.txt, deps: [top.txt], outs: [left.txt]}}
  right: {{cmd: tr a c < top.txt > right.txt, deps: [top.txt], outs: [right.txt]}}
  join:
    cmd: mkdir join; cat left.txt right.txt data.txt > join/all.txt
    deps: [left.txt, right.txt, data.txt]
    outs: [join]
"""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_little_more_is_moved_than_must_be(tmp_path: Path) -> None:
    files = {"dvc.yaml": MOVES, "data.txt": "d" * MANY}
    root = make(tmp_path / "repo", Shape("moves", files, add=("data.txt",)), tmp_path)
    storage = tmp_path / "storage"
    set_pools(root, storage)
    with hosts(tmp_path, storage, "one"):
        report = run_elsewhere(RunOptions(repo=root), root)
    assert report.errors == ()
    ended = {entry.stage: entry for entry in journal_of(root, report.run) if entry.event == "ok"}
    # A stage's outs are stored and received once; the host has made all that it reads but the data, which is
    # sent and fetched once.
    least = {"top": 2 * MANY, "left": 2 * MANY, "right": 2 * MANY, "join": 2 * (3 + 1) * MANY}
    for stage, entry in ended.items():
        assert least[stage] <= entry.moved <= 1.2 * least[stage], entry
    assert ended["join"].fetched == ended["join"].sent == MANY
    lies = sum(path.stat().st_size for path in (storage / "files").rglob("*") if path.is_file())
    assert sum(entry.sent + entry.stored for entry in ended.values()) == lies


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_host_keeps_no_more_than_it_may(tmp_path: Path) -> None:
    files = {"dvc.yaml": MOVES, "data.txt": "d" * MANY}
    root = make(tmp_path / "repo", Shape("moves", files, add=("data.txt",)), tmp_path)
    set_pools(root, tmp_path / "storage", more=f"    cache: {4 * MANY}\n")
    with hosts(tmp_path, tmp_path / "storage", "one") as started:
        assert run_elsewhere(RunOptions(repo=root), root).errors == ()
        kept = [path for path in (started["one"].folder / "work/cache").rglob("*") if path.is_file()]
    # join makes three times MANY, last; of the four others of MANY each the host then keeps one at most.
    assert 3 * MANY <= sum(path.stat().st_size for path in kept) <= 4 * MANY


HUGE = """\
stages:
  huge: {cmd: echo 1 > o.txt, outs: [o.txt], meta: {resources: {memory: 9000TB}}}
"""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_stage_that_no_host_can_execute_says_so(tmp_path: Path) -> None:
    root = make(tmp_path / "repo", Shape("huge", {"dvc.yaml": HUGE}), tmp_path)
    set_pools(root, tmp_path / "storage")
    events: list[Event] = []
    options = RunOptions(repo=root)
    run = threading.Thread(target=run_elsewhere, args=(options, root, events.append))
    said = f"host one of pool {POOL} can never execute it: huge.meta.resources.memory: 9000000000000000 bytes"
    with hosts(tmp_path, tmp_path / "storage", "one") as started:
        run.start()
        told = wait_for(lambda: any(said in getattr(event, "line", "") for event in list(events)), 240)
        status = [one.describe() for one in stages_elsewhere(root)]
        options.stop.set()
        run.join()
    assert told, started["one"].said
    assert [f"huge waits for a host of pool {POOL}; {said}" in line for line in status] == [True]
    assert sum(said in getattr(event, "line", "") for event in events) == 1


def refused(root: Path, host: HostProcess | None = None) -> str:
    report = run_elsewhere(RunOptions(repo=root), root)
    assert not report.well
    return " ".join(report.errors)


@pytest.mark.slow
def test_a_host_puts_nothing_where_the_stage_makes_nothing(tmp_path: Path) -> None:
    stage = "stages:\n  a:\n    cmd: echo a > a\n    outs: [a]\n"
    root = make(tmp_path / "far", Shape("one", {"dvc.yaml": stage}), tmp_path)
    storage = tmp_path / "storage"
    storage.mkdir()
    set_pools(root, storage)
    (tmp_path / "made").write_text("a\n")

    def lie() -> None:
        board = Board(FolderStorage(storage))
        assert wait_for(lambda: board.offered(POOL), 240)
        (token,) = board.offered(POOL)
        assert board.claim(token, "liar")
        blob = BlobStore.in_folder(storage).put(tmp_path / "made")
        outs = dict.fromkeys(("a", "../outside", ".git/hooks/post-commit", "dvc.yaml"), blob)
        well = StageResult(ending=Ending.OK, seconds=0.1)
        assert board.hand_in(Record(token=token, host="liar", result=well, outs=outs))

    liar = threading.Thread(target=lie)
    liar.start()
    report = run_elsewhere(RunOptions(repo=root), root)
    liar.join()
    assert report.outcomes() == {"a": Outcome.RAN}
    assert (root / "a").read_text() == "a\n"
    assert (root / "dvc.yaml").read_text() == stage
    assert not (tmp_path / "far/outside").exists()
    assert not (tmp_path / "outside").exists()
    assert not (root / ".git/hooks/post-commit").exists()


def test_what_is_not_committed_is_refused_before_anything_runs(tmp_path: Path) -> None:
    root = make(tmp_path / "repo", Shape("d", {"dvc.yaml": DIAMOND, "in.txt": "in\n"}), tmp_path)
    set_pools(root, tmp_path / "storage")
    (root / "in.txt").write_text("other\n")
    with pytest.raises(UsageError, match=r"^in.txt: not committed, and top is to run on another host"):
        run_elsewhere(RunOptions(repo=root), root)
    git(root, "checkout", "in.txt")
    (root / "new.py").write_text("")
    with pytest.raises(UsageError, match=r"^new.py: not committed"):
        run_elsewhere(RunOptions(repo=root), root)


@pytest.mark.slow
def test_a_host_with_other_vector_units_refuses_what_depends_on_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "stages:\n  one: {cmd: echo 1 > o.txt, outs: [o.txt], meta: {same_processor: true}}\n"
    root = make(tmp_path / "repo", Shape("one", {"dvc.yaml": text}), tmp_path)
    set_pools(root, tmp_path / "storage")
    with hosts(tmp_path, tmp_path / "storage", "one"):
        with monkeypatch.context() as patch:
            others = (*vector_units(), "avx9_bf16")
            patch.setattr("darkroom.remote.executor.vector_units", lambda: others)
            assert "host one lacks avx9_bf16, unlike the host that planned" in refused(root)
        assert run_elsewhere(RunOptions(repo=root), root).well
