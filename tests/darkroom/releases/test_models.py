"""A model of a release, brought out of git and DVC's cache."""

import json
import os
import shutil
from pathlib import Path

import pytest

from darkroom.base.errors import RepoError, UsageError
from darkroom.base.files import STATE_FOLDER
from darkroom.cli.main import Exit, run_command
from darkroom.cli.vision import of_release
from darkroom.releases.models import fetch_model
from darkroom.releases.releases import make_release
from tests.darkroom.repositories import git, make, serial_repro
from tests.darkroom.shapes import Shape

DVC_YAML = """
stages:
  train: {cmd: cp params.yaml net.bin, params: [lr], outs: [net.bin]}
artifacts:
  classifier: {path: net.bin, type: model}
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository whose first results are released, and whose model is another one now."""
    root = make(
        tmp_path / "project", Shape("models", {"dvc.yaml": DVC_YAML, "params.yaml": "lr: 1\n"}), tmp_path
    )
    assert serial_repro(root)
    git(root, "add", "-A")
    git(root, "commit", "-m", "first")
    make_release(root, "classifier", "prod", git(root, "rev-parse", "HEAD").strip(), "first")
    (root / "params.yaml").write_text("lr: 2\n")
    assert serial_repro(root)
    monkeypatch.chdir(root)
    return root


def test_the_files_of_a_release_are_brought_and_kept(root: Path) -> None:
    found = fetch_model(root, "classifier", "v0.1.0")
    assert (found.model.read_text(), found.params.read_text()) == ("lr: 1\n", "lr: 1\n")
    assert (root / "net.bin").read_text() == "lr: 2\n"
    shutil.rmtree(root / ".dvc/cache")
    assert fetch_model(root, "classifier", "v0.1.0") == found
    assert git(root, "status", "--porcelain", "--", STATE_FOLDER) == ""


def test_the_words_of_a_command_name_the_files_in_place_of_the_release(root: Path) -> None:
    found = fetch_model(root, "classifier", "v0.1.0")
    files = ["--model", str(found.model), "--params", str(found.params)]
    assert of_release("classifier", ["a.jpg", "--release", "v0.1.0", "--batch", "2"]) == [
        *files,
        "a.jpg",
        "--batch",
        "2",
    ]
    assert of_release("classifier", ["--release=v0.1.0", "a.jpg"]) == [*files, "a.jpg"]
    assert of_release("classifier", ["a.jpg", "--", "--release"]) == ["a.jpg", "--", "--release"]
    with pytest.raises(UsageError, match="name a version"):
        of_release("classifier", ["a.jpg", "--release"])


def test_what_is_not_there_is_named_with_what_is(root: Path) -> None:
    with pytest.raises(UsageError, match=r"no release classifier v9.*there are: v0\.1\.0"):
        fetch_model(root, "classifier", "v9")
    with pytest.raises(UsageError, match=r"no artifact detector; it names: classifier"):
        fetch_model(root, "detector", "v0.1.0")
    shutil.rmtree(root / ".dvc/cache")
    with pytest.raises(RepoError, match=r"classifier v0\.1\.0: net\.bin"):
        fetch_model(root, "classifier", "v0.1.0")


def test_a_rollback_is_told_to_programs_too(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "params.yaml").write_text("gate: {release: classifier, metrics: {'m.json:a': {}}}\nlr: 2\n")
    git(root, "commit", "-am", "second")
    make_release(root, "classifier", "prod", git(root, "rev-parse", "HEAD").strip(), "second")
    assert run_command(["rollback", "--json"]) == Exit.WELL
    told = json.loads(capsys.readouterr().out)
    assert (told["release"], told["version"]) == ("classifier", "v0.1.0")


def test_garbage_is_told_to_programs_too(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = root / STATE_FOLDER / "logs/old/train.log"
    log.parent.mkdir(parents=True)
    log.write_text("a line")
    for path in (log, log.parent):
        os.utime(path, (0, 0))
    for words, removed in (((), False), (("--yes",), True)):
        assert run_command(["gc", "--json", *words]) == Exit.WELL
        told = json.loads(capsys.readouterr().out)
        assert told["removed"] is removed
        assert {one["paths"] for one in told["found"] if "log" in one["kind"]} == {1}
    assert not log.exists()
