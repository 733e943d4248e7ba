"""Which work pool a worker works for that a supervisor starts without naming one."""

import subprocess
from pathlib import Path

import pytest

from darkroom.base import interpreter
from darkroom.projects.scheduled import add_schedule


def started(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A worker of a project without a server: it says so and ends."""
    command = interpreter.python_command("darkroom.service.worker_process", str(root), *words)
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("words", [(), ("",)])
def test_a_worker_without_a_pool_works_for_the_first_one(tmp_path: Path, words: tuple[str, ...]) -> None:
    root = tmp_path / "flowers"
    (root / ".dvc").mkdir(parents=True)
    add_schedule(root, remote=False)
    done = started(root, *words)
    assert (done.returncode, "no Prefect server yet" in done.stderr) == (2, True)
    assert [path.name for path in root.glob(".darkroom/services/*.lock")] == ["worker-flowers.lock"]


def test_where_no_pool_is_named_it_says_what_writes_one(tmp_path: Path) -> None:
    (tmp_path / ".dvc").mkdir()
    done = started(tmp_path)
    assert (done.returncode, "darkroom init" in done.stderr) == (2, True)
    assert len(done.stderr.splitlines()) == 1
