"""Parameters that stages refuse: all of it is said, and nothing is removed or started."""

from __future__ import annotations

from pathlib import Path

import pytest

from darkroom.cli.main import run_command
from darkroom.runs import checks
from tests.darkroom.repositories import make
from tests.darkroom.shapes import Shape

CHECK = """
import pathlib, sys
asked = pathlib.Path("asked.txt")
asked.write_text((asked.read_text() if asked.exists() else "") + "asked ")
wrong = [line for line in open("params.yaml") if int(line.split(":")[1]) < 0]
print(*[f"error: params.yaml: {line.split(':')[0]} is below 0" for line in wrong], sep="\\n", file=sys.stderr)
sys.exit(2 if wrong else 0)
"""
STAGES = """
stages:
  one:
    cmd: echo one > one.txt
    meta: {check_params: python3 check.py}
    params: [one]
    outs: [one.txt]
  two:
    cmd: cat one.txt > two.txt
    meta: {check_params: python3 check.py}
    params: [two]
    deps: [one.txt]
    outs: [two.txt]
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    files = {"dvc.yaml": STAGES, "check.py": CHECK, "params.yaml": "one: 1\ntwo: 1\n"}
    return make(tmp_path / "small", Shape("checked", files), tmp_path)


def run(root: Path, command: str = "run") -> int:
    return run_command([command, "--repo", str(root), *(["--no-record"] if command == "run" else [])])


def test_one_command_of_several_stages_is_asked_once(root: Path) -> None:
    assert run(root) == 0
    assert (root / "asked.txt").read_text() == "asked "
    assert run(root) == 0  # nothing runs: nobody is asked
    assert (root / "asked.txt").read_text() == "asked "


@pytest.mark.parametrize("command", ["run", "plan"])
def test_all_faults_are_said_and_nothing_is_removed(
    root: Path, command: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(root) == 0
    before = (root / "dvc.lock").read_bytes()
    (root / "params.yaml").write_text("one: -1\ntwo: -2\n")
    capfd.readouterr()
    assert run(root, command) == 2
    assert capfd.readouterr().err.splitlines() == [
        "error: params.yaml: one is below 0",
        "error: params.yaml: two is below 0",
    ]
    assert (root / "one.txt").read_text() == (root / "two.txt").read_text() == "one\n"
    assert (root / "dvc.lock").read_bytes() == before
    (root / "params.yaml").write_text("one: 2\ntwo: 2\n")
    assert run(root) == 0


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("exit 3", "`exit 3` ended with exit code 3, without a word"),
        ("sleep 60", "`sleep 60` takes more than"),
        ("no-such-command", "no-such-command"),
    ],
)
def test_a_check_that_says_nothing_of_use_is_named(
    root: Path, command: str, said: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (root / "dvc.yaml").write_text(STAGES.replace("python3 check.py", command))
    monkeypatch.setattr(checks, "CHECK_SECONDS", 0.5)
    assert run(root) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert said in line
    assert not (root / "one.txt").exists()


def test_what_is_no_command_is_refused(root: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (root / "dvc.yaml").write_text(STAGES.replace("python3 check.py", "true"))
    assert run(root) == 2
    assert "one.meta.check_params: True is not a command" in capfd.readouterr().err
