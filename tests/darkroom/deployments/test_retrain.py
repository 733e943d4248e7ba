"""Nights of a repository whose data no stage makes, each as the flow does it."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from prefect.logging import disable_run_logger

from darkroom.deployments.retrain import retrain
from darkroom.deployments.steps import StepFailedError
from tests.darkroom.repositories import contents, git, make
from tests.darkroom.shapes import Shape

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900), pytest.mark.usefixtures("one_server")]

PIPELINE = """\
stages:
  words:
    cmd: cp given.txt words.txt
    deps: [given.txt]
    outs: [words.txt]
    frozen: FROZEN
  count:
    cmd: cat d.csv folder/* words.txt > all.txt
    deps: [d.csv, folder, words.txt]
    outs: [all.txt: {cache: false}]
"""
FILES = {
    "d.csv": "1\n",
    "folder/a": "a\n",
    "given.txt": "w\n",
    "dvc.yaml": PIPELINE.replace("FROZEN", "false"),
}


def dvc(root: Path, *words: str) -> None:
    subprocess.run([sys.executable, "-m", "dvc", *words], cwd=root, check=True, capture_output=True)


def commit(root: Path) -> None:
    git(root, "add", "-A")
    git(root, "commit", "-m", "more")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """With a file and a folder of `dvc add`, and a stage that has run and is frozen since."""
    root = make(tmp_path / "project", Shape("kept", FILES, add=("d.csv", "folder")), tmp_path)
    dvc(root, "repro", "words")
    (root / "dvc.yaml").write_text(PIPELINE.replace("FROZEN", "true"))
    (root / "given.txt").write_text("changed since it is frozen\n")
    commit(root)
    return root


def night(root: Path) -> str:
    with contextlib.chdir(root), disable_run_logger():
        said: str = retrain.fn()
    return said


def made(root: Path) -> str:
    return git(root, "show", "darkroom/retrain:all.txt")


def test_each_night_has_the_data_that_the_commit_records(root: Path) -> None:
    before = contents(root)
    assert "on darkroom/retrain" in night(root)
    assert made(root) == "1\na\nw\n"
    assert contents(root) == before
    (root / "d.csv").write_text("2\n")
    (root / "folder" / "b").write_text("b\n")
    dvc(root, "add", "d.csv", "folder")
    commit(root)
    assert "on darkroom/retrain" in night(root)
    assert made(root) == "2\na\nb\nw\n"
    recorded = git(root, "show", "darkroom/retrain:d.csv.dvc")
    assert recorded == (root / "d.csv.dvc").read_text()


def test_data_that_the_cache_lacks_fails_the_night_and_older_data_does_not_take_its_place(root: Path) -> None:
    night(root)
    for name in ("d.csv", "folder/a"):
        (root / name).write_text("3\n")
    dvc(root, "add", "d.csv", "folder")
    commit(root)
    shutil.rmtree(root / ".dvc" / "cache")
    with pytest.raises(StepFailedError, match=r"d\.csv: no such file"):
        night(root)
    assert made(root) == "1\na\nw\n"
