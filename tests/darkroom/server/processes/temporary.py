"""A Prefect server as a child process, which lives as long as its owner: for tests and benchmarks.

It ends when its owner does, however the owner ends: its standard input is a pipe that the kernel then closes.
It binds to a free port of loopback, and is Prefect's web server alone, without the scheduling services.
"""

from __future__ import annotations

import contextlib
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

from darkroom.base import interpreter
from darkroom.base.errors import DarkroomError
from darkroom.base.files import make_private_folder
from darkroom.server.serving import START_SECONDS

STOP_SECONDS = 10


@contextlib.contextmanager
def temporary_server(folder: Path) -> Iterator[str]:
    """Serve the database in `folder` from a child process; yields the API's URL once it answers."""
    make_private_folder(folder)
    log = folder / "server.log"
    with log.open("w") as messages:
        server = subprocess.Popen(
            interpreter.python_command("darkroom.server.serving", str(folder), "0"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=messages,
            text=True,
            start_new_session=True,
        )
    try:
        if not (url := _wait_for_url(server)):
            raise DarkroomError(
                f"{log}: Prefect's temporary server did not start; its messages are in that file"
            )
        yield url
    finally:
        _end(server)


def _wait_for_url(server: subprocess.Popen[str]) -> str:
    """The line that the server prints when it answers; empty where it ended before."""
    assert server.stdout is not None
    watchdog = threading.Timer(START_SECONDS, server.kill)
    watchdog.start()
    try:
        with server.stdout as lines:
            return lines.readline().strip()
    finally:
        watchdog.cancel()


def _end(server: subprocess.Popen[str]) -> None:
    """Close the process's standard input, on which it ends; kill it if it does not."""
    assert server.stdin is not None
    server.stdin.close()
    try:
        server.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
