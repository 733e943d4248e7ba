"""A run's result as one of DVC's experiments: a commit on a ref of its own, beside the branches.

The workspace, git's index and HEAD are not touched. DVC's own `exp save` stashes the user's changes, commits
on a detached HEAD and puts the changes back. Before that it commits every stage by force, even those that are
not up to date.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dvc.scm import NoSCM

from darkroom.base.errors import RepoError, UsageError
from darkroom.base.git import git
from darkroom.repository.errors import mended
from darkroom.repository.graph import Selection

_NO_REF = "0" * 40


@dataclass(frozen=True, kw_only=True, slots=True)
class Experiment:
    """An experiment that is going to keep the result of a run."""

    name: str
    baseline: str
    """The commit that it is derived from."""
    ref: str
    replaces: str | None
    """The commit that the ref names already and that may be replaced."""

    def env(self) -> dict[str, str]:
        """The variables by which `dvc exp run` tells a stage's command of the experiment."""
        return {"DVC_EXP_BASELINE_REV": self.baseline, "DVC_EXP_NAME": self.name}


def new_experiment(repo: Any, selection: Selection) -> Experiment | None:
    """Prepare the experiment that is going to keep the run's result; None where the run is none.

    It is asked for before anything runs.

    Raises:
        UsageError: The result could not be kept as an experiment of this name.

    """
    name = selection.experiment
    if name is None:
        return None
    from dvc.repo.experiments.refs import ExpRefInfo
    from dvc.repo.experiments.utils import check_ref_format

    if isinstance(repo.scm, NoSCM):
        raise UsageError("--experiment: experiments need git, and this repository has none; run `git init`")
    if repo.scm.no_commits:
        raise UsageError("--experiment: an experiment needs a commit to start from; run `git commit`")
    if selection.no_commit:
        raise UsageError("--experiment: its results must be in DVC's cache; leave out --no-commit")
    place = ExpRefInfo(repo.scm.get_rev(), name)
    with mended("--experiment: ", UsageError):
        check_ref_format(repo.scm, place)
        replaces = repo.scm.get_ref(str(place))
    if not name:
        raise UsageError("--experiment: a name is needed")
    if replaces and not selection.force:
        mend = f"another name, dvc exp remove {name}, or --force, which runs everything and replaces it"
        raise UsageError(f"--experiment: {name} exists already on this commit; take {mend}")
    require_author(Path(repo.root_dir))
    return Experiment(name=name, baseline=place.baseline_sha, ref=str(place), replaces=replaces)


def paths_of_experiment(repo: Any, stages: Iterable[Any]) -> list[str]:
    """What `dvc exp run` puts into git beside what is tracked, and the .gitignore files of outs."""
    from dvc.repo.experiments.executor.base import BaseExecutor
    from dvc.stage.utils import _get_stage_files

    paths = set(BaseExecutor._get_top_level_paths(repo))
    for stage in stages:
        paths.update(_get_stage_files(stage))
        paths.update(str(Path(out.fs_path).with_name(".gitignore")) for out in stage.outs if out.is_in_repo)
    there = {str(Path(path).absolute()) for path in paths if Path(path).exists()}
    return sorted(path for path in there if not repo.scm.is_ignored(path))


def require_author(root: Path) -> None:
    """Look whether git could commit, before hours of work are to be committed.

    Raises:
        UsageError: Git does not know who commits.

    """
    try:
        git(root, "var", "GIT_COMMITTER_IDENT")
    except RepoError as error:
        mend = "git config --global user.name NAME and user.email ADDRESS say it"
        raise UsageError(f"--experiment: git does not know who commits; {mend}") from error


def save_experiment(root: Path, experiment: Experiment, paths: Iterable[str]) -> None:
    """Commit what git tracks, as it lies there now, and `paths` onto the experiment's ref.

    Raises:
        RepoError: Git refuses or fails.

    """
    with tempfile.TemporaryDirectory(prefix="darkroom-") as scratch:
        index = Path(scratch, "index")
        # With its time: by it git knows which files were changed in the second when it last looked.
        shutil.copy2(Path(root, git(root, "rev-parse", "--git-path", "index")), index)
        env = {"GIT_INDEX_FILE": str(index), "GIT_LITERAL_PATHSPECS": "1"}
        git(root, "add", "--update", env=env)
        given = "\0".join(path for path in paths if _is_tracked_here(root, Path(path)))
        git(root, "add", "--pathspec-from-file=-", "--pathspec-file-nul", given=given, env=env)
        tree = git(root, "write-tree", env=env)
    message = f"darkroom: experiment {experiment.name}"
    commit = git(root, "commit-tree", tree, "-p", experiment.baseline, "-m", message)
    git(root, "update-ref", "-m", message, experiment.ref, commit, experiment.replaces or _NO_REF)


def _is_tracked_here(root: Path, path: Path) -> bool:
    """Whether a file is the repository's own: no submodule's, and not behind a link to a folder."""
    inside = [folder for folder in path.parents if folder.is_relative_to(root) and folder != root]
    return not any(folder.is_symlink() or (folder / ".git").exists() for folder in inside)
