"""Whether the Prefect API that is set answers."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request

from darkroom.base.errors import DarkroomError
from darkroom.server.configured import Configured

PROBE_SECONDS = 5


def require_answer(set_to: Configured) -> None:
    """Ask whether something healthy answers there.

    Raises:
        DarkroomError: Nothing does.

    """
    try:
        with urllib.request.urlopen(f"{set_to.url.rstrip('/')}/health", timeout=PROBE_SECONDS):
            return
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise DarkroomError(
            f"{set_to.where}: no Prefect server answers at {set_to.url} ({reason});"
            f" start it, or {set_to.mend} to record the run in the project's folder"
        ) from error


def silence_of(set_to: Configured) -> str:
    """What is wrong where nothing healthy answers there, in a line; empty where something does."""
    try:
        require_answer(set_to)
    except DarkroomError as error:
        return str(error)
    return ""
