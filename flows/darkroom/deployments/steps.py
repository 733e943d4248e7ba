"""What the flows of deployments do in a clone. Each step is a process that ends with the flow run."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from darkroom.base import interpreter
from darkroom.base.errors import DarkroomError
from darkroom.clones import child
from darkroom.clones.clone import AUTHOR, Clone, commit_results
from darkroom.processes.stage_process import no_line
from darkroom.releases.promotion import promote_if_better
from darkroom.reporting.deliverers import PATIENCE
from darkroom.repository.products import stages_with_kept_data
from darkroom.tracking.journal import PATIENCE_OF_DEPLOYMENTS, Publish, no_page

WELL, CANNOT_RUN, WORK_TO_DO = 0, 1, 3
"""Exit codes of `darkroom plan`."""


class StepFailedError(DarkroomError):
    """A step ended with another exit code than 0."""


@dataclass(frozen=True, slots=True)
class Steps:
    """The commands that are executed in a clone."""

    clone: Clone
    say: Callable[[str], None] = no_line
    """Called for each line of their output."""
    publish: Publish = no_page
    """Called for a page about what comes of them."""
    stop: threading.Event = field(default_factory=threading.Event)
    """Set: end what is being executed, politely, by Stopped."""

    def darkroom(self, *words: str, fine: Sequence[int] = (WELL,)) -> int:
        """The darkroom that the flow is part of, whatever packages the clone has; its exit code.

        Raises:
            StepFailedError: The exit code is none of the `fine` ones.

        """
        return self._execute(
            f"darkroom {words[0]}", interpreter.python_command("darkroom.cli.main", *words), fine
        )

    def dvc(self, *words: str) -> None:
        """The environment's own DVC.

        Raises:
            StepFailedError: The exit code is not 0.

        """
        self._execute(f"dvc {words[0]}", interpreter.python_command("dvc", *words), (WELL,))

    def check_out_kept_data(self) -> None:
        """Bring what .dvc files and frozen stages record from DVC's cache, in place of older data.

        What the cache lacks is missing then, and the run says so. No remote is asked.

        Raises:
            RepoError: DVC cannot read the commit's stages.
            StepFailedError: DVC cannot check them out.

        """
        if names := stages_with_kept_data(self.clone.root):
            self.dvc("checkout", "--force", "--allow-missing", "--", *names)

    def module(self, name: str, *words: str, env: Mapping[str, str], folder: Path) -> None:
        """Execute a module that is found in `folder`.

        Raises:
            StepFailedError: The exit code is not 0.

        """
        self._execute(name, interpreter.python_command(name, *words, first=[folder]), (WELL,), env)

    def _execute(
        self,
        name: str,
        command: Sequence[str],
        fine: Sequence[int],
        more: Mapping[str, str] = MappingProxyType({}),
    ) -> int:
        waits = {PATIENCE: str(PATIENCE_OF_DEPLOYMENTS)}
        kept = child.child_environment(os.environ, self.clone.project, self.clone.folder)
        env = {**waits, **kept, **AUTHOR, **more}
        env["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), env.get("PATH", os.defpath)])
        code, last = child.run_child(command, self.clone.root, env, self.say, self.stop)
        if code not in fine:
            raise StepFailedError("\n".join((f"{name}: exit code {code}", *last)))
        return code


def bring_up_to_date(
    steps: Steps, *, branch: str, targets: Sequence[str], fetch: bool, pull: bool, push: bool
) -> str:
    """Run what is out of date, commit what comes of it, release it if it is better; in words, what that is.

    Raises:
        StepFailedError: A step failed, so that nothing was committed.
        GateFailedError: The results are worse than the released ones.

    """
    clone = steps.clone
    steps.say(f"{clone.commit[:12]} of {clone.source}")
    steps.check_out_kept_data()
    if fetch:
        steps.darkroom("fetch")
    steps.darkroom("run", *(["--pull"] if pull else []), "--", *targets)
    if push:
        steps.dvc("push")
    made = commit_results(clone, branch, f"Retrain {clone.commit[:12]}")
    said = f"{made.commit[:12]} on {branch}" if made.new else "nothing is new"
    steps.say(f"results: {said}")
    judged = promote_if_better(clone, made.commit, steps.publish)
    steps.say(judged)
    return f"{said}; {judged}"
