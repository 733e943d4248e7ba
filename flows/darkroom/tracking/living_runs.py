"""Whether the process that records a flow run lives: told by a lock that the kernel frees when it is gone.

A run that is killed tells Prefect nothing; its flow runs would stay Running for ever. Each is labelled with
its host and with a file that its process locks, and whoever looks next (a run, `darkroom status`) says of
those without a process that they have crashed. A run that could not tell its end has removed the file.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.states import Crashed

from darkroom.base.files import STATE_FOLDER

RUN_FLOW, STAGE_FLOW = "darkroom", "darkroom-stage"
KILLED = "its process was killed"
_HOST, _LOCK = "darkroom.host", "darkroom.lock"
_UNFINISHED = (StateType.RUNNING, StateType.PENDING, StateType.CANCELLING, StateType.SCHEDULED)


@contextlib.contextmanager
def living_run(root: Path) -> Iterator[dict[str, str]]:
    """Hold a lock until the block ends; the labels that lead to it, none where there cannot be one."""
    file = root.absolute() / STATE_FOLDER / "runs" / f"{uuid4()}.lock"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError:  # a full disk: then nobody can tell, and the run goes on
        yield {}
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield {_HOST: os.uname().nodename, _LOCK: str(file)}
    finally:
        with contextlib.suppress(OSError):
            file.unlink()
        os.close(descriptor)


def is_gone(labels: Mapping[str, Any]) -> bool:
    """Whether the process behind the labels has ended, as far as this host can tell."""
    if labels.get(_HOST) != os.uname().nodename or _LOCK not in labels:
        return False
    file = Path(str(labels[_LOCK]))
    try:
        descriptor = os.open(file, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return file.parent.is_dir()  # else it is another container's
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def end_killed(client: SyncPrefectClient) -> list[FlowRun]:
    """Say of the runs without a process, and of their stages, that they have crashed; those runs."""
    gone = [run for run in _unfinished(client) if is_gone(run.labels)]
    for run in gone:
        client.set_flow_run_state(run.id, Crashed(message=KILLED), force=True)
    for file in {Path(str(run.labels[_LOCK])) for run in gone}:
        with contextlib.suppress(OSError):
            file.unlink()
    return [run for run in gone if run.parent_task_run_id is None]


def _unfinished(client: SyncPrefectClient) -> list[FlowRun]:
    wanted = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=list(_UNFINISHED))))
    ours = FlowFilter(name=FlowFilterName(any_=[RUN_FLOW, STAGE_FLOW]))
    return client.read_flow_runs(flow_filter=ours, flow_run_filter=wanted)
