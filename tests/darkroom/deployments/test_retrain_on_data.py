"""Looks at a real import of a folder that others write, each as the flow does it."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path

import pytest
from prefect.logging import disable_run_logger

from darkroom.base.errors import UsageError
from darkroom.deployments.retrain_on_data import retrain_on_data
from darkroom.deployments.steps import StepFailedError
from tests.darkroom.repositories import contents, git, make
from tests.darkroom.shapes import Shape

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_server")]

PIPELINE = """\
stages:
  list:
    cmd: ls data > names.txt; test ! -e data/corrupt
    deps: [data]
    outs: [names.txt: {cache: false}]
"""


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    folder = tmp_path / "inbox"
    folder.mkdir()
    (folder / "a").write_text("1")
    return folder


@pytest.fixture
def root(tmp_path: Path, inbox: Path) -> Path:
    root = make(tmp_path / "project", Shape("inbox", {"dvc.yaml": PIPELINE}), tmp_path)
    command = [sys.executable, "-m", "dvc", "import-url", str(inbox), "data"]
    subprocess.run(command, cwd=root, check=True, capture_output=True)
    git(root, "add", "-A")
    git(root, "commit", "-m", "import")
    return root


def look(root: Path, quiet_minutes: float = 0) -> str:
    with contextlib.chdir(root), disable_run_logger():
        said: str = retrain_on_data.fn(imports=["data.dvc"], quiet_minutes=quiet_minutes)
    return said


def names(root: Path) -> list[str]:
    return git(root, "show", "darkroom/retrain:names.txt").split()


def test_new_data_is_trained_on_once_it_is_quiet(root: Path, inbox: Path) -> None:
    before = contents(root)
    assert "on darkroom/retrain" in look(root)
    assert names(root) == ["a"]
    assert look(root) == "nothing is new"
    (inbox / "b").write_text("2")
    assert look(root, quiet_minutes=60).startswith("new data, waits for ")
    assert names(root) == ["a"]
    assert "on darkroom/retrain" in look(root)
    assert names(root) == ["a", "b"]
    assert look(root) == "nothing is new"
    assert {name: held for name, held in contents(root).items() if ".dvc/cache" not in name} == {
        name: held for name, held in before.items() if ".dvc/cache" not in name
    }


def test_data_that_a_stage_fails_on_is_not_tried_until_it_changes(root: Path, inbox: Path) -> None:
    (inbox / "corrupt").write_text("")
    with pytest.raises(StepFailedError, match="darkroom run: exit code 1"):
        look(root)
    assert look(root) == "nothing is new"
    (inbox / "corrupt").unlink()
    assert "on darkroom/retrain" in look(root)
    assert names(root) == ["a"]


def test_what_is_no_import_is_the_users_error(root: Path) -> None:
    with (
        contextlib.chdir(root),
        disable_run_logger(),
        pytest.raises(UsageError, match=r"no \.dvc file of an import"),
    ):
        retrain_on_data.fn(imports=["dvc.yaml"])
