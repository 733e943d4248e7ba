"""Clones and branches of results, on real repositories."""

from __future__ import annotations

from pathlib import Path

import pytest

from darkroom.base.errors import UsageError
from darkroom.base.git import GitError
from darkroom.clones.clone import (
    Clone,
    CloneError,
    Results,
    commit_results,
    held_clone,
    remove_clone,
    require_no_password,
)
from darkroom.repository.opening import site_cache_of
from tests.darkroom.repositories import contents, git, make
from tests.darkroom.shapes import Shape

pytestmark = pytest.mark.slow


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make(tmp_path / "project", Shape("clone", {"a.txt": "1\n"}), tmp_path)


def newest(root: Path, source: str = "", revision: str = "") -> Clone:
    with held_clone(root, "c", source=source, revision=revision) as clone:
        return clone


def test_only_commits_are_taken_and_the_cache_is_shared(root: Path) -> None:
    (root / "a.txt").write_text("not committed\n")
    (root / ".dvc" / "config.local").write_text("[core]\n    checksum_jobs = 3\n")
    before = contents(root)
    clone = newest(root)
    assert clone.commit == git(root, "rev-parse", "HEAD").strip()
    assert clone.folder.name == root.name
    assert (clone.root / "a.txt").read_text() == "1\n"
    held = (clone.root / ".dvc" / "config.local").read_text()
    assert "checksum_jobs = 3" in held
    assert str(root / ".dvc" / "cache") in held
    assert contents(root) == before


def test_a_newer_commit_is_taken_and_nothing_stays_of_the_last(root: Path) -> None:
    left = newest(root).folder
    (left / "a.txt").write_text("changed by a run\n")
    (left / "made.txt").write_text("made by a run\n")
    (root / "a.txt").write_text("2\n")
    git(root, "commit", "-qam", "two")
    clone = newest(root)
    assert (clone.folder / "a.txt").read_text() == "2\n"
    assert not (clone.folder / "made.txt").exists()


def test_what_a_stopped_run_has_made_of_the_same_commit_stays(root: Path) -> None:
    (newest(root).folder / "checkpoint").write_text("half\n")
    assert (newest(root).folder / "checkpoint").exists()


def test_a_repository_in_a_folder_of_another(tmp_path: Path) -> None:
    root = make(tmp_path / "big", Shape("sub", {"a.txt": "1\n"}, root="vision"), tmp_path)
    clone = newest(root)
    assert clone.root == clone.folder / "vision"
    assert (clone.root / ".dvc" / "config.local").exists()


def test_another_branch_and_what_does_not_exist(root: Path) -> None:
    git(root, "checkout", "-qb", "other")
    (root / "a.txt").write_text("other\n")
    git(root, "commit", "-qam", "other")
    git(root, "checkout", "-q", "main")
    assert (newest(root, revision="other").folder / "a.txt").read_text() == "other\n"
    with pytest.raises(GitError, match=r"git fetch: .*nonsense") as error:
        newest(root, revision="nonsense")
    assert "\n" not in str(error.value)


def test_two_runs_do_not_share_a_clone(root: Path) -> None:
    with (
        held_clone(root, "c", source="", revision=""),
        pytest.raises(CloneError, match="another run works in it"),
        held_clone(root, "c", source="", revision=""),
    ):
        pass


def results(root: Path, text: str) -> str | None:
    clone = newest(root)
    (clone.folder / "result.txt").write_text(text)
    made = commit_results(clone, "results", "Results")
    return made.commit if made.new else None


def test_results_are_a_history_of_their_own(root: Path) -> None:
    code = git(root, "rev-parse", "HEAD").strip()
    first = results(root, "1")
    second = results(root, "2")
    assert git(root, "log", "--format=%H", "--first-parent", "results").split() == [second, first, code]
    assert git(root, "show", "-s", "--format=%P", "results").split() == [first, code]
    assert git(root, "show", "results:result.txt") == "2"
    assert git(root, "status", "--porcelain") == ""
    assert git(root, "rev-parse", "HEAD").strip() == code


def test_nothing_new_is_no_commit(root: Path) -> None:
    code = git(root, "rev-parse", "HEAD").strip()
    assert commit_results(newest(root), "results", "Results") == Results(code, new=False)
    first = results(root, "1")
    assert first
    assert results(root, "1") is None
    clone = newest(root)
    (clone.folder / "result.txt").write_text("1")
    assert commit_results(clone, "results", "Results") == Results(first, new=False)


def test_a_branch_that_is_checked_out_is_not_pushed_to(root: Path) -> None:
    clone = newest(root)
    (clone.folder / "result.txt").write_text("1")
    with pytest.raises(GitError, match=r"git push: .*checked out"):
        commit_results(clone, "main", "Results")
    assert git(root, "log", "--format=%s", "main") == "start\n"


def test_a_password_in_an_address_is_refused_and_not_repeated() -> None:
    require_no_password("https://example.org/x.git")
    require_no_password("git@example.org:x.git")
    with pytest.raises(UsageError, match="credential helper") as error:
        require_no_password("https://me:hidden@example.org/x.git")
    assert "hidden" not in str(error.value)


def test_a_clone_that_is_removed_leaves_nothing_behind(root: Path) -> None:
    with held_clone(root, "c", source="", revision="") as clone:
        kept = site_cache_of(clone.root)
        assert kept.exists()
        remove_clone(clone)
        # Who comes now takes another lock, and does not meet the one that is being removed.
        with held_clone(root, "c", source="", revision="") as again:
            assert again.folder == clone.folder
            remove_clone(again)
    assert not kept.exists()
    assert list((root / ".darkroom/clones").iterdir()) == []
