"""Commits for other hosts: a run pushes its commit under a ref that is no branch."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

from darkroom.base.git import GitError, git

PREFIX = "refs/darkroom/"


def revision_name(commit: str) -> str:
    """The name under which other hosts fetch a commit."""
    return f"{PREFIX}{commit}"


def push_commit(root: Path, code: str) -> tuple[str, str]:
    """Push the commit that is checked out at `root` to `code`; its hash, and DVC's root below git's.

    A folder that is not there becomes a bare repository.

    Raises:
        GitError: There is no commit, or it cannot be pushed.

    """
    commit = git(root, "rev-parse", "HEAD")
    top = Path(git(root, "rev-parse", "--show-toplevel"))
    if Path(code).is_absolute():
        _make_bare(Path(code))
    try:
        git(root, "push", "--quiet", "--no-verify", code, f"{commit}:{revision_name(commit)}")
    except GitError as refusal:
        if not git(root, "ls-remote", code, revision_name(commit), fails=""):  # else another run was first
            raise GitError(
                f"{code}: commit {commit[:9]} cannot be pushed there for the other hosts: {refusal};"
                " see `code` in .darkroom/pools.yaml"
            ) from refusal
    return commit, root.relative_to(top).as_posix()


def _make_bare(folder: Path) -> None:
    """Make the repository where there is none, whole in one step: another run may look there just now.

    Raises:
        GitError: It cannot be made.

    """
    if git(Path("/"), "ls-remote", str(folder), "HEAD", fails="none") != "none":
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as beside:
        made = Path(beside, "made")
        git(Path(beside), "init", "--bare", "--quiet", str(made))
        with contextlib.suppress(OSError):  # something is there: a push says what is wrong with it
            made.rename(folder)
