"""What a test has left running: threads of this process, and processes however far they have gone from it.

Prefect and tqdm keep threads for as long as a process lives. They are ended with each test: one that went on
would draw random numbers, or write to a closed stream, in the middle of another test.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

from tqdm import TMonitor

TEST = "DARKROOM_TEST"
"""In the environment of each process that a test starts, and of all that come of it."""

SESSION = "DARKROOM_TESTS"
"""The same of all tests that one process of pytest runs, and of the fixtures that they share."""

PATIENCE_SECONDS = 30.0
"""A server that was told to end takes some; nothing waits that long where all is well."""

LOOK_SECONDS = 0.02


def shared_environment() -> dict[str, str]:
    """For a process that belongs to a fixture shared by tests, whichever of them starts it."""
    return {name: value for name, value in os.environ.items() if name != TEST}


def threads() -> set[threading.Thread]:
    """All of this process."""
    return set(threading.enumerate())


_TRACKER = "resource_tracker import main"
"""In the command of Python's and loky's trackers of shared memory: one a process, which ends with it."""


def processes(variable: str, value: str) -> dict[int, str]:
    """Command lines by pid of the processes that have this in their environment; this one does not count."""
    sought = f"{variable}={value}".encode()
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):  # it is gone, or somebody else's
            if sought in (entry / "environ").read_bytes().split(b"\0"):
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if _TRACKER not in command:
                    found[int(entry.name)] = command.strip()
    return found


def await_end(before: set[threading.Thread], variable: str, value: str) -> list[str]:
    """What still runs that did not before, after a while for it to end, in words."""
    _end_prefect()
    _end_tqdm()
    _end_fsspec()
    give_up = time.monotonic() + PATIENCE_SECONDS
    while (left := _left(before, variable, value)) and time.monotonic() < give_up:
        time.sleep(LOOK_SECONDS)
    return left


def _left(before: set[threading.Thread], variable: str, value: str) -> list[str]:
    new = [f"thread {thread.name}" for thread in threads() - before if thread.is_alive()]
    return new + [f"process {pid}: {command}" for pid, command in processes(variable, value).items()]


def _end_tqdm() -> None:
    """End the threads that watch over progress bars; the next bar starts another."""
    for thread in threads():
        if isinstance(thread, TMonitor):
            thread.exit()


def _end_fsspec() -> None:
    """End the loop in which S3 and ssh are asked; the next file system starts another."""
    module = sys.modules.get("fsspec.asyn")
    loop, thread = (module.loop[0], module.iothread[0]) if module is not None else (None, None)
    if module is None or loop is None or thread is None:
        return
    asyncio.run_coroutine_threadsafe(_close_connections(loop), loop).result(PATIENCE_SECONDS)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(PATIENCE_SECONDS)
    loop.close()
    module.loop[0] = module.iothread[0] = None


async def _close_connections(loop: Any) -> None:
    """Close what a loop holds open, and end what waits for it."""
    for transport in list(loop._transports.values()):
        transport.abort()
    await asyncio.sleep(0)
    waiting = asyncio.all_tasks() - {asyncio.current_task()}
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    await loop.shutdown_default_executor()


def _end_prefect() -> None:
    """End the threads in which Prefect sends logs and events, and runs its loops."""
    services = sys.modules.get("prefect._internal.concurrency.services")
    if services is not None:
        for service in list(services._QueueServiceBase._instances.values()):
            service._drain().result(PATIENCE_SECONDS)
    loops = sys.modules.get("prefect._internal.concurrency.threads")
    if loops is not None:
        for name in ("_run_sync_loop", "_global_loop"):
            loop = getattr(loops, name)
            if loop is not None and loop.thread.is_alive():
                loop.shutdown()
                loop.thread.join(PATIENCE_SECONDS)
