"""What the flows of deployments do in a clone, each step a process that ends with the flow run."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from prefect.logging import get_run_logger

from flows.deployments import child
from flows.deployments.clone import Clone, commit_results
from flows.errors import DarkroomError

PACKAGES = Path(__file__).parent.parent.parent


class StepFailedError(DarkroomError):
    """A step ended with another exit code than 0."""


def bring_up_to_date(
    clone: Clone, *, branch: str, targets: Sequence[str], fetch: bool, pull: bool, push: bool
) -> str:
    """Run what is out of date and commit what comes of it; in words, what that is. Raises StepFailedError."""
    logger = get_run_logger()
    logger.info("%s of %s", clone.commit[:12], clone.source)
    if fetch:
        darkroom(clone, "fetch")
    darkroom(clone, "run", *(["--pull"] if pull else []), "--", *targets)
    if push:
        dvc(clone, "push")
    made = commit_results(clone, branch, f"Retrain {clone.commit[:12]}")
    said = f"{made[:12]} on {branch}" if made else "nothing is new"
    logger.info("results: %s", said)
    return said


def darkroom(clone: Clone, *words: str) -> None:
    """The darkroom that the flow is part of, whatever packages the clone has. Raises StepFailedError."""
    script = f"import sys; sys.path.insert(0, {str(PACKAGES)!r}); from flows.cli import main; main()"
    _execute(clone, f"darkroom {words[0]}", [sys.executable, "-P", "-c", script, *words])


def dvc(clone: Clone, *words: str) -> None:
    """The environment's own DVC. Raises StepFailedError."""
    _execute(clone, f"dvc {words[0]}", [sys.executable, "-P", "-m", "dvc", *words])


def _execute(clone: Clone, name: str, command: Sequence[str]) -> None:
    env = child.environment(os.environ)
    env["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), env.get("PATH", os.defpath)])
    code, last = child.run(command, clone.root, env, get_run_logger().info)
    if code:
        raise StepFailedError("\n".join((f"{name}: exit code {code}", *last)))
