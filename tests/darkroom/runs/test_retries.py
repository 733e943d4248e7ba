"""A stage that is killed is started again, as often as its meta says; one that fails by itself never."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import patch

import pytest

from darkroom.runs.engine import run_pipeline
from darkroom.runs.report import RunOptions, RunReport
from darkroom.schedule import attempts as retry_policy
from darkroom.schedule.events import Event, Outcome, StageAgain, StageFinished, StageStarted
from darkroom.show.wording import describe_restart
from tests.darkroom.repositories import contents, make, put, serial_repro
from tests.darkroom.shapes import Shape

# Each attempt leaves a line; the first ends as `$1` says, in the middle of its work.
STEP = (
    "echo attempt >> {outside}/attempts\n"
    "if [ $(wc -l < {outside}/attempts) -le $2 ]; then echo half > out.txt; eval $1; fi\n"
    "if [ -e out.txt ]; then echo left over >> {outside}/left; fi\n"
    "if [ -e kept.txt ]; then cat kept.txt >> {outside}/kept; fi\n"
    "echo whole > out.txt; echo whole > kept.txt\n"
)
PIPELINE = """\
stages:
  before:
    cmd: cat in.txt > before.txt
    deps: [in.txt]
    outs: [before.txt]
  step:
    cmd: sh step.sh '{end}' {times}
    deps: [before.txt]
    outs: [out.txt, kept.txt: {{persist: true}}]
    meta: {{retries: 2}}
  check:
    cmd: cat out.txt
    deps: [out.txt]
"""


@pytest.fixture(autouse=True)
def _no_long_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry_policy, "FIRST_WAIT_SECONDS", 0.1)


def repository(folder: Path, outside: Path, end: str, times: int) -> Path:
    files = {"dvc.yaml": PIPELINE.format(end=end, times=times), "in.txt": "1\n", "step.sh": STEP}
    return make(folder, Shape("retries", dict(files)), outside)


def run(root: Path, events: list[Event] | None = None) -> RunReport:
    return run_pipeline(RunOptions(repo=root, jobs=2), observe=(events if events is not None else []).append)


def attempts(outside: Path) -> int:
    return len((outside / "attempts").read_text().splitlines())


@pytest.mark.slow
def test_killed_it_is_started_again_from_a_clean_place_and_ends_as_a_serial_run(tmp_path: Path) -> None:
    root = repository(tmp_path / "r", tmp_path, "kill -9 $$", 2)
    events: list[Event] = []
    assert run(root, events).outcomes() == dict.fromkeys(("before", "step", "check"), Outcome.RAN)
    assert attempts(tmp_path) == 3
    assert not (tmp_path / "left").exists()
    told = [event for event in events if isinstance(event, StageStarted | StageAgain | StageFinished)]
    assert [type(event) for event in told if event.stage == "step"] == [
        *(StageStarted, StageAgain) * 2,
        StageStarted,
        StageFinished,
    ]
    said = [describe_restart(event) for event in told if isinstance(event, StageAgain)]
    assert said == [
        "killed by SIGKILL, starts again in 0.1 s (1 of 2)",
        "killed by SIGKILL, starts again in 0.2 s (2 of 2)",
    ]
    serial = repository(tmp_path / "s", tmp_path, "kill -9 $$", 2)
    assert serial_repro(serial)
    assert contents(root) == contents(serial)


@pytest.mark.slow
def test_what_persists_is_there_at_the_next_attempt(tmp_path: Path) -> None:
    root = repository(tmp_path / "r", tmp_path, "echo half > kept.txt; kill -9 $$", 1)
    assert run(root).well
    assert (tmp_path / "kept").read_text() == "half\n"


@pytest.mark.slow
def test_an_edit_between_two_attempts_counts(tmp_path: Path) -> None:
    root = repository(tmp_path / "r", tmp_path, "kill -9 $$", 1)

    def edit(event: Event) -> None:
        if isinstance(event, StageAgain):
            put(root, {"before.txt": "edited\n"}, tmp_path)

    assert run_pipeline(RunOptions(repo=root), observe=edit).well
    assert "md5: 1639a1bb39a4a1bbc64d6f0ef9cd3a4e" not in (root / "dvc.lock").read_text()
    assert run(root).outcomes()["before"] is Outcome.RESTORED


@pytest.mark.slow
def test_after_the_last_retry_it_has_failed_and_the_next_run_goes_on(tmp_path: Path) -> None:
    root = repository(tmp_path / "r", tmp_path, "kill -9 $$", 3)
    report = run(root)
    assert report.outcomes() == {"before": "ran", "step": "failed", "check": "blocked"}
    (error,) = report.errors
    assert error.startswith("step: killed by SIGKILL at attempt 3; run again, or ")
    assert attempts(tmp_path) == 3
    assert run(root).outcomes() == {"before": "skipped", "step": "ran", "check": "ran"}


@pytest.mark.slow
@pytest.mark.parametrize("end", ["exit 1", "kill -SEGV $$"])
def test_a_stages_own_error_is_not_retried(tmp_path: Path, end: str) -> None:
    root = repository(tmp_path / "r", tmp_path, end, 1)
    assert run(root).outcomes()["step"] is Outcome.FAILED
    assert attempts(tmp_path) == 1


@pytest.mark.slow
def test_a_stage_without_outs_is_executed_again_too(tmp_path: Path) -> None:
    text = (
        "stages:\n  check:\n    cmd: echo >> {outside}/attempts; if [ ! -e {outside}/once ]; then"
        " touch {outside}/once; kill -9 $$; fi\n    deps: [in.txt]\n    meta: {retries: 1}\n"
    )
    root = make(tmp_path / "r", Shape("none", {"dvc.yaml": text, "in.txt": "1\n"}), tmp_path)
    (tmp_path / "once").touch()
    assert run(root).well
    assert run(root).outcomes() == {"check": "skipped"}
    (tmp_path / "once").unlink()
    put(root, {"in.txt": "2\n"}, tmp_path)
    assert run(root).outcomes() == {"check": "ran"}
    assert len((tmp_path / "attempts").read_text()) == 3


@pytest.mark.slow
def test_a_time_limit_is_not_retried(tmp_path: Path) -> None:
    root = repository(tmp_path / "r", tmp_path, "sleep 50", 1)
    text = (root / "dvc.yaml").read_text().replace("retries: 2", "retries: 2, timeout: 0.5")
    put(root, {"dvc.yaml": text}, tmp_path)
    with patch("darkroom.processes.stage_process.GRACE_SECONDS", 0.5):
        (error,) = run(root).errors
    assert error.startswith("step: timed out after ")
    assert attempts(tmp_path) == 1
