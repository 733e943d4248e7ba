"""Commits for other hosts: a run pushes its commit under a ref that is no branch."""

from __future__ import annotations

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
    local = Path(code)
    if local.is_absolute() and not (local / "HEAD").exists():
        local.mkdir(parents=True, exist_ok=True)
        git(local, "init", "--bare", "--quiet")
    try:
        git(root, "push", "--quiet", "--no-verify", code, f"{commit}:{revision_name(commit)}")
    except GitError as refusal:
        if not git(root, "ls-remote", code, revision_name(commit), fails=""):  # else another run was first
            raise GitError(
                f"{code}: commit {commit[:9]} cannot be pushed there for the other hosts: {refusal};"
                " see `code` in .darkroom/pools.yaml"
            ) from refusal
    return commit, root.relative_to(top).as_posix()
