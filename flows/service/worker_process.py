"""`python -m flows.service.worker_process ROOT POOL`: a Prefect process worker that stops in order.

Prefect's own worker kills its flow runs at SIGTERM and reports nothing. This one takes no more runs, passes
the signal on, waits until the runs have ended (stages write their checkpoints), and puts those that the
signal ended back among the scheduled ones: they go on when a worker is there again.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import httpx
import psutil

from flows.errors import DarkroomError
from flows.server import server_folder
from flows.service import login
from flows.service.daemons import ServiceError, make_services_folder, registered
from flows.stage_process import GRACE_SECONDS

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State

PREFIX = "worker-"
STOP_SECONDS = GRACE_SECONDS + 12.0
"""For flow runs after the signal: their stages' grace, and what the runs themselves still have to do."""

HEARTBEAT_SECONDS = 30
"""Between two of a flow run: the most often that Prefect can."""

SETTINGS = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_SECONDS),
}

_LOOK_SECONDS = 0.2


def name_of(pool: str) -> str:
    """What the service of a work pool is called."""
    return f"{PREFIX}{pool}"


def own_name() -> str:
    """What this host's workers are called on Prefect's pages."""
    return f"darkroom-{os.uname().nodename}"


def flow_run_of(process: psutil.Process) -> UUID | None:
    """The flow run that a process executes; None: none."""
    with contextlib.suppress(psutil.Error, OSError, ValueError, KeyError):
        return UUID(process.environ()["PREFECT__FLOW_RUN_ID"])
    return None


async def work(pool: str, ready: Callable[[], None]) -> None:
    """Take runs from the pool until SIGTERM or SIGINT; then see to it that those under way end in order."""
    from prefect.workers.process import ProcessWorker

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    worker = ProcessWorker(work_pool_name=pool, name=own_name())
    take = worker.get_and_submit_flow_runs

    async def take_unless_stopping() -> list[Any]:
        return [] if stop.is_set() else await take()

    worker.get_and_submit_flow_runs = take_unless_stopping  # type: ignore[method-assign]

    def say(text: str) -> None:
        """The worker's first words are that it has started."""
        if not stop.is_set():
            ready()
        print(text, flush=True)

    working = asyncio.create_task(worker.start(printer=say))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if working.done():
        working.result()  # it ended by itself: by an error
        return
    ended = await end_flow_runs()
    working.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await working
    try:
        await put_back(ended, "stopped with its worker")
    except httpx.HTTPError as error:  # the next worker finds them without a process
        print(f"the server does not answer ({error}): the runs are put back when a worker starts", flush=True)


async def end_flow_runs() -> set[UUID]:
    """Pass SIGTERM on to the runs under way, and wait for them; returns those that had it."""
    told: set[UUID] = set()
    give_up = time.monotonic() + STOP_SECONDS
    while (children := psutil.Process().children()) and time.monotonic() < give_up:
        for child in children:
            run = flow_run_of(child)
            if run is not None and run not in told:  # Prefect starts more processes for a run that was ended
                told.add(run)
                with contextlib.suppress(psutil.NoSuchProcess):
                    child.terminate()
        await asyncio.sleep(_LOOK_SECONDS)
    return told


async def put_back(runs: Iterable[UUID], why: str) -> list[UUID]:
    """Schedule again, for now, the runs that did not end by themselves; those being cancelled have been."""
    from prefect import get_client
    from prefect.client.schemas.objects import StateType
    from prefect.states import AwaitingRetry, Cancelled

    again = []
    async with get_client() as client:
        for run in runs:
            state = (await client.read_flow_run(run)).state_type
            if state is StateType.CANCELLING:
                await client.set_flow_run_state(run, Cancelled(message=why), force=True)
            elif state in (StateType.CRASHED, StateType.RUNNING, StateType.PENDING):
                waiting: State[Any] = AwaitingRetry(message=f"{why}; it goes on when a worker takes it again")
                await client.set_flow_run_state(run, waiting, force=True)
                again.append(run)
    return again


def run(root: Path, pool: str) -> None:
    """Work until SIGTERM. Raises ServiceError where the pool has a worker, or there is no server."""
    services, folder = make_services_folder(root), server_folder(root)
    with registered(services, name_of(pool)) as registration:
        if not login.profiles_file(folder).exists():
            raise ServiceError("the project has no Prefect server yet; `darkroom up` starts one")
        os.environ.pop("PREFECT_PROFILE", None)  # of another file of profiles
        os.environ.update({**SETTINGS, "PREFECT_HOME": str(folder), **login.client_environment(folder)})
        from prefect.settings import get_current_settings

        url = get_current_settings().api.url
        assert url is not None
        try:
            put_back_lost(pool)
        except httpx.HTTPError as error:
            raise ServiceError(f"the server at {url} does not answer: {error}") from error
        asyncio.run(work(pool, lambda: registration.ready(url)))


def put_back_lost(pool: str) -> None:
    """Schedule again the runs that a worker of this host was killed with."""
    from flows.service.status import lost_runs

    for run in asyncio.run(put_back(lost_runs([pool]), "its process was gone")):
        print(f"flow run {run}: its process was gone; scheduled again", flush=True)


def main() -> int:
    """The entry point of the process."""
    try:
        run(Path(sys.argv[1]), sys.argv[2])
    except DarkroomError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
