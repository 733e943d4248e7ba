"""A Prefect process worker that stops in order, and that sees to it that no run is lost.

Prefect's own, at SIGTERM, kills its flow runs and reports nothing. This one takes no more runs, passes the
signal on, waits until the runs have ended (stages write their checkpoints), and puts those that the signal
ended back among the scheduled ones: they go on when a worker is there again. Runs whose process is killed it
schedules again as well.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

import httpx
import psutil
from prefect.exceptions import PrefectException
from prefect.workers.process import ProcessWorker

from flows.service import flow_runs
from flows.service.worker_process import STOP_SECONDS

LOST_SECONDS = 15.0
"""Between two looks for runs whose process was killed."""

SURE_SECONDS = 5.0
"""Later it must still be lost: its worker may be about to tell, or it is just being started."""

_LOOK_SECONDS = 0.2


async def work(pool: str, ready: Callable[[], None]) -> None:
    """Take runs from the pool until SIGTERM or SIGINT; then see to it that those under way end in order."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    worker = ProcessWorker(work_pool_name=pool, name=flow_runs.own_name())
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


async def put_back_lost(pool: str) -> None:
    """Schedule again the runs whose process was killed, alone or with its worker."""
    seen = await asyncio.to_thread(flow_runs.to_be_retried, [pool])
    if not seen:
        return
    await asyncio.sleep(SURE_SECONDS)
    again = await asyncio.to_thread(flow_runs.to_be_retried, [pool])
    runs = [run for run in again if run in seen]
    for run in await flow_runs.put_back(runs, "its process was gone"):
        print(f"flow run {run}: its process was gone; scheduled again", flush=True)


async def _look_for_lost(pool: str) -> None:
    while True:
        await asyncio.sleep(LOST_SECONDS)
        with contextlib.suppress(httpx.HTTPError, PrefectException):  # the next look finds them too
            await put_back_lost(pool)


async def _end_flow_runs() -> set[UUID]:
    """Pass SIGTERM on to the runs under way, and wait for them; returns those that had it."""
    told: set[UUID] = set()
    give_up = time.monotonic() + STOP_SECONDS
    while (children := psutil.Process().children()) and time.monotonic() < give_up:
        for child in children:
            run = flow_runs.flow_run_of(child)
            if run is not None and run not in told:  # Prefect starts more processes for a run that was ended
                told.add(run)
                with contextlib.suppress(psutil.NoSuchProcess):
                    child.terminate()
        await asyncio.sleep(_LOOK_SECONDS)
    return told
