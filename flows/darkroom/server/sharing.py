"""The servers of a project that run already: that of `darkroom up`, and that of `darkroom ui`."""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import IO

from darkroom.processes import daemons

SHARED = "ui"
"""The file that `darkroom ui` locks while it serves the folder, with the API's URL in it."""


def kept_up(root: Path) -> str | None:
    """The URL of the server that `darkroom up` has started for the project at `root`, or None."""
    seen = daemons.daemon_state(daemons.services_folder(root), "server")
    return seen.note.url if seen.running and seen.note else None


def shared_url(folder: Path) -> str | None:
    """The URL of the server that `darkroom ui` runs on `folder`, or None."""
    return ((folder / SHARED).read_text().strip() or None) if is_shown(folder) else None


def is_shown(folder: Path) -> bool:
    """Whether `darkroom ui` serves `folder`, or is about to."""
    try:
        with (folder / SHARED).open() as file:
            return _is_locked(file)
    except FileNotFoundError:
        return False


def _is_locked(file: IO[str]) -> bool:
    """Whether another process holds the file's lock; those who only look do not get in each other's way."""
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(file, fcntl.LOCK_UN)
    return False
