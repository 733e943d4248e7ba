"""Commits for other hosts: where they are pushed to."""

from __future__ import annotations

from pathlib import Path

from darkroom.exchange.code import push_commit, revision_name
from tests.darkroom.repositories import git, make
from tests.darkroom.shapes import Shape

SHAPE = Shape("one", {"dvc.yaml": "stages: {}\n"})


def test_a_folder_that_is_not_there_becomes_a_bare_repository(tmp_path: Path) -> None:
    root, code = make(tmp_path / "repo", SHAPE, tmp_path), tmp_path / "new" / "code.git"
    commit, folder = push_commit(root, str(code))
    assert folder == "."
    assert git(code, "rev-parse", revision_name(commit)).strip() == commit
    assert push_commit(root, str(code)) == (commit, folder)
    assert [path.name for path in code.parent.iterdir()] == ["code.git"]


def test_a_repository_with_files_stays_as_it_is(tmp_path: Path) -> None:
    root, code = (make(tmp_path / name, SHAPE, tmp_path) for name in ("repo", "code"))
    before = sorted(path.name for path in code.iterdir())
    commit, _ = push_commit(root, str(code))
    assert git(code, "rev-parse", revision_name(commit)).strip() == commit
    assert sorted(path.name for path in code.iterdir()) == before
