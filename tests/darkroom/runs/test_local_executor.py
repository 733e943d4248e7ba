"""Jobs as processes of this host: each has one result, also where it could not be started."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from darkroom.processes.stage_process import Ending, StageJob, StageResult
from darkroom.runs.local_executor import LocalExecutor


def job(folder: Path, name: str, command: str, **more: threading.Event) -> StageJob:
    return StageJob(
        name=name, commands=(("/bin/sh", "-c", command),), cwd=folder, env=dict(os.environ), **more
    )


def results(executor: LocalExecutor) -> dict[str, StageResult]:
    found = {}
    while ended := executor.finished(0):
        assert ended.stage not in found
        found[ended.stage] = ended.result
    return found


def test_each_job_has_one_result(tmp_path: Path) -> None:
    executor = LocalExecutor()
    assert not executor.is_busy()
    executor.launch(job(tmp_path, "well", "echo 1 > made"))
    executor.launch(job(tmp_path, "bad", "exit 3"))
    executor.join()
    assert not executor.is_busy()
    assert {name: (one.ending, one.code) for name, one in results(executor).items()} == {
        "well": (Ending.OK, 0),
        "bad": (Ending.FAILED, 3),
    }
    assert (tmp_path / "made").read_text() == "1\n"


def test_what_cannot_be_started_has_a_result_too(tmp_path: Path) -> None:
    executor = LocalExecutor()
    executor.launch(job(tmp_path / "no such folder", "s", "true"))
    executor.join()
    said = results(executor)["s"].describe()
    assert said.startswith("could not be executed: ")
    assert "no such folder" in said


def test_without_room_for_a_thread_it_has_one_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    executor = LocalExecutor()
    monkeypatch.setattr(threading.Thread, "start", start)
    executor.launch(job(tmp_path, "s", "true"))
    assert not executor.is_busy()
    executor.join()
    assert results(executor)["s"].describe() == "could not be executed: can't start new thread"


def test_it_is_busy_until_a_job_that_is_stopped_has_ended(tmp_path: Path) -> None:
    executor, stop = LocalExecutor(), threading.Event()
    executor.launch(job(tmp_path, "s", "sleep 50", stop=stop))
    assert executor.is_busy()
    assert executor.finished(0.1) is None
    stop.set()
    executor.join()
    assert results(executor)["s"].ending is Ending.STOPPED
