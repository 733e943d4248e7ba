"""A Prefect process worker that stops in order and loses no run.

At SIGTERM Prefect's own worker kills its flow runs and reports nothing. This worker takes no more runs,
passes the signal on, and waits until the runs have ended (stages write their checkpoints). Then it schedules
the runs that the signal ended again, so that they continue when a worker is back. It also schedules runs
again whose process was killed. It executes only what `darkroom up` registered.
"""

from __future__ import annotations

import asyncio
import contextlib
import shlex
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import psutil
from anyio.abc import TaskStatus
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import PrefectException
from prefect.states import Failed
from prefect.workers.process import ProcessJobConfiguration, ProcessWorker, ProcessWorkerResult

from darkroom.base import interpreter
from darkroom.processes import daemons
from darkroom.server.places import server_folder
from darkroom.service import flow_runs, worker_process, workers
from darkroom.service.registered import read_registered, refusal_of_run

LOST_SECONDS = 15.0
"""Between two looks for runs whose process was killed."""

SURE_SECONDS = 5.0
"""Later it must still be lost: its worker may be about to tell, or it is just being started."""

ENGINE = "darkroom.deployments.engine"
"""What executes a flow run of ours."""

_LOOK_SECONDS = 0.2


class _Configuration(ProcessJobConfiguration):
    """How a flow run is started."""

    def prepare_for_flow_run(self, flow_run: Any, deployment: Any = None, *others: Any, **named: Any) -> None:
        """Let a flow of ours be executed by an interpreter that does not look into the project's folder."""
        module = worker_process.own_module(deployment.entrypoint if deployment else None)
        if module and self.command is None:
            # Prefect puts the project's folder before all others while it imports a flow.
            self.command = shlex.join(interpreter.python_command(ENGINE, imported=[module]))
            self.env = {**worker_process.OWN_LOGGING, **self.env}
        super().prepare_for_flow_run(flow_run, deployment, *others, **named)


class _Worker(ProcessWorker):
    job_configuration = _Configuration


async def take_runs(root: Path, pool: str, ready: Callable[[], None]) -> None:
    """Take runs from the pool until SIGTERM or SIGINT; then see to it that those under way end in order."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    worker = _Worker(work_pool_name=pool, name=flow_runs.own_name())
    take = worker.get_and_submit_flow_runs

    async def take_unless_stopping() -> list[Any]:
        return [] if stop.is_set() else await take()

    worker.get_and_submit_flow_runs = take_unless_stopping  # type: ignore[method-assign]
    worker.run = _registered_only(worker, root)  # type: ignore[assignment,method-assign]

    def say(text: str) -> None:
        """The worker's first words are that it has started."""
        if not stop.is_set():
            ready()
        print(text, flush=True)

    working = asyncio.create_task(worker.start(printer=say))
    looking = asyncio.create_task(_look_for_lost(pool))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
    looking.cancel()
    if working.done():
        working.result()  # it ended by itself: by an error
        return
    ended = await _end_flow_runs()
    working.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await working
    try:
        await flow_runs.put_back(ended, "stopped with its worker")
    except httpx.HTTPError as error:  # the next worker finds them without a process
        print(f"the server does not answer ({error}): the runs are put back when a worker starts", flush=True)


def _registered_only(worker: ProcessWorker, root: Path) -> Callable[..., Awaitable[ProcessWorkerResult]]:
    """`worker.run`, by which every process of a flow run is started, for what is registered alone."""
    execute = worker.run

    async def run(
        flow_run: FlowRun, configuration: ProcessJobConfiguration, task_status: TaskStatus[int] | None = None
    ) -> ProcessWorkerResult:
        while True:
            changing = daemons.is_up_or_down_at_work(daemons.services_folder(root))
            why = await _refusal(worker.client, flow_run.id, worker.work_pool.name, root)
            if why is None:
                return await execute(flow_run, configuration, task_status)
            if not changing:
                break
            await asyncio.sleep(_LOOK_SECONDS)  # `up` may be about to register just this
        print(f"flow run {flow_run.id}: refused: {why}", flush=True)
        await worker.client.set_flow_run_state(flow_run.id, Failed(message=f"refused: {why}"), force=True)
        if task_status is not None:
            task_status.started(0)
        return ProcessWorkerResult(status_code=0, identifier="refused")

    return run


async def _refusal(client: PrefectClient, run: UUID, pool: str, root: Path) -> str | None:
    """Why the run must not be executed, by what the server says of it now."""
    flow_run, deployment = await client.read_flow_run(run), None
    if flow_run.deployment_id is not None:
        deployment = await client.read_deployment(flow_run.deployment_id)
    known = read_registered(server_folder(root))
    return refusal_of_run(flow_run, deployment, await client.read_work_pool(pool), known, root)


async def put_back_lost(pool: str) -> None:
    """Schedule again the runs whose process was killed, alone or with its worker."""
    seen = await asyncio.to_thread(flow_runs.to_be_retried, [pool])
    if not seen:
        return
    await asyncio.sleep(SURE_SECONDS)
    retried = await asyncio.to_thread(flow_runs.to_be_retried, [pool])
    runs = [run for run in retried if run in seen]
    for run in await flow_runs.put_back(runs, "its process was gone"):
        print(f"flow run {run}: its process was gone; scheduled again", flush=True)


async def _look_for_lost(pool: str) -> None:
    while True:
        await asyncio.sleep(LOST_SECONDS)
        with contextlib.suppress(httpx.HTTPError, PrefectException):  # the next look finds them too
            await put_back_lost(pool)


async def _end_flow_runs() -> set[UUID]:
    """Pass SIGTERM on to the runs under way, and wait for them; returns those that had it."""
    signalled: set[UUID] = set()
    give_up = time.monotonic() + workers.STOP_SECONDS
    while (children := psutil.Process().children()) and time.monotonic() < give_up:
        for child in children:
            run = flow_runs.flow_run_of(child)
            # Prefect starts more processes for a run that was ended.
            if run is not None and run not in signalled:
                signalled.add(run)
                with contextlib.suppress(psutil.NoSuchProcess):
                    child.terminate()
        await asyncio.sleep(_LOOK_SECONDS)
    return signalled
