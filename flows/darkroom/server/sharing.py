"""The servers of a project: never two at once on one database.

The server of `darkroom up` has a lock among the services. All other servers (of `darkroom ui`, of a sweep,
and those that runs start) use one common lock. The file of this lock has the address of the server that holds
it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from darkroom.base.locks import first_held, lock_range
from darkroom.processes import daemons
from darkroom.server.places import port_of, server_folder

SHARED = "ui"
"""The file that is locked by who serves the folder, but for `darkroom up`, with the API's URL in it."""

RECORDER = "recorder"
"""The name among the project's services of the server that a run has started."""

STOP_SECONDS = 15.0
_PORT = "port"
_HELD = (0, 1)  # the byte of the file that is locked


def kept_up(root: Path) -> str | None:
    """The URL of the server that `darkroom up` has started for the project at `root`, or None."""
    seen = daemons.daemon_state(daemons.services_folder(root), "server")
    return seen.note.url if seen.running and seen.note else None


def shared_url(folder: Path) -> str | None:
    """The URL of the server that `darkroom ui`, a sweep or a run has on `folder`, or None."""
    return ((folder / SHARED).read_text().strip() or None) if is_shown(folder) else None


def is_shown(folder: Path) -> bool:
    """Whether somebody other than `darkroom up` serves `folder`, or is about to.

    The lock is not taken for that: who is about to serve would find it taken.
    """
    try:
        with (folder / SHARED).open() as file:
            return first_held(file.fileno(), *_HELD) is not None
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def holding_pages(root: Path) -> Iterator[Callable[[str], None] | None]:
    """Serve the project at `root` as the only process but `darkroom up`; yields what shares the API's URL.

    None where another serves it, or is about to.
    """
    with (server_folder(root) / SHARED).open("a+") as file:
        if not lock_range(file.fileno(), *_HELD):
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
