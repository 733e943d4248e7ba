"""The flow `retrain`: takes the newest code and data, runs what is out of date, commits to its own branch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from prefect import flow
from pydantic import Field

from darkroom.base.roots import root_of
from darkroom.clones.clone import held_clone
from darkroom.deployments.steps import Steps, bring_up_to_date
from darkroom.tracking.journal import journal

CLONE = "retrain"


@flow(name="retrain", flow_run_name="retrain to {branch}")
def retrain(
    source: str = "",
    revision: str = "",
    branch: Annotated[str, Field(min_length=1)] = "darkroom/retrain",
    targets: list[str] = [],  # noqa: B006  (Prefect shows it; it is not changed)
    imports: list[str] = [],  # noqa: B006
    fetch: bool = False,
    pull: bool = False,
    push: bool = False,
) -> str:
    """Bring everything up to date with the newest code and data, and release what is better.

    Works in a clone of its own, under .darkroom/clones/retrain, that shares DVC's cache with the project:
    neither the workspace nor what is not committed there is touched. What was ever computed is taken from the
    cache. Stopped or killed, it goes on from what has finished and from the checkpoints.

    Args:
        source: Git repository of the code; empty: what this project has committed.
        revision: Branch or tag to take; empty: the one that the source has checked out.
        branch: Branch of the source that results are committed to.
        targets: Stages or dvc.yaml files, with what they need; none: all.
        imports: The .dvc files of imports (`dvc import-url`) to bring up to date first, by `dvc update`.
        fetch: First obtain the raw data that is pinned under data/raw, by `darkroom fetch`.
        pull: Fetch missing data and results from the DVC remote.
        push: Push data and results to the DVC remote, by `dvc push`.

    """
    root = root_of(Path())
    with journal() as run_journal, held_clone(root, CLONE, source=source, revision=revision) as clone:
        steps = Steps(clone, run_journal.say, run_journal.publish)
        if imports:
            steps.dvc("update", "--", *imports)
        return bring_up_to_date(steps, branch=branch, targets=targets, fetch=fetch, pull=pull, push=push)
