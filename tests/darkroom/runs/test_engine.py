"""Failures, stops, options: what a run leaves behind, beside what serial `dvc repro` leaves."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from dvc.repo import Repo
from dvc.utils.serialize import parse_yaml

from darkroom.base.errors import MetaError, RepoError, UsageError
from darkroom.base.roots import root_of
from darkroom.runs.engine import make_plan, run_pipeline
from darkroom.runs.report import RunOptions, RunReport
from darkroom.schedule.events import (
    Event,
    Outcome,
    RunFinished,
    RunStarted,
    StageFinished,
    StageLine,
    StageStarted,
)
from tests.darkroom.repositories import contents, files, git, make, put, serial_repro
from tests.darkroom.runs.test_equality import assert_as_planned
from tests.darkroom.shapes import CHAIN, PARAMS_MADE, SHAPES, Shape
from tests.places import ROOT

# Serial order: a, fails, b, c, after, z. `z` is done long before `a` when both start at once.
FAILING = """\
stages:
  a:
    cmd: sleep 0.4; cat in.txt > a.txt
    deps: [in.txt]
    outs: [a.txt]
  fails:
    cmd: cat in.txt > f.txt; sh step.sh
    deps: [in.txt, step.sh]
    outs: [f.txt]
  after:
    cmd: cat f.txt c.txt > after.txt
    deps: [f.txt, c.txt]
    outs: [after.txt]
  b:
    cmd: cat a.txt > b.txt
    deps: [a.txt]
    outs: [b.txt]
  c:
    cmd: cat b.txt > c.txt
    deps: [b.txt]
    outs: [c.txt]
  z:
    cmd: echo z > z.txt
    deps: [in.txt]
    outs: [z.txt]
"""
CHAIN_OF_TWO = Shape(
    "two",
    {
        "dvc.yaml": """\
stages:
  first: {cmd: echo 1 > first.txt, outs: [first.txt]}
  after: {cmd: cat first.txt > after.txt, deps: [first.txt], outs: [after.txt]}
"""
    },
)
FILES = {"dvc.yaml": FAILING, "in.txt": "1\n", "step.sh": "sleep 0.1; exit 3\n"}


def two_copies(tmp_path: Path, files: dict[str, str | None]) -> tuple[Path, Path]:
    shape = Shape("two", files)
    serial, parallel = (make(tmp_path / name, shape, tmp_path) for name in ("serial", "parallel"))
    return serial, parallel


def run(root: Path, **options: Any) -> RunReport:
    return run_pipeline(RunOptions(repo=root, **{"jobs": 4, **options}))


@pytest.mark.slow
def test_keep_going_leaves_what_a_serial_run_leaves(tmp_path: Path) -> None:
    serial, parallel = two_copies(tmp_path, FILES)
    assert not serial_repro(serial, on_error="keep-going")
    report = run(parallel, keep_going=True)
    assert report.outcomes() == {
        "a": "ran",
        "fails": "failed",
        "b": "ran",
        "c": "ran",
        "after": "blocked",
        "z": "ran",
    }
    assert report.errors == ("fails: failed with exit code 3",)
    assert contents(parallel) == contents(serial)


def test_a_failure_leaves_what_a_serial_run_had_reached_and_what_ran_beside_it(tmp_path: Path) -> None:
    serial, parallel = two_copies(tmp_path, FILES)
    assert not serial_repro(serial)
    report = run(parallel)
    outcomes = report.outcomes()
    assert (outcomes["a"], outcomes["fails"], outcomes["after"]) == ("ran", "failed", "blocked")
    assert not report.well
    assert (parallel / "dvc.lock").read_bytes() == (serial / "dvc.lock").read_bytes()
    assert (parallel / ".gitignore").read_text().startswith((serial / ".gitignore").read_text())


@pytest.mark.slow
@pytest.mark.parametrize("keep_going", [False, True])
def test_mended_after_a_failure_it_ends_as_a_serial_run(tmp_path: Path, keep_going: bool) -> None:
    serial, parallel = two_copies(tmp_path, FILES)
    mended = {"step.sh": "true\n"}
    first = run(parallel, keep_going=keep_going)
    serial_repro(serial, on_error="keep-going" if keep_going else "fail")
    for root in (serial, parallel):
        put(root, mended, tmp_path)
    assert serial_repro(serial)
    second = run(parallel)
    assert second.well
    assert all(
        second.stages[name].outcome is Outcome.SKIPPED
        for name, outcome in first.outcomes().items()
        if outcome is Outcome.RAN
    )
    assert contents(parallel) == contents(serial)
    assert not (parallel / ".darkroom/ahead.jsonl").exists()


def assert_refused(report: RunReport, start: str) -> None:
    """Whether it can be told who changed the dep is up to the host."""
    (error,) = report.errors
    assert error.startswith(start)
    assert ": not recorded, run again" in error


def test_a_dep_edited_while_its_stage_runs_is_noticed(tmp_path: Path) -> None:
    pipeline = """\
stages:
  slow:
    cmd: cat in.txt > out.txt; echo go; sleep 0.5
    deps: [in.txt]
    outs: [out.txt]
  next:
    cmd: cat out.txt > next.txt
    deps: [out.txt]
    outs: [next.txt]
"""
    root = make(tmp_path / "r", Shape("edited", {"dvc.yaml": pipeline, "in.txt": "1\n"}), tmp_path)

    def edit(event: Event) -> None:
        if isinstance(event, StageLine):
            (root / "in.txt").write_text("edited\n")

    report = run_pipeline(RunOptions(repo=root, jobs=2), observe=edit)
    assert_refused(report, "slow: in.txt changed while it ran")
    assert report.outcomes() == {"slow": "failed", "next": "blocked"}
    assert not (root / "dvc.lock").exists()
    assert run(root).well
    assert (root / "next.txt").read_text() == "edited\n"


READS_A_FOLDER = """\
stages:
  make: {cmd: 'mkdir -p made; cat in.txt > made/x; echo made > made/y', deps: [in.txt], outs: [made]}
  left: {cmd: 'mkdir -p work; cat in.txt > work/left.txt', deps: [in.txt], outs: [work/left.txt]}
  right: {cmd: 'mkdir -p work; cat in.txt > work/right.txt', deps: [in.txt], outs: [work/right.txt]}
  reads:
    cmd: cat FOLDER/* > out.txt; echo go; while [ ! -e ../edited ]; do sleep .02; done
    deps: [FOLDER]
    outs: [out.txt]
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "edited",
    [
        pytest.param("data/added/a", id="of a .dvc file"),
        pytest.param("made/x", id="made by a stage"),
        pytest.param("raw/a", id="ignored by hand"),
        pytest.param("kept/a", id="ignored but for its place"),
        pytest.param("work/left.txt", id="parent of outs"),
        pytest.param("work/new.txt", id="new beside outs"),
    ],
)
def test_data_edited_in_a_folder_that_git_ignores_is_noticed(tmp_path: Path, edited: str) -> None:
    folder = os.path.dirname(edited)  # noqa: PTH120  (as dvc.yaml has it)
    files = {
        "dvc.yaml": READS_A_FOLDER.replace("FOLDER", folder),
        ".gitignore": "/raw\nkept/*\n!kept/.gitkeep\nwork/new.txt\n",
        "kept/.gitkeep": "",
        **dict.fromkeys(("in.txt", "data/added/a", "raw/a", "kept/a"), "1\n"),
    }
    root = make(tmp_path / "r", Shape("folder", files, add=("data/added",)), tmp_path)

    def edit(event: Event) -> None:
        if isinstance(event, StageLine):
            put(root, {edited: "edited\n"}, tmp_path)
            (tmp_path / "edited").touch()

    report = run_pipeline(RunOptions(repo=root, targets=("reads",), jobs=2), observe=edit)
    assert_refused(report, f"reads: {edited} changed while it ran")
    assert "reads" not in contents(root).get("dvc.lock", "")


def test_what_a_command_compiles_or_git_ignores_in_a_folder_dep_is_no_edit(tmp_path: Path) -> None:
    pipeline = """\
stages:
  s:
    cmd: mkdir -p src/__pycache__; echo x > src/__pycache__/a.pyc; echo l > src/run.log; echo o > own.txt
    deps: [src]
    outs: [own.txt]
"""
    files = {"dvc.yaml": pipeline, "src/a.py": "1\n", "src/.gitignore": "*.log\n"}
    serial, parallel = two_copies(tmp_path, files)
    assert serial_repro(serial)
    assert run(parallel).well
    assert contents(parallel) == contents(serial)


# What DVCLive does: reads dvc.yaml, adds its plots, writes it in place. Here both have read it before one
# writes, and while the first has written half of it another stage ends and is recorded.
LIVE = """
import sys, time
from pathlib import Path
from ruamel.yaml import YAML

def tell(name):
    Path(".dvc/tmp", name).touch()

def wait(there):
    while not (there() or Path(".dvc/tmp/serial").exists()):
        time.sleep(0.02)

def told(name):
    return lambda: Path(".dvc/tmp", name).exists()

def noted(name):
    notes = Path(".darkroom/ahead.jsonl")
    return lambda: notes.exists() and name in notes.read_text()

name, other = sys.argv[1:]
file = Path("dvc.yaml")
held = YAML().load(file)
tell(f"{name} has read")
wait(told(f"{other} has read"))
held.setdefault("plots", []).append({f"{name}.tsv": {"x": "step"}})
if name == "second":
    wait(told("first has written"))
with file.open("w") as out:
    YAML().dump(held, out)
if name == "first":
    text = file.read_text()
    file.write_text(text[: len(text) // 2])
    tell("half is written")
    wait(noted("quick"))
    file.write_text(text)
tell(f"{name} has written")
Path(f"{name}.tsv").write_text(f"step\\tloss\\n0\\t{len(name)}\\n")
"""
REWRITING = f"""\
stages:
  first:
    cmd: {sys.executable} live.py first second
    deps: [in.txt, live.py]
    outs: [first.tsv]
    meta: {{timeout: 60}}
  second:
    cmd: {sys.executable} live.py second first
    deps: [in.txt, live.py]
    outs: [second.tsv]
    meta: {{timeout: 60}}
  quick:
    cmd: |
      until [ -e '.dvc/tmp/half is written' ] || [ -e .dvc/tmp/serial ]; do sleep 0.02; done
      echo quick > quick.txt
    deps: [in.txt]
    outs: [quick.txt]
  join:
    foreach: [first, second]
    do:
      cmd: cat ${{item}}.tsv quick.txt > ${{item}}.txt
      deps: ["${{item}}.tsv", quick.txt]
      outs: ["${{item}}.txt"]
"""


@pytest.mark.slow
def test_stages_that_rewrite_dvc_yaml_as_dvclive_does_do_no_harm(tmp_path: Path) -> None:
    serial, parallel = two_copies(tmp_path, {"dvc.yaml": REWRITING, "live.py": LIVE, "in.txt": "1\n"})
    (serial / ".dvc/tmp/serial").touch()
    assert serial_repro(serial)
    report = run(parallel)
    assert report.errors == ()
    assert set(report.outcomes().values()) == {Outcome.RAN}

    found = {}
    for root in (serial, parallel):
        with contextlib.closing(Repo(str(root))) as repo:
            found[root] = {stage.addressing.rpartition(":")[2] for stage in repo.index.stages}
    assert found[parallel] == found[serial] == set(report.outcomes())
    plots = parse_yaml((parallel / "dvc.yaml").read_text(), "")["plots"]
    assert plots == [{"second.tsv": {"x": "step"}}]  # the first one's are lost: that is DVCLive's own doing

    ours, theirs = contents(parallel), contents(serial)
    assert ours.pop("dvc.yaml") != theirs.pop("dvc.yaml")
    assert ours == theirs
    assert set(run(parallel).outcomes().values()) == {Outcome.SKIPPED}
    assert serial_repro(parallel)
    assert contents(parallel)["dvc.lock"] == theirs["dvc.lock"]


def test_events_tell_the_run_as_it_goes(tmp_path: Path) -> None:
    files = {"dvc.yaml": CHAIN.replace("echo b", "echo said >&2; echo b"), "in.txt": "1\n"}
    root = make(tmp_path / "r", Shape("events", files), tmp_path)
    events: list[Event] = []
    report = run_pipeline(RunOptions(repo=root, jobs=2), observe=events.append)
    assert isinstance(events[0], RunStarted)
    assert isinstance(events[-1], RunFinished)
    told = [(type(event), event.stage) for event in events[1:-1] if hasattr(event, "stage")]
    assert told == [
        (StageStarted, "a"),
        (StageFinished, "a"),
        (StageStarted, "b"),
        (StageLine, "b"),
        (StageFinished, "b"),
        (StageStarted, "c"),
        (StageFinished, "c"),
    ]
    assert (root / ".darkroom/logs" / report.run / "b.log").read_text() == "said\n"


def test_each_stage_has_a_log_of_its_own(tmp_path: Path) -> None:
    """Also where names differ in a slash alone, hold what it is written as, or are long and begin alike."""
    long = "x" * 180
    names = ["a/b", "a_b", "a@b/c", "a@b%2Fc", f"m@{long}-{long}1", f"m@{long}-{long}2"]
    stages = {
        "a/b": {"cmd": "echo a/b; sleep 0.1; echo a/b"},
        "a_b": {"cmd": "echo a_b; sleep 0.1; echo a_b"},
        "a": {"foreach": ["b/c", "b%2Fc"], "do": {"cmd": "echo a@${item}; echo a@${item}"}},
        "m": {
            "matrix": {"a": [long], "b": [f"{long}1", f"{long}2"]},
            "cmd": "echo m@${item.a}-${item.b}; echo m@${item.a}-${item.b}",
        },
    }
    root = make(tmp_path / "r", Shape("names", {"dvc.yaml": json.dumps({"stages": stages})}), tmp_path)
    report = run(root)
    assert report.well
    logs = {path.name: path.read_text() for path in (root / ".darkroom/logs" / report.run).iterdir()}
    assert sorted(logs.values()) == sorted(f"{name}\n{name}\n" for name in names)
    assert set(logs) > {"a%2Fb.log", "a_b.log", "a@b%2Fc.log", "a@b%252Fc.log"}


def test_stopping_keeps_what_is_done_and_goes_on_from_there(tmp_path: Path) -> None:
    pipeline = CHAIN.replace("echo b", "echo now; sleep 1000; echo b")
    serial, parallel = two_copies(tmp_path, {"dvc.yaml": pipeline, "in.txt": "1\n"})
    stop = threading.Event()

    def on_line(event: Event) -> None:
        if isinstance(event, StageLine):
            stop.set()

    report = run_pipeline(RunOptions(repo=parallel, jobs=2, stop=stop), observe=on_line)
    assert report.outcomes() == {"a": "ran", "b": "cancelled", "c": "cancelled"}
    for root in (serial, parallel):
        put(root, {"dvc.yaml": CHAIN}, tmp_path)
    serial_repro(serial)
    assert run(parallel).outcomes() == {"a": "skipped", "b": "ran", "c": "ran"}
    assert contents(parallel) == contents(serial)


@pytest.mark.slow
def test_options_mean_what_they_mean_to_dvc(tmp_path: Path) -> None:
    serial, parallel = two_copies(tmp_path, {"dvc.yaml": CHAIN, "in.txt": "1\n"})
    for options in (
        {"targets": ["b"]},
        {"targets": ["a"], "downstream": True},
        {"force": True},
        {"targets": ["c"], "single_item": True, "force": True},
        {"no_commit": True, "force": True},
    ):
        for root in (serial, parallel):
            put(root, {"in.txt": f"{options}\n"}, tmp_path)
        assert serial_repro(serial, **options)
        assert run(parallel, **{**options, "targets": tuple(options.get("targets", ()))}).well
        assert contents(parallel) == contents(serial), options


def test_a_dry_run_changes_nothing(tmp_path: Path) -> None:
    root = make(tmp_path / "r", Shape("dry", {"dvc.yaml": CHAIN, "in.txt": "1\n"}), tmp_path)
    before = contents(root)
    report = run(root, dry=True)
    assert [stage.action for stage in report.plan.stages] == ["run", "run", "run"]
    assert contents(root) == before


def test_what_cannot_be_started_says_why_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(RepoError, match="not inside of a DVC repository"):
        run(tmp_path)
    meta = CHAIN.replace("outs: [a.txt]", "outs: [a.txt]\n    meta: {resources: {cpus: 2}}")
    root = make(tmp_path / "r", Shape("wrong", {"dvc.yaml": meta, "in.txt": "1\n"}), tmp_path)
    with pytest.raises(
        MetaError, match=r"^dvc.yaml: a.meta.resources.cpus: unknown key; did you mean 'cpu'\?$"
    ):
        run(root)
    put(root, {"dvc.yaml": CHAIN}, tmp_path)
    with pytest.raises(UsageError, match="nowhere"):
        run(root, targets=("nowhere",))


def test_threads_are_shared_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    pipeline = "stages:\n" + "".join(
        f"  t{n}:\n    outs: [t{n}.txt]\n"
        f"    cmd: echo $OMP_NUM_THREADS $MKL_NUM_THREADS $DVC_STAGE > t{n}.txt\n"
        + ("    meta: {resources: {cpu: 1}}\n" if n else "")
        for n in range(2)
    )
    root = make(tmp_path / "r", Shape("threads", {"dvc.yaml": pipeline}), tmp_path)
    assert run(root, jobs=1000).well
    share = max(1, len(os.sched_getaffinity(0)) // 2)
    assert (root / "t0.txt").read_text() == f"{share} {share} t0\n"
    assert (root / "t1.txt").read_text() == "1 1 t1\n"
    assert json.loads((root / ".darkroom/history.jsonl").read_text().splitlines()[0])["stage"] in ("t0", "t1")


ALONE = """\
stages:
  alone:
    cmd: >-
      if [ -e ../running ]; then echo overlap >> ../overlaps; fi; touch ../running; echo ready; sleep 1.5;
      rm ../running; cat in.txt > out.txt
    deps: [in.txt]
    outs: [out.txt]
"""


@pytest.mark.slow
def test_a_plain_dvc_repro_beside_it_never_runs_the_same_stage_at_the_same_time(tmp_path: Path) -> None:
    root = make(tmp_path / "r", Shape("alone", {"dvc.yaml": ALONE, "in.txt": "1\n"}), tmp_path)
    others: list[subprocess.CompletedProcess[str]] = []

    def beside(event: Event) -> None:
        if isinstance(event, StageLine):
            command = [sys.executable, "-m", "dvc", "repro"]
            others.append(subprocess.run(command, cwd=root, capture_output=True, text=True, check=False))

    assert run_pipeline(RunOptions(repo=root), observe=beside).well
    assert others[0].returncode != 0
    assert "is busy" in others[0].stderr
    assert not (tmp_path / "overlaps").exists()


@pytest.mark.slow
def test_it_waits_for_a_plain_dvc_repro_that_runs_the_same_stage(tmp_path: Path) -> None:
    root = make(tmp_path / "r", Shape("alone", {"dvc.yaml": ALONE, "in.txt": "1\n"}), tmp_path)
    other = subprocess.Popen([sys.executable, "-m", "dvc", "repro", "-q"], cwd=root)
    while not (tmp_path / "running").exists():
        assert other.poll() is None
        time.sleep(0.05)
    report = run(root)
    assert other.wait() == 0
    assert report.well
    assert not (tmp_path / "overlaps").exists()


def test_in_a_subfolder_its_own_dvc_yaml_is_meant(tmp_path: Path) -> None:
    shape = next(shape for shape in SHAPES if shape.name == "several")
    serial, parallel = (make(tmp_path / name, shape, tmp_path) for name in ("serial", "parallel"))
    assert serial_repro(serial / "sub")
    assert run(parallel / "sub").outcomes() == {"sub/dvc.yaml:prep": "ran", "sub/dvc.yaml:alone": "ran"}
    assert contents(parallel) == contents(serial)


@pytest.mark.slow
def test_behind_a_link_it_is_the_same_repository(tmp_path: Path) -> None:
    shape = next(shape for shape in SHAPES if shape.name == "several")
    serial, parallel = (make(tmp_path / name, shape, tmp_path) for name in ("serial", "parallel"))
    link, inner = tmp_path / "link", tmp_path / "inner"
    link.symlink_to(parallel)
    inner.symlink_to(parallel / "sub")
    assert serial_repro(serial / "sub")
    assert run(inner).outcomes() == {"sub/dvc.yaml:prep": "ran", "sub/dvc.yaml:alone": "ran"}
    assert serial_repro(serial)
    assert planned(link)["sub/dvc.yaml:prep"] == "skip"
    assert run(link).well
    assert set(run(inner, targets=("alone",)).outcomes().values()) == {"skipped"}
    assert root_of(inner) == parallel
    assert contents(parallel) == contents(serial)


def test_without_git(tmp_path: Path) -> None:
    for name in ("serial", "parallel"):
        (tmp_path / name).mkdir()
        Repo.init(str(tmp_path / name), no_scm=True).close()
        put(tmp_path / name, {"dvc.yaml": CHAIN, "in.txt": "1\n"}, tmp_path)
    assert serial_repro(tmp_path / "serial")
    assert run(tmp_path / "parallel").well
    assert files(tmp_path / "parallel") == files(tmp_path / "serial")


@pytest.mark.slow
def test_imports_are_nodes_too(tmp_path: Path) -> None:
    far = tmp_path / "far.txt"
    far.write_text("far\n")
    pipeline = CHAIN.replace("in.txt", "near.txt")
    serial, parallel = two_copies(tmp_path, {"dvc.yaml": pipeline})
    for root in (serial, parallel):
        with contextlib.chdir(root), contextlib.closing(Repo(str(root))) as repo:
            repo.imp_url(str(far), "near.txt")
    for text in ("further\n", "furthest\n"):
        far.write_text(text)
        for root in (serial, parallel):
            with contextlib.chdir(root), contextlib.closing(Repo(str(root))) as repo:
                repo.unfreeze("near.txt.dvc")
        assert serial_repro(serial)
        report = run(parallel)
        assert report.well
        assert report.stages["near.txt.dvc"].outcome is Outcome.RAN
        assert_as_planned(report)  # what comes is not known before
        assert contents(parallel) == contents(serial)


KILLED = """
import sys
from pathlib import Path
from darkroom.schedule.events import StageFinished
from darkroom.runs.engine import RunOptions, run_pipeline

def tell(event):
    if isinstance(event, StageFinished):
        print(event.stage, flush=True)

run_pipeline(RunOptions(repo=Path(sys.argv[1]), jobs=4), observe=tell)
"""


@pytest.mark.slow
@pytest.mark.parametrize("finished", [1, 2, 4, 6])
def test_after_a_kill_the_next_run_goes_on_and_ends_as_a_serial_one(tmp_path: Path, finished: int) -> None:
    shape = next(shape for shape in SHAPES if shape.name == "wide")
    serial, parallel = (make(tmp_path / name, shape, tmp_path) for name in ("serial", "parallel"))
    here = ROOT
    command = [sys.executable, "-c", KILLED, str(parallel)]
    with subprocess.Popen(command, cwd=here, stdout=subprocess.PIPE, text=True) as killed:
        assert killed.stdout is not None
        done = [killed.stdout.readline().strip() for _ in range(finished)]
        killed.kill()
    assert serial_repro(serial)
    report = run(parallel)
    assert report.errors == ()
    assert {report.outcomes()[name] for name in done} == {Outcome.SKIPPED}
    assert contents(parallel) == contents(serial)


def test_a_dep_that_nobody_made_yet_is_one_line_with_its_mend(tmp_path: Path) -> None:
    root = make(tmp_path / "repo", CHAIN_OF_TWO, tmp_path)
    report = run_pipeline(RunOptions(repo=root, targets=("after",), single_item=True))
    assert report.errors == ("after: first.txt: no such file; run the stage that makes it first: first",)
    assert not (root / "dvc.lock").exists()


def test_a_param_that_dvc_cannot_record_fails_its_stage_alone(tmp_path: Path) -> None:
    pipeline = """\
stages:
  dated: {cmd: echo 1 > 1.txt, params: [{other.yaml: [day]}], outs: [1.txt]}
  plain: {cmd: echo 2 > 2.txt, params: [{other.yaml: [n]}], outs: [2.txt]}
"""
    shape = Shape("dated", {"dvc.yaml": pipeline, "other.yaml": "day: 2020-01-01\nn: 1\n"})
    serial, parallel = (make(tmp_path / name, shape, tmp_path) for name in ("serial", "parallel"))
    assert planned(parallel) == {"dated": "run", "plain": "run"}
    assert not serial_repro(serial, on_error="keep-going")
    report = run(parallel, keep_going=True)
    assert report.outcomes() == {"dated": "failed", "plain": "ran"}
    assert report.errors == ("dated: DVC fails: TypeError: Object of type date is not JSON serializable",)
    assert contents(parallel) == contents(serial)


@pytest.mark.slow
def test_what_cannot_be_read_is_judged_again_at_its_stages_turn(tmp_path: Path) -> None:
    """Params that a stage makes may be made anew by then; broken ones of the user fail their stage alone."""
    own = "  own: {cmd: echo 1 > own.txt, params: [{own.yaml: [k]}], outs: [own.txt]}\n"
    serial, parallel = two_copies(
        tmp_path,
        {"dvc.yaml": PARAMS_MADE + own, "in.txt": "x: 1\n", "other.txt": "o\n", "own.yaml": "k: 1\n"},
    )
    for changed in (
        {},
        {"gen.yaml": "x: [1\n", "own.yaml": "k: [1\n"},
        {"in.txt": "x: 2\n", "gen.yaml": "x: [1"},
    ):
        for root in (serial, parallel):
            put(root, changed, tmp_path)
        well = serial_repro(serial, on_error="keep-going")
        report = run(parallel, keep_going=True)
        assert report.well == well
        assert contents(parallel) == contents(serial)
    reasons = {stage.name: stage.reasons for stage in report.plan.stages}
    assert reasons["gen"] == ("out gen.yaml: modified", "dep in.txt: modified")
    assert reasons["use"] == ("depends on what gen will produce",)
    assert reasons["own"][0].startswith("dep own.yaml: cannot be read: line 2: cannot be parsed: ")
    assert report.outcomes() == {"gen": "ran", "use": "ran", "whole": "ran", "own": "failed"}
    assert report.errors[0].startswith("own: own.yaml, line 2: cannot be parsed: ")


def with_remote(root: Path, remote: Path) -> None:
    with contextlib.closing(Repo(str(root))) as repo, repo.config.edit("repo") as config:
        config["remote"]["kept"] = {"url": str(remote)}
        config["core"]["remote"] = "kept"
    git(root, "commit", "-am", "remote")


def planned(root: Path, **options: Any) -> dict[str, str]:
    plan = make_plan(RunOptions(repo=root, **options))
    return {stage.name: stage.action.value for stage in plan.stages}


def push(root: Path) -> None:
    with contextlib.chdir(root), contextlib.closing(Repo(str(root))) as repo:
        repo.push(run_cache=True)


@pytest.mark.slow
def test_pull_fetches_the_remotes_run_cache_instead_of_running(tmp_path: Path) -> None:
    outside = tmp_path / "executed"
    commands = {
        "first": f"echo 1 | tee -a {outside} > first.txt",
        "after": f"cat first.txt | tee -a {outside} > after.txt",
    }
    stages = {
        "first": {"cmd": commands["first"], "deps": ["in.txt"], "outs": ["first.txt"]},
        "after": {"cmd": commands["after"], "deps": ["first.txt"], "outs": ["after.txt"]},
    }
    shape = Shape("pull", {"dvc.yaml": json.dumps({"stages": stages}), "in.txt": "1\n"})
    origin = make(tmp_path / "origin", shape, tmp_path)
    with_remote(origin, tmp_path / "remote")
    for name in ("serial", "parallel"):
        git(tmp_path, "clone", str(origin), name)
    serial_repro(origin)
    push(origin)
    executed = outside.read_text()
    assert planned(tmp_path / "parallel") == {"first": "run", "after": "run"}
    assert planned(tmp_path / "parallel", pull=True) == {"first": "restore", "after": "restore"}

    report = run_pipeline(RunOptions(repo=tmp_path / "parallel", pull=True))
    assert report.outcomes() == {"first": Outcome.RESTORED, "after": Outcome.RESTORED}
    assert outside.read_text() == executed
    serial_repro(tmp_path / "serial", pull=True)
    assert contents(tmp_path / "parallel") == contents(tmp_path / "serial")


@pytest.mark.slow
def test_pull_fetches_what_is_missing_alone_and_the_plan_foresees_it(tmp_path: Path) -> None:
    stages = {
        "first": {"cmd": "cp raw.txt first.txt", "deps": ["raw.txt"], "outs": ["first.txt"]},
        "folder": {"cmd": "mkdir d; cp first.txt d/", "deps": ["first.txt"], "outs": ["d"]},
        "unpushed": {"cmd": "cp in.txt own.txt", "deps": ["in.txt"], "outs": [{"own.txt": {"push": False}}]},
    }
    files = {"dvc.yaml": json.dumps({"stages": stages}), "in.txt": "1\n"}
    origin = make(tmp_path / "origin", Shape("missing", files), tmp_path)
    (origin / "raw.txt").write_text("raw\n")
    with contextlib.chdir(origin), contextlib.closing(Repo(str(origin))) as repo:
        repo.add("raw.txt")
    serial_repro(origin)
    git(origin, "add", "-A")
    with_remote(origin, tmp_path / "remote")
    push(origin)
    for name in ("serial", "parallel"):
        git(tmp_path, "clone", str(origin), name)

    parallel = tmp_path / "parallel"
    foreseen = planned(parallel, pull=True)
    assert foreseen == dict.fromkeys(["raw.txt.dvc", "first", "folder"], "restore") | {"unpushed": "run"}
    outcomes = run_pipeline(RunOptions(repo=parallel, pull=True)).outcomes()
    assert outcomes.pop("unpushed") is Outcome.RAN
    assert set(outcomes.values()) == {Outcome.RESTORED}
    serial_repro(tmp_path / "serial", pull=True)
    assert contents(parallel) == contents(tmp_path / "serial")
    assert planned(parallel, pull=True) == dict.fromkeys(foreseen, "skip")


PIPED = """
import sys
from pathlib import Path
from darkroom.runs.engine import RunOptions, run_pipeline

report = run_pipeline(RunOptions(repo=Path(sys.argv[1]), targets=tuple(sys.argv[2:])))
sys.exit(not report.well)
"""


@pytest.mark.slow
def test_a_stage_that_runs_alone_reads_what_the_run_is_given(tmp_path: Path) -> None:
    reading = "stages:\n  a: {cmd: [head -n 1 > a, cat >> a], outs: [a]}\n"
    reading += "  b: {cmd: cat > b, outs: [b]}\n"
    root = make(tmp_path / "r", Shape("piped", {"dvc.yaml": reading, "given": "1\n2\n"}), tmp_path)
    here = ROOT

    def run_with(stdin: Any, *targets: str) -> None:
        command = [sys.executable, "-c", PIPED, str(root), *targets]
        subprocess.run(command, cwd=here, stdin=stdin, check=True)

    with (root / "given").open() as given:
        run_with(given)
    assert [(root / name).read_text() for name in "ab"] == ["", ""]
    with (root / "given").open() as given:
        (root / "a").unlink()
        (root / "dvc.yaml").write_text(reading.replace("cat >> a", "cat  >> a"))
        run_with(given, "a")
    assert (root / "a").read_text() == "1\n2\n"
    (root / "dvc.yaml").write_text(reading.replace("cat > b", "cat  > b"))
    run_with(subprocess.DEVNULL, "b")
    assert (root / "b").read_text() == ""
