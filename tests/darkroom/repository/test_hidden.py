"""What .gitignore or .dvcignore hide: an error where `dvc repro` has one, never a run of nothing."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest
from dvc.exceptions import DvcException
from dvc.repo import Repo

from darkroom.base.errors import DarkroomError, UsageError
from darkroom.base.exits import Exit
from darkroom.cli.main import run_command
from darkroom.runs.engine import make_plan, run_pipeline
from darkroom.runs.report import RunOptions
from tests.darkroom.repositories import contents, git, make, serial_repro
from tests.darkroom.shapes import Shape

ONE = "stages: {a: {cmd: cp src a.out, deps: [src], outs: [a.out]}}\n"


def repository(tmp_path: Path, files: dict[str, str | None]) -> Path:
    return make(tmp_path / "r", Shape("hidden", {"dvc.yaml": ONE, "src": "1\n", **files}), tmp_path)


def refused_by_dvc(root: Path) -> str:
    with contextlib.chdir(root), contextlib.closing(Repo(".")) as repo:
        with pytest.raises(DvcException) as refused:
            repo.reproduce()
        return str(refused.value)


@pytest.mark.parametrize(
    "files",
    [
        pytest.param({".gitignore": "*.yaml\n"}, id="git"),
        pytest.param({".dvcignore": "dvc.yaml\n"}, id="dvc"),
        pytest.param({".gitignore": "/*\n!/src\n"}, id="all but one"),
        pytest.param({".gitignore": "dvc.lock\n"}, id="dvc.lock"),
    ],
)
def test_a_hidden_pipeline_is_refused_as_by_dvc(tmp_path: Path, files: dict[str, str | None]) -> None:
    root = repository(tmp_path, files)
    said = refused_by_dvc(root)
    for begin in (make_plan, run_pipeline):
        with pytest.raises(Exception, match="ignored") as refused:
            begin(RunOptions(repo=root))
        assert said in str(refused.value)
        assert "\n" not in str(refused.value)
    assert not (root / "a.out").exists()


def test_one_that_git_keeps_is_hidden_all_the_same(tmp_path: Path) -> None:
    root = repository(tmp_path, {})
    (root / ".gitignore").write_text("dvc.yaml\n")
    assert "git-ignored" in refused_by_dvc(root)
    with pytest.raises(UsageError, match="git-ignored"):
        make_plan(RunOptions(repo=root))


def test_the_command_says_so_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = repository(tmp_path, {".gitignore": "*.yaml\n"})
    for words in (["plan"], ["run"], ["run", "--dry"], ["run", "--all-pipelines"], ["run", "a"]):
        assert run_command([*words, "--repo", str(root)]) == Exit.WRONG_INPUT
        shown = capsys.readouterr()
        assert shown.out == ""
        assert shown.err.startswith("error: ")
        assert shown.err.count("\n") == 1
        assert "is git-ignored" in shown.err


@pytest.mark.slow
@pytest.mark.parametrize("what", ["a folder", "a link to nothing"])
def test_what_is_no_file_is_refused_as_by_dvc(tmp_path: Path, what: str) -> None:
    root = repository(tmp_path, {})
    (root / "dvc.yaml").unlink()
    if what == "a folder":
        (root / "dvc.yaml").mkdir()
    else:
        (root / "dvc.yaml").symlink_to("gone.yaml")
    said = refused_by_dvc(root)
    with pytest.raises(DarkroomError) as refused:
        make_plan(RunOptions(repo=root))
    assert str(refused.value).startswith(said)


@pytest.mark.slow
@pytest.mark.parametrize("text", ["stages: {}\n", "", "# none yet\n"])
def test_a_pipeline_without_stages_has_nothing_to_run(tmp_path: Path, text: str) -> None:
    root = repository(tmp_path, {"dvc.yaml": text})
    assert serial_repro(root)
    assert make_plan(RunOptions(repo=root)).stages == ()
    assert run_pipeline(RunOptions(repo=root)).well
    assert make_plan(RunOptions(repo=root, all_pipelines=True)).stages == ()


@pytest.mark.slow
def test_all_pipelines_with_one_hidden_in_a_folder(tmp_path: Path) -> None:
    """DVC runs those that it sees; where it sees none at all, it says that all is up to date."""
    files: dict[str, str | None] = {"sub/dvc.yaml": ONE, "sub/src": "1\n", ".gitignore": "/sub/\n"}
    root = repository(tmp_path, files)
    assert [stage.name for stage in make_plan(RunOptions(repo=root, all_pipelines=True)).stages] == ["a"]
    with pytest.raises(UsageError, match="git-ignored"):
        make_plan(RunOptions(repo=root, targets=("sub/dvc.yaml",)))
    (root / "dvc.yaml").unlink()
    with pytest.raises(UsageError, match=r"sub/dvc\.yaml' is git-ignored"):
        make_plan(RunOptions(repo=root, all_pipelines=True))


@pytest.mark.slow
@pytest.mark.parametrize(
    "files",
    [
        pytest.param({".gitignore": "params.yaml\n"}, id="params by git"),
        pytest.param({".dvcignore": "params.yaml\n"}, id="params by dvc"),
        pytest.param({".dvcignore": "src\n"}, id="a dep by dvc"),
        pytest.param({".dvcignore": "dvc.lock\n"}, id="dvc.lock by dvc"),
        pytest.param({"b.dvc": "outs: [{md5: 1, path: b}]\n", ".gitignore": "*.dvc\n"}, id=".dvc by git"),
    ],
)
def test_other_hidden_files_mean_what_they_mean_to_dvc(tmp_path: Path, files: dict[str, str | None]) -> None:
    pipeline = ONE.replace("deps:", "params: [k], deps:")
    shape = Shape("hidden", {"dvc.yaml": pipeline, "src": "1\n", "params.yaml": "k: 1\n", **files})
    serial, parallel = (make(tmp_path / name, shape, tmp_path) for name in ("serial", "parallel"))
    for source in ("1\n", "2\n"):
        for root in (serial, parallel):
            (root / "src").write_text(source)
        well = serial_repro(serial)
        assert run_pipeline(RunOptions(repo=parallel)).well == well
        assert contents(parallel) == contents(serial)


@pytest.mark.slow
def test_a_pipeline_behind_a_link_and_one_in_a_submodule(tmp_path: Path) -> None:
    inner = make(tmp_path / "inner", Shape("inner", {"dvc.yaml": ONE, "src": "1\n"}), tmp_path)
    root = repository(tmp_path, {"real.yaml": ONE})
    (root / "dvc.yaml").unlink()
    (root / "dvc.yaml").symlink_to("real.yaml")
    git(root, "-c", "protocol.file.allow=always", "submodule", "add", os.fspath(inner), "sub")
    assert [stage.name for stage in make_plan(RunOptions(repo=root)).stages] == ["a"]
    assert run_pipeline(RunOptions(repo=root / "sub")).outcomes() == {"a": "ran"}
    assert not (root / "a.out").exists()
    (root / "sub/.gitignore").write_text("*.yaml\n")
    with pytest.raises(UsageError, match="git-ignored"):
        make_plan(RunOptions(repo=root / "sub"))
