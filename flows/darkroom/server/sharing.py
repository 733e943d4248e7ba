"""The servers of a project: never two at once on one database.

The server of `darkroom up` has a lock among the services. All other servers (of `darkroom ui`, of a sweep,
and those that runs start) use one common lock. The file of this lock has the address of the server that holds
it.
"""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from darkroom.processes import daemons
from darkroom.server.places import port_of, server_folder

SHARED = "ui"
"""The file that is locked by who serves the folder, but for `darkroom up`, with the API's URL in it."""

RECORDER = "recorder"
"""The name among the project's services of the server that a run has started."""

STOP_SECONDS = 15.0
_PORT = "port"


def kept_up(root: Path) -> str | None:
    """The URL of the server that `darkroom up` has started for the project at `root`, or None."""
    seen = daemons.daemon_state(daemons.services_folder(root), "server")
    return seen.note.url if seen.running and seen.note else None


def shared_url(folder: Path) -> str | None:
    """The URL of the server that `darkroom ui`, a sweep or a run has on `folder`, or None."""
    return ((folder / SHARED).read_text().strip() or None) if is_shown(folder) else None


def is_shown(folder: Path) -> bool:
    """Whether somebody other than `darkroom up` serves `folder`, or is about to."""
    try:
        with (folder / SHARED).open() as file:
            return _is_locked(file)
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def holding_pages(root: Path) -> Iterator[Callable[[str], None] | None]:
    """Be the one that serves the project at `root`, but for `darkroom up`; yields what shares the API's URL.

    None where another serves it, or is about to.
    """
    with (server_folder(root) / SHARED).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
            return
        file.truncate(0)  # what one that was killed has left
        if daemons.daemon_state(daemons.services_folder(root), "server").running:
            yield None
            return

        def share(url: str) -> None:
            file.write(url)
            file.flush()
            (server_folder(root) / _PORT).write_text(str(port_of(url)))

        try:
            yield share
        finally:
            file.truncate(0)


def last_port(root: Path) -> int | None:
    """The port of the last server of the project that was not `darkroom up`'s: who knew it looks there."""
    try:
        return int((server_folder(root) / _PORT).read_text())
    except (OSError, ValueError):
        return None


def end_recorder(root: Path) -> None:
    """End the server that a run has started, so that another takes its place. It loses nothing."""
    daemons.stop(daemons.services_folder(root), RECORDER, STOP_SECONDS)


def _is_locked(file: IO[str]) -> bool:
    """Whether another process holds the file's lock; those who only look do not get in each other's way."""
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(file, fcntl.LOCK_UN)
    return False
