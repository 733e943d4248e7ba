"""Runs whose letters are delivered by this process, to the server that Prefect's client is set to."""

from __future__ import annotations

import contextlib
import contextvars
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from darkroom.reporting.deliverers import Destination
from darkroom.reporting.pipeline import run_reported
from darkroom.runs.ended import EndedRun
from darkroom.runs.report import RunOptions
from darkroom.schedule.events import Event, ignore
from darkroom.schedule.executor import Executor
from darkroom.server.clients import API_URL
from darkroom.tracking.to_api import deliver_elsewhere

PATIENCE = 60.0


def run_told(
    options: RunOptions,
    root: Path,
    observe: Callable[[Event], None] = ignore,
    *,
    executor: Executor | None = None,
) -> EndedRun:
    """Run, and have all that was told delivered."""
    with told_meanwhile(root):
        record, lost = run_reported(options, root, here(), observe, executor=executor, patience=0)
    assert lost is None
    return record


def here() -> Destination:
    """Where Prefect's client is set to; the run starts nobody to deliver."""
    return Destination(os.environ[API_URL], "")


@contextlib.contextmanager
def told_meanwhile(root: Path, seconds: float = PATIENCE) -> Iterator[None]:
    """Deliver in a thread until the block ends and nothing is left, or the server is silent for `seconds`."""
    over = threading.Event()
    url = os.environ[API_URL]

    def deliver() -> None:
        while not over.is_set():
            deliver_elsewhere(root, url, seconds)
            over.wait(0.05)
        deliver_elsewhere(root, url, seconds)

    context = contextvars.copy_context()  # Prefect's settings stand in it
    thread = threading.Thread(target=context.run, args=(deliver,))
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
