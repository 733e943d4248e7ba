"""The workspace as a commit on a ref of its own; neither the workspace, nor git's index, nor HEAD is touched.

DVC's own `exp save` stashes the user's changes, commits on a detached HEAD and puts them back, and before
that commits every stage by force, those too that are not up to date.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from flows.errors import RepoError, UsageError

_NO_REF = "0" * 40


@dataclass(frozen=True, kw_only=True, slots=True)
class Experiment:
    """Where the result of a run is going to be kept."""

    name: str
    baseline: str
    """The commit that it is derived from."""
    ref: str
    replaces: str | None
    """What the ref names already, where that may be replaced."""

    def env(self) -> dict[str, str]:
        """What a stage's command is told of it, as under `dvc exp run`."""
        return {"DVC_EXP_BASELINE_REV": self.baseline, "DVC_EXP_NAME": self.name}


def require_author(root: Path) -> None:
    """Raise UsageError where git could not commit, before hours of work are to be committed."""
    try:
        _git(root, "var", "GIT_COMMITTER_IDENT")
    except RepoError as error:
        mend = "git config --global user.name NAME and user.email ADDRESS say it"
        raise UsageError(f"--experiment: git does not know who commits; {mend}") from error


def save(root: Path, experiment: Experiment, paths: Iterable[str]) -> None:
    """Commit what git tracks, as it lies there now, and `paths` onto the experiment's ref.

    Raises RepoError where git cannot.
    """
    with tempfile.TemporaryDirectory(prefix="darkroom-") as scratch:
        index = Path(scratch, "index")
        # With its time: by it git knows which files were changed in the second when it last looked.
        shutil.copy2(Path(root, _git(root, "rev-parse", "--git-path", "index")), index)
        env = {"GIT_INDEX_FILE": str(index), "GIT_LITERAL_PATHSPECS": "1"}
        _git(root, "add", "--update", env=env)
        _git(root, "add", "--pathspec-from-file=-", "--pathspec-file-nul", given="\0".join(paths), env=env)
        tree = _git(root, "write-tree", env=env)
    message = f"darkroom: experiment {experiment.name}"
    commit = _git(root, "commit-tree", tree, "-p", experiment.baseline, "-m", message)
    _git(root, "update-ref", "-m", message, experiment.ref, commit, experiment.replaces or _NO_REF)


def _git(root: Path, *words: str, given: str = "", env: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        ["git", *words],
        cwd=root,
        env={**os.environ, **(env or {})},
        input=given,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RepoError(f"git {words[0]}: {' '.join(done.stderr.split())}")
    return done.stdout.strip()
