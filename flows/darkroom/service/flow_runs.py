"""The flow runs of deployments: what the server says of them, and whether a process here executes them.

If the process of a run is killed, nobody tells Prefect, and Prefect does not retry a crashed run. This module
finds such runs and schedules them again. They continue from the finished stages and from checkpoints.
"""

from __future__ import annotations

import contextlib
import datetime
import os
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

import psutil
from prefect import get_client
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterEndTime,
    FlowRunFilterParentTaskRunId,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, State, StateType, WorkerStatus
from prefect.client.schemas.sorting import FlowRunSort
from prefect.states import AwaitingRetry, Cancelled

GOING = (StateType.RUNNING, StateType.PENDING, StateType.CANCELLING)
ENDED = (StateType.COMPLETED, StateType.FAILED, StateType.CRASHED)
UNFINISHED = (StateType.CRASHED, StateType.RUNNING, StateType.PENDING)

ATTEMPTS = 3
"""What crashes so often is not tried again: something else is wrong."""

RECENT = datetime.timedelta(days=1)
"""Runs that crashed before have been followed by newer ones."""

TAKING = datetime.timedelta(minutes=1)
"""A worker says first that it has a run, and then starts the process."""


def own_name() -> str:
    """What this host's workers are called on Prefect's pages."""
    return f"darkroom-{os.uname().nodename}"


def flow_run_of(process: psutil.Process) -> UUID | None:
    """The flow run that a process executes; None: none."""
    with contextlib.suppress(psutil.Error, OSError, ValueError, KeyError):
        return UUID(process.environ()["PREFECT__FLOW_RUN_ID"])
    return None


def read_flow_runs(
    client: SyncPrefectClient,
    types: Sequence[StateType],
    sort: FlowRunSort = FlowRunSort.START_TIME_DESC,
    *,
    ended_after: datetime.datetime | None = None,
) -> list[FlowRun]:
    """Runs that are nobody's child, in these states."""
    wanted = FlowRunFilter(
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=list(types))),
        parent_task_run_id=FlowRunFilterParentTaskRunId(is_null_=True),
        end_time=FlowRunFilterEndTime.model_validate({"after_": ended_after}) if ended_after else None,
    )
    return client.read_flow_runs(flow_run_filter=wanted, sort=sort)


def last_ended(client: SyncPrefectClient, deployments: Iterable[UUID]) -> list[FlowRun]:
    """The run of each deployment that ended last, but for cancelled ones; none where none has ended."""
    ended = FlowRunFilter(
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[*ENDED])),
    )
    return [
        run
        for deployment in deployments
        for run in client.read_flow_runs(
            flow_run_filter=ended.model_copy(
                update={"deployment_id": FlowRunFilterDeploymentId(any_=[deployment])}
            ),
            sort=FlowRunSort.END_TIME_DESC,
            limit=1,
        )
    ]


def lost_flow_runs(
    client: SyncPrefectClient, going: Iterable[FlowRun], pools: Sequence[str]
) -> list[FlowRun]:
    """The runs that a worker of this host has taken, and that no process executes."""
    ours = {name for name in pools if not _works_elsewhere(client, name)}
    return _not_executed(run for run in going if run.work_pool_name in ours and not _being_taken(run))


def to_be_retried(pools: Sequence[str]) -> list[UUID]:
    """The pools' runs that are lost, and those that have crashed a little while ago."""
    recently = datetime.datetime.now(datetime.UTC) - RECENT
    with get_client(sync_client=True) as client:
        crashed = [
            run
            for run in read_flow_runs(client, (StateType.CRASHED,), ended_after=recently)
            if run.work_pool_name in pools and run.run_count < ATTEMPTS
        ]
        return [
            run.id
            for run in (
                *lost_flow_runs(client, read_flow_runs(client, GOING), pools),
                *_not_executed(crashed),
            )
        ]


async def put_back(runs: Iterable[UUID], why: str) -> list[UUID]:
    """Schedule again, for now, the runs that did not end by themselves; those being cancelled have been."""
    rescheduled = []
    async with get_client() as client:
        for run in runs:
            state = (await client.read_flow_run(run)).state_type
            if state is StateType.CANCELLING:
                await client.set_flow_run_state(run, Cancelled(message=why), force=True)
            elif state in UNFINISHED:
                waiting: State[Any] = AwaitingRetry(message=f"{why}; it goes on when a worker takes it again")
                await client.set_flow_run_state(run, waiting, force=True)
                rescheduled.append(run)
    return rescheduled


def _not_executed(runs: Iterable[FlowRun]) -> list[FlowRun]:
    """The runs that no process of this host executes."""
    runs = list(runs)
    executed = {flow_run_of(process) for process in psutil.process_iter()} if runs else set()
    return [run for run in runs if run.id not in executed]


def _being_taken(run: FlowRun) -> bool:
    if run.state is None or run.state_type is not StateType.PENDING:
        return False
    return datetime.datetime.now(datetime.UTC) - run.state.timestamp < TAKING


def _works_elsewhere(client: SyncPrefectClient, pool: str) -> bool:
    """Whether another host's worker is at the pool: its processes are not to be seen here."""
    at = {"work_pool_name": pool}
    asked = client.request("POST", "/work_pools/{work_pool_name}/workers/filter", path_params=at, json={})
    workers = asked.json()
    mine = own_name()
    return any(one["name"] != mine and one["status"] == WorkerStatus.ONLINE.value for one in workers)
