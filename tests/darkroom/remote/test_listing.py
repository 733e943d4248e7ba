"""`darkroom attempts`: what became of a run's stages on other hosts."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from darkroom.base.exits import Exit
from darkroom.base.files import logs_folder
from darkroom.cli.main import run_command
from darkroom.runs.attempt_table import TABLE_NAME, AttemptLine, AttemptTable

LINES = (
    AttemptLine(time="2026-01-01T10:00:00.000+00:00", stage="train", attempt=1, event="submitted"),
    AttemptLine(
        time="2026-01-01T10:01:00.000+00:00",
        stage="train",
        attempt=1,
        event="lost",
        host="n1",
        sent=10,
        fetched=5,
        why="host n1 was lost",
    ),
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / ".dvc").mkdir()
    for number, run in enumerate(("calm-owl", "brave-hen")):
        folder = logs_folder(tmp_path, run)
        for line in LINES[: 2 - number]:
            AttemptTable(folder).write(line)
        os.utime(folder / TABLE_NAME, (2000 - number, 2000 - number))  # the first was written last
    return tmp_path


def test_the_last_run_is_shown_as_a_table(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["attempts", "--repo", str(root)]) == Exit.WELL
    assert capsys.readouterr().out == (
        "run calm-owl; times in UTC, moved in bytes\n"
        "time                           stage  attempt  event      host  moved  why\n"
        "2026-01-01T10:00:00.000+00:00  train  1        submitted        0\n"
        "2026-01-01T10:01:00.000+00:00  train  1        lost       n1    15     host n1 was lost\n"
    )


def test_a_named_run_is_shown_as_json(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["attempts", "brave-hen", "--json", "--repo", str(root)]) == Exit.WELL
    told = json.loads(capsys.readouterr().out)
    assert told["run"] == "brave-hen"
    assert [(one["stage"], one["event"], one["sent"]) for one in told["attempts"]] == [
        ("train", "submitted", 0)
    ]


@pytest.mark.parametrize(
    ("run", "damage", "said"),
    [
        ("other", "", "other: there is no such run, or none of its stages was on another host; these have: "),
        ("calm-owl", "time,stage\nx,y\n", f"calm-owl/{TABLE_NAME}: cannot be read: "),
    ],
)
def test_what_cannot_be_shown_is_one_line(
    root: Path, run: str, damage: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if damage:
        (logs_folder(root, run) / TABLE_NAME).write_text(damage)
    assert run_command(["attempts", run, "--repo", str(root)]) == Exit.WRONG_INPUT
    assert said in (error := capsys.readouterr().err)
    assert error.count("\n") == 1
