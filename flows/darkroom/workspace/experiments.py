"""A run's result as one of DVC's experiments: where it will be kept, and which files belong to it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dvc.scm import NoSCM

from darkroom.base.errors import UsageError
from darkroom.repository.errors import mended
from darkroom.repository.graph import Selection
from darkroom.workspace.experiment import Experiment, require_author


def new_experiment(repo: Any, selection: Selection) -> Experiment | None:
    """Raises UsageError where the run could not be kept as an experiment: before anything runs."""
    name = selection.experiment
    if name is None:
        return None
    from dvc.repo.experiments.refs import ExpRefInfo
    from dvc.repo.experiments.utils import check_ref_format

    if isinstance(repo.scm, NoSCM):
        raise UsageError("--experiment: experiments are kept in git, and this repository has none; git init")
    if repo.scm.no_commits:
        raise UsageError("--experiment: an experiment starts from a commit, and there is none; git commit")
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
