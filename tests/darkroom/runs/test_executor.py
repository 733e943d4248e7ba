"""Stages executed elsewhere, by an executor that is handed in: what a run does is the same."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from darkroom.base.errors import MetaError
from darkroom.runs.engine import make_plan, run_pipeline
from darkroom.runs.report import RunOptions
from darkroom.schedule import attempts as retry_policy
from darkroom.schedule.events import Event, Outcome, StageAgain, StageFinished, StageLine, StageStarted
from tests.darkroom.repositories import contents, make, serial_repro
from tests.darkroom.runs.elsewhere import Elsewhere
from tests.darkroom.shapes import Shape
from tests.darkroom.waiting import alive, wait_for

PIPELINE = """\
stages:
  before:
    cmd: [cat in.txt > before.txt, echo said]
    deps: [in.txt]
    outs: [before.txt]
  beside:
    cmd: cat in.txt > beside.txt
    deps: [in.txt]
    outs: [beside.txt]
  step:
    cmd: sh step.sh
    deps: [before.txt]
    outs: [out.txt]
    meta: {retries: 2, resources: {gpu: 1, gpu_required: true}}
  after:
    cmd: cat out.txt beside.txt > after.txt
    deps: [out.txt, beside.txt]
    outs: [after.txt]
"""
ALL = dict.fromkeys(("before", "beside", "step", "after"), Outcome.RAN)
KILLED_TWICE = (
    "echo half > out.txt; echo >> {outside}/attempts\n"
    "[ $(wc -l < {outside}/attempts) -gt 2 ] || kill -9 $$\n"
    "echo whole > out.txt\n"
)
WAITS = "echo $$ > {outside}/pid; while [ -e in.txt ]; do sleep 0.1; done\n"


def repository(folder: Path, outside: Path, step: str) -> Path:
    files = {"dvc.yaml": PIPELINE, "in.txt": "1\n", "step.sh": step}
    return make(folder, Shape("elsewhere", dict(files)), outside)


@pytest.fixture(autouse=True)
def _no_gpus_and_no_long_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DARKROOM_GPUS", "")
    monkeypatch.setattr(retry_policy, "FIRST_WAIT_SECONDS", 0.1)


@pytest.mark.slow
def test_it_executes_every_stage_and_the_run_ends_as_a_serial_one(tmp_path: Path) -> None:
    serial, parallel = (
        repository(tmp_path / name, tmp_path, "echo whole > out.txt\n") for name in ("serial", "parallel")
    )
    assert serial_repro(serial)
    executor, events = Elsewhere(), list[Event]()
    assert run_pipeline(RunOptions(repo=parallel), executor=executor, observe=events.append).outcomes() == ALL
    assert contents(parallel) == contents(serial)
    assert sorted(executor.launched) == [(name, 1) for name in sorted(ALL)]
    assert sorted(event.stage for event in events if isinstance(event, StageStarted)) == sorted(ALL)
    assert StageLine("before", "said") in events
    assert run_pipeline(RunOptions(repo=parallel), executor=executor).outcomes() == dict.fromkeys(
        ALL, Outcome.SKIPPED
    )
    assert len(executor.launched) == len(ALL)


def test_what_there_is_room_for_is_the_executors_to_say(tmp_path: Path) -> None:
    root = repository(tmp_path / "r", tmp_path, "echo whole > out.txt\n")
    with pytest.raises(MetaError, match="there is no GPU here"):
        make_plan(RunOptions(repo=root))
    plan = make_plan(RunOptions(repo=root), executor=Elsewhere())
    assert len(plan.work) == len(ALL)


def test_a_killed_stage_is_launched_once_more_as_often_as_its_meta_says(tmp_path: Path) -> None:
    root = repository(tmp_path / "r", tmp_path, KILLED_TWICE)
    executor, events = Elsewhere(), list[Event]()
    assert run_pipeline(RunOptions(repo=root), executor=executor, observe=events.append).outcomes() == ALL
    assert [attempt for name, attempt in executor.launched if name == "step"] == [1, 2, 3]
    waits = [(event.seconds, event.retry, event.retries) for event in events if isinstance(event, StageAgain)]
    assert waits == [(0.1, 1, 2), (0.2, 2, 2)]
    assert (root / "after.txt").read_text() == "whole\n1\n"


def test_after_its_last_attempt_the_stage_has_failed(tmp_path: Path) -> None:
    root = repository(tmp_path / "r", tmp_path, "echo the reason; kill -9 $$\n")
    executor = Elsewhere()
    report = run_pipeline(RunOptions(repo=root, keep_going=True), executor=executor)
    assert report.outcomes() == ALL | {"step": Outcome.FAILED, "after": Outcome.BLOCKED}
    assert [attempt for name, attempt in executor.launched if name == "step"] == [1, 2, 3]
    assert "step: killed by SIGKILL at attempt 3" in report.errors[0]
    assert report.last_lines["step"][0] == "the reason"


def test_a_stop_ends_what_it_executes_and_the_next_run_goes_on_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = repository(tmp_path / "r", tmp_path, WAITS)
    stop, beside_is_done, executor = threading.Event(), threading.Event(), Elsewhere()

    def hear(event: Event) -> None:
        if isinstance(event, StageFinished) and event.stage == "beside":
            beside_is_done.set()

    def is_the_moment() -> bool:
        pid = tmp_path / "pid"
        return beside_is_done.is_set() and pid.exists() and bool(pid.read_text().strip())

    def stop_once_it_runs() -> None:
        came = wait_for(is_the_moment)
        stop.set()
        assert came

    stopper = threading.Thread(target=stop_once_it_runs)
    stopper.start()
    report = run_pipeline(RunOptions(repo=root, stop=stop), executor=executor, observe=hear)
    stopper.join()
    assert report.outcomes() == ALL | {"step": Outcome.CANCELLED, "after": Outcome.CANCELLED}
    assert not executor.is_busy()
    assert not alive(int((tmp_path / "pid").read_text()))
    (root / "step.sh").write_text("echo whole > out.txt\n")
    monkeypatch.setenv("DARKROOM_GPUS", "1x1GB")
    skipped = dict.fromkeys(("before", "beside"), Outcome.SKIPPED)
    assert run_pipeline(RunOptions(repo=root)).outcomes() == ALL | skipped


def test_an_error_of_the_run_itself_leaves_nothing_running_there(tmp_path: Path) -> None:
    root = repository(tmp_path / "r", tmp_path, WAITS)
    options, executor = RunOptions(repo=root), Elsewhere()

    def fails_once_it_runs(event: Event) -> None:
        if isinstance(event, StageStarted) and event.stage == "step":
            raise ZeroDivisionError
        if isinstance(event, StageStarted) and event.stage == "beside":
            wait_for(lambda: "before" in dict(executor.launched))

    with pytest.raises(ZeroDivisionError):
        run_pipeline(options, executor=executor, observe=fails_once_it_runs)
    assert not executor.is_busy()
