"""Memory that grows with the attempt, on this host: `memory: {first: ..., factor: ...}`."""

from __future__ import annotations

from pathlib import Path

import pytest

from darkroom.runs.engine import run_pipeline
from darkroom.runs.report import RunOptions
from darkroom.schedule.events import Event, StageAgain
from darkroom.schedule.pool import host_memory
from tests.darkroom.repositories import make
from tests.darkroom.shapes import Shape

STAGE = """\
stages:
  big:
    cmd: "echo >> {tries}; [ $(wc -l < {tries}) = 3 ] || {{ echo {words}; exit {code}; }}; echo 1 > big.txt"
    outs: [big.txt]
    meta: {{retries: 3, resources: {{memory: {{first: {first}, factor: 2}}}}}}
"""


def again(folder: Path, first: int, words: str = "CUDA out of memory", code: int = 1) -> list[str]:
    """Why the next attempts began, in words, of a stage whose third attempt is well."""
    text = STAGE.format(tries=folder / "tries", words=words, code=code, first=first)
    root = make(folder / "repo", Shape("grows", {"dvc.yaml": text}), folder)
    events: list[Event] = []
    assert run_pipeline(RunOptions(repo=root), observe=events.append).errors == ()
    return [event.reason for event in events if isinstance(event, StageAgain)]


@pytest.mark.slow
def test_each_attempt_after_out_of_memory_asks_for_more(tmp_path: Path) -> None:
    reasons = again(tmp_path, 100_000_000)
    assert [reason.rpartition(" asks for ")[2] for reason in reasons] == ["0.2 GB", "0.4 GB"]


@pytest.mark.slow
def test_no_attempt_waits_for_more_than_the_host_has(tmp_path: Path) -> None:
    whole = f"{host_memory() / 1000**3:.1f} GB"
    reasons = again(tmp_path, host_memory() - 1)
    assert [reason.rpartition(" asks for ")[2] for reason in reasons] == [whole, whole]


@pytest.mark.slow
def test_another_kill_asks_for_the_same(tmp_path: Path) -> None:
    assert again(tmp_path, 100_000_000, "bye", 137) == ["killed by SIGKILL"] * 2
