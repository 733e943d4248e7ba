"""The process that delivers a run's letters: the run starts one if none serves the project.

Usually it is the project's own server, which lives on for a while, so that the next run and the pages find
it. If Prefect is set to a server elsewhere, it is a process that delivers to that server and then ends.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from darkroom.base import interpreter
from darkroom.base.errors import DarkroomError, UsageError
from darkroom.base.files import make_private_folder
from darkroom.processes import daemons
from darkroom.server.configured import configured_api
from darkroom.server.places import runs_page, server_folder
from darkroom.server.sharing import RECORDER, is_shown, kept_up

MODULE = "darkroom.tracking.recorder_process"

SERVER_SECONDS = "DARKROOM_SERVER_SECONDS"
"""The variable that says how long the project's own server lives without a request; 0: runs start none."""

PATIENCE = "DARKROOM_PATIENCE"
"""The variable that has a run wait at its end for so many seconds of silence until all is delivered."""

STOPPED_SECONDS = 1.5
"""The most of this waiting after an interruption, which gives the stages 8 s: all ends within 10 s."""

IDLE_SECONDS = 900.0
"""The default: the project's own server ends after so long without a request. Who delivers to a server
elsewhere waits as long for one that is silent."""

STARTS = 3
"""How often one run starts a deliverer."""


@dataclass(frozen=True, slots=True)
class Destination:
    """The Prefect API that a run's letters go to."""

    url: str
    """The URL of a Prefect API; empty: the project's own server."""
    where_to_look: str
    """A sentence that leads to the run's pages."""
    seconds: float = IDLE_SECONDS
    """How long the project's own server lives without a request."""

    @property
    def deliverer(self) -> str:
        """The name among the project's services of who delivers there."""
        return RECORDER if not self.url else f"{RECORDER}-{hashlib.sha256(self.url.encode()).hexdigest()[:8]}"


def destination_of(root: Path, environ: Mapping[str, str]) -> Destination:
    """Find where a run of the project at `root` is recorded, by the environment and Prefect's settings files.

    Raises:
        UsageError: The environment asks for no number of seconds.
        DarkroomError: A settings file of Prefect's cannot be read.

    """
    seconds = server_seconds(environ)
    if set_to := configured_api(root, environ):
        return Destination(set_to.url, set_to.url.rstrip("/").removesuffix("/api"), seconds)
    url = kept_up(root)
    return Destination("", runs_page(url) if url else "`darkroom ui` shows all runs so far", seconds)


def server_seconds(environ: Mapping[str, str]) -> float:
    """How long the project's own server lives without a request, in seconds.

    Raises:
        UsageError: What `environ` says is no number of seconds.

    """
    return _seconds(environ, SERVER_SECONDS, IDLE_SECONDS)


def patience_of(environ: Mapping[str, str]) -> float:
    """How many seconds of silence a run waits for at its end until all is delivered.

    Raises:
        UsageError: What `environ` says is no number of seconds.

    """
    return _seconds(environ, PATIENCE, 0.0)


def _seconds(environ: Mapping[str, str], name: str, plain: float) -> float:
    given = environ.get(name) or str(plain)
    try:
        seconds = float(given)
    except ValueError:
        seconds = -1.0
    if not seconds >= 0:
        raise UsageError(f"{name}: {given}: a number of seconds is needed, such as 60")
    return seconds


def is_delivering(root: Path, destination: Destination) -> bool:
    """Whether somebody delivers the project's letters for there: `up`, `ui`, or who was started by a run."""
    services = daemons.services_folder(root)
    if daemons.daemon_state(services, destination.deliverer).running:
        return True
    return not destination.url and (
        daemons.daemon_state(services, "server").running or is_shown(server_folder(root))
    )


class Deliverer:
    """Sees that somebody delivers a project's letters: starts a process for it where there is none.

    That outlives this one. Nothing of it is waited for, and what is wrong with it is its log's to tell.
    """

    def __init__(self, root: Path, destination: Destination) -> None:
        self._root, self._destination = root, destination
        self._child: subprocess.Popen[bytes] | None = None
        self._starts = 0

    def ensure(self) -> None:
        """Start one if nobody delivers, and if it has not ended too often."""
        starting = self._child is not None and self._child.poll() is None
        if starting or self.has_failed or is_delivering(self._root, self._destination):
            return
        self._starts += 1
        with contextlib.suppress(OSError, DarkroomError):  # no processes, no room: a later run starts one
            self._child = _started(self._root, self._destination)

    @property
    def has_failed(self) -> bool:
        """Whether all that were started have ended."""
        return self._starts >= STARTS and (self._child is None or self._child.poll() is not None)

    def leave(self) -> None:
        """Let it go on without this process."""
        if self._child is not None and self._child.poll() is None:
            self._child.returncode = 0  # nobody waits for it


def _started(root: Path, destination: Destination) -> subprocess.Popen[bytes]:
    services = daemons.make_services_folder(root)
    make_private_folder(server_folder(root))
    with contextlib.ExitStack() as stack:
        output: int = subprocess.DEVNULL
        with contextlib.suppress(OSError):
            log = log_of(root)
            small = log.exists() and log.stat().st_size < daemons.LOG_BYTES
            output = stack.enter_context(log.open("ab" if small else "wb")).fileno()
        return subprocess.Popen(
            interpreter.python_command(MODULE, str(root), destination.url),
            cwd=root,
            env={daemons.MARK: str(services), **os.environ},  # what came of `up` stays `down`'s to end
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # the terminal and its Ctrl-C are the run's
        )


def log_of(root: Path) -> Path:
    """The file in which deliverers say what is wrong."""
    return server_folder(root) / "server.log"
