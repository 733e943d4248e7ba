"""The flow `retrain-on-data`: watches imported data, and retrains once it has changed and is quiet again."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

from prefect import flow
from pydantic import Field

from darkroom.base.roots import root_of
from darkroom.base.text import format_duration
from darkroom.clones.clone import held_clone
from darkroom.deployments import quiet as inbox
from darkroom.deployments.steps import StepFailedError, Steps, bring_up_to_date
from darkroom.releases.promotion import GateFailedError
from darkroom.tracking.journal import journal

CLONE = "retrain-on-data"


@flow(name="retrain-on-data", flow_run_name="look for new data, retrain to {branch}")
def retrain_on_data(
    imports: Annotated[list[str], Field(min_length=1)],
    quiet_minutes: Annotated[float, Field(ge=0)] = 10.0,
    source: str = "",
    revision: str = "",
    branch: Annotated[str, Field(min_length=1)] = "darkroom/retrain",
    targets: list[str] = [],  # noqa: B006  (Prefect shows it; it is not changed)
    pull: bool = False,
    push: bool = False,
) -> str:
    """Look whether imported data has changed and has been quiet since; if so, retrain on it.

    Each run is one look, which costs seconds where nothing is new. Data that changes while a training goes on
    is found by a look after it.

    Args:
        imports: The .dvc files of imports (`dvc import-url`): of a folder that others write, of an address.
        quiet_minutes: How long the data must have been as it is before it is trained on.
        source: Git repository of the code; empty: what this project has committed.
        revision: Branch or tag to take; empty: the one that the source has checked out.
        branch: Branch of the source that results, and .dvc files with the new data, are committed to.
        targets: Stages or dvc.yaml files, with what they need; none: all.
        pull: Fetch missing data and results from the DVC remote.
        push: Push data and results to the DVC remote, by `dvc push`.

    """
    root = root_of(Path())
    with journal() as run_journal, held_clone(root, CLONE, source=source, revision=revision) as clone:
        path = clone.folder.parent.with_suffix(".json")
        now = time.time()
        steps = Steps(clone, run_journal.say, run_journal.publish)
        memory = inbox.after_look(inbox.read_memory(path), _look(steps, imports), now)
        inbox.write_memory(path, memory)
        waiting = inbox.waiting_seconds(memory, now, quiet_minutes * 60)
        if waiting is None or waiting:
            said = f"new data, waits for {format_duration(waiting)} of quiet" if waiting else "nothing is new"
        else:
            said = _train(steps, path, imports, branch=branch, targets=targets, pull=pull, push=push)
        run_journal.say(said)
    return said


def _look(steps: Steps, imports: list[str]) -> str:
    """The sources' state, without fetching what they hold."""
    paths = [steps.clone.root / name for name in imports]
    inbox.fingerprint(paths)  # before DVC says less clearly what is no import
    steps.dvc("update", "--no-download", "--", *imports)
    return inbox.fingerprint(paths)


def _train(
    steps: Steps, path: Path, imports: list[str], *, branch: str, targets: list[str], pull: bool, push: bool
) -> str:
    """Train on the data as it is now, which may be newer than at the look."""
    steps.dvc("update", "--", *imports)
    trained_on = inbox.fingerprint(steps.clone.root / name for name in imports)
    try:
        said = bring_up_to_date(steps, branch=branch, targets=targets, fetch=False, pull=pull, push=push)
    except (StepFailedError, GateFailedError):
        _note_done(path, trained_on)  # the same data would fail again; a run that was stopped goes on instead
        raise
    _note_done(path, trained_on)
    return said


def _note_done(path: Path, fingerprint: str) -> None:
    memory = inbox.read_memory(path)
    inbox.write_memory(path, inbox.LookMemory(seen=memory.seen, since=memory.since, done=fingerprint))
