"""A command that a flow run executes. It is told to stop when the flow run is, and dies with it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from darkroom.base import git
from darkroom.processes.process_group import guarded_group
from darkroom.processes.stage_process import GRACE_SECONDS, LAST_LINES

STOP_SECONDS = GRACE_SECONDS + 4.0
"""How long a `darkroom run` may take to stop: its stages' grace, and its last words to Prefect."""

_LOOK_SECONDS = 0.5

_SECRETS = ("PREFECT_API_AUTH_STRING", "PREFECT_SERVER_API_AUTH_STRING", "PREFECT_API_KEY")
# What Prefect gives the process of a flow run, and not what that starts.
_PREFECTS_OWN = ("PREFECT__", "PREFECT_LOGGING_")

PYTHONPATH_BEFORE = "DARKROOM_PYTHONPATH"
"""The variable in a worker's environment that keeps PYTHONPATH as the user set it; Prefect adds to that."""


def child_environment(environ: Mapping[str, str], project: Path, clone: Path) -> dict[str, str]:
    """A flow run's, without secrets, Prefect's own part and the repository of a git hook.

    The profile in it leads to the server. Folders of the project in PYTHONPATH are those of the clone.
    """
    kept = {
        name: value
        for name, value in git.environment_without_repository(environ).items()
        if name not in _SECRETS and not name.startswith(_PREFECTS_OWN)
    }
    path = kept.pop("PYTHONPATH", "")
    folders = kept.pop(PYTHONPATH_BEFORE, path)
    if folders:
        kept["PYTHONPATH"] = os.pathsep.join(_moved(one, project, clone) for one in folders.split(os.pathsep))
    return kept


def _moved(folder: str, project: Path, clone: Path) -> str:
    path = Path(folder)
    inside = path.is_absolute() and path.is_relative_to(project)
    return str(clone / path.relative_to(project)) if inside else folder


class Stopped(Exception):  # noqa: N818  (nothing went wrong)
    """The command was told to end before it had."""


def run_child(
    command: Sequence[str],
    cwd: Path,
    env: Mapping[str, str],
    on_line: Callable[[str], None],
    stop: threading.Event,
) -> tuple[int, tuple[str, ...]]:
    """Execute a command to its end; its exit code and last lines.

    Any exception here, Prefect's at SIGTERM above all, sends it SIGTERM and goes on once it has ended. So
    does `stop`, for threads, which get no exceptions from outside: that raises Stopped.
    """
    last: deque[str] = deque(maxlen=LAST_LINES)

    def say(line: str) -> None:
        last.append(line)
        on_line(line)

    with guarded_group() as group:
        process = group.start(command, cwd, env)
        assert process.stdout is not None
        reader = threading.Thread(target=_read, args=(process.stdout, say), daemon=True)
        reader.start()
        try:
            _wait(process, stop)
        except BaseException:
            _end(process)
            raise
    reader.join(STOP_SECONDS)
    return process.returncode, tuple(last)


def _wait(process: subprocess.Popen[bytes], stop: threading.Event) -> None:
    while process.poll() is None:
        if stop.is_set():
            raise Stopped
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_LOOK_SECONDS)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Politely; what has not ended in time, the guard kills."""
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(STOP_SECONDS)


def _read(pipe: IO[bytes], say: Callable[[str], None]) -> None:
    with pipe:
        for raw in pipe:
            say(raw.decode("utf-8", errors="replace").rstrip("\r\n"))
