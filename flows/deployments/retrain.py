"""The flow `retrain`: newest code and data, what is out of date is run, results go to an own branch."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from prefect import flow
from prefect.logging import get_run_logger
from pydantic import Field

from flows import dvc_repo
from flows.deployments import child
from flows.deployments.clone import Clone, commit_results, held_clone
from flows.errors import DarkroomError

CLONE = "retrain"
PACKAGES = Path(__file__).parent.parent.parent


class RunFailedError(DarkroomError):
    """A command of the run ended with another exit code than 0."""


@flow(name="retrain")
def retrain(
    source: Annotated[
        str, Field(description="Git repository of the code; empty: what this project has committed.")
    ] = "",
    revision: Annotated[
        str, Field(description="Branch or tag to take; empty: the one that the source has checked out.")
    ] = "",
    branch: Annotated[
        str, Field(min_length=1, description="Branch of the source that results are committed to.")
    ] = "darkroom/retrain",
    targets: Annotated[
        list[str], Field(description="Stages or dvc.yaml files, with what they need; none: all.")
    ] = [],  # noqa: B006  (Prefect shows it; it is not changed)
    fetch: Annotated[
        bool, Field(description="First obtain raw data that is pinned under data/raw, by `darkroom fetch`.")
    ] = False,
    pull: Annotated[bool, Field(description="Fetch missing data and results from the DVC remote.")] = False,
    push: Annotated[
        bool, Field(description="Push data and results to the DVC remote, by `dvc push`.")
    ] = False,
) -> str:
    """Bring everything up to date with the newest code and data.

    Works in a clone of its own, under .darkroom/clones/retrain, that shares DVC's cache with the project:
    neither the workspace nor what is not committed there is touched. What was ever computed is taken from the
    cache. Stopped or killed, it goes on from what has finished and from the checkpoints.
    """
    root = dvc_repo.root_of(Path())
    with held_clone(root, CLONE, source=source, revision=revision) as clone:
        get_run_logger().info("%s of %s", clone.commit[:12], clone.source)
        if fetch:
            _darkroom(clone, "fetch")
        _darkroom(clone, "run", *(["--pull"] if pull else []), "--", *targets)
        if push:
            _execute(clone, [sys.executable, "-m", "dvc", "push"])
        made = commit_results(clone, branch, f"Retrain {clone.commit[:12]}")
    said = f"{made[:12]} on {branch}" if made else "nothing is new"
    get_run_logger().info("results: %s", said)
    return said


def _darkroom(clone: Clone, *words: str) -> None:
    """The darkroom that this flow is part of, whatever packages the clone has."""
    script = f"import sys; sys.path.insert(0, {str(PACKAGES)!r}); from flows.cli import main; main()"
    _execute(clone, [sys.executable, "-P", "-c", script, *words])


def _execute(clone: Clone, command: Sequence[str]) -> None:
    env = child.environment(os.environ)
    env["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), env.get("PATH", os.defpath)])
    code, last = child.run(command, clone.root, env, get_run_logger().info)
    if code:
        said = "\n".join(last)
        raise RunFailedError(f"exit code {code}\n{said}")
