"""Processes that outlive the terminal, known by a lock that the kernel frees when they are gone.

Each process has a file `NAME.lock` in the project's folder of services. The process locks the file as long as
it lives, and writes into it who it is. A locked file means that the process lives. A note in an unlocked file
means that the process was killed. An unlocked file without a note means that the process ended in order. A
pid alone is never trusted.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from darkroom.base.errors import DarkroomError
from darkroom.base.exits import Exit
from darkroom.base.files import STATE_FOLDER, make_state_folder
from darkroom.base.locks import LockFile
from darkroom.processes.process_group import find_process

MARK = "DARKROOM_SERVICE"
"""The variable that names the folder of services in the environment of all that `darkroom up` starts."""

SUPERVISOR_MARK = "INVOCATION_ID"  # systemd gives each service one
LOG_BYTES = 10_000_000
START_SECONDS = 120.0  # a cold start of Prefect's server on a loaded machine has taken 40
_LOOK_SECONDS = 0.1
_HELD = (0, 1)  # the byte of the file that the service locks


class ServiceError(DarkroomError):
    """A service that cannot be started, or that runs already."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Note:
    """What a service says of itself."""

    pid: int
    started: int
    """Clock ticks since the host was started: with the pid it names a process until a reboot."""
    since: str
    """The time when it was started, in ISO 8601 with the zone."""
    url: str | None = None
    """The URL of the API that it serves, or works for; None: it is not ready yet."""
    supervised: bool = False
    """Whether a supervisor (systemd) started it, and stops it."""


@dataclass(frozen=True, slots=True)
class DaemonState:
    """A service as its file shows it."""

    name: str
    running: bool
    note: Note | None

    @property
    def killed(self) -> bool:
        """Whether it ended without being stopped."""
        return not self.running and self.note is not None


def services_folder(root: Path) -> Path:
    """The folder of the locks and logs of the services of the project whose root is `root`."""
    return root / STATE_FOLDER / "services"


def make_services_folder(root: Path) -> Path:
    """Make `services_folder` where it is missing, closed to other users, and return it.

    Raises:
        RepoError: The project's folder for state cannot be made or written to.

    """
    make_state_folder(root / STATE_FOLDER)
    folder = services_folder(root)
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def daemon_state(folder: Path, name: str) -> DaemonState:
    """Look at one service."""
    with contextlib.suppress(FileNotFoundError), _open(folder, name, make=False) as file:
        running = bool(file.locked(*_HELD))
        return DaemonState(name, running, _note(file))
    return DaemonState(name, False, None)


def daemon_states(folder: Path) -> list[DaemonState]:
    """Look at every service that the project has had, by name."""
    return [daemon_state(folder, path.stem) for path in sorted(folder.glob("*.lock"))]


def log_file(folder: Path, name: str) -> Path:
    """The file that the output of a service goes to."""
    return folder / f"{name}.log"


class Registration:
    """A service's own hold on its file."""

    def __init__(self, file: LockFile) -> None:
        self._file = file
        me = find_process(os.getpid())
        assert me is not None
        self._note = Note(
            pid=me.pid,
            started=me.started,
            since=datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
            supervised=SUPERVISOR_MARK in os.environ and MARK not in os.environ,
        )
        self._write()

    def ready(self, url: str) -> None:
        """Note the URL of the API that the service serves, or works for."""
        self._note = replace(self._note, url=url)
        self._write()

    def _write(self) -> None:
        self._file.write_notes([asdict(self._note)])


@contextlib.contextmanager
def registered(folder: Path, name: str) -> Iterator[Registration]:
    """Register this process as the service `name` while it lives, or until the block ends.

    Raises:
        ServiceError: Another process is this service already.

    """
    with _open(folder, name) as file:
        if not file.lock(*_HELD):
            raise ServiceError(f"{name} of this project runs already; `darkroom status` shows it")
        try:
            yield Registration(file)
        finally:
            file.write_notes([])


@contextlib.contextmanager
def alone_with_daemons(folder: Path) -> Iterator[None]:
    """Let no other `darkroom up` or `down` of the project work meanwhile.

    Raises:
        ServiceError: Another one is at work already.

    """
    with _open(folder, "up-or-down", suffix=".hold") as file:
        if not file.lock(*_HELD):
            raise ServiceError(
                "another `darkroom up` or `darkroom down` of this project is at work; wait for it"
            )
        yield


def is_up_or_down_at_work(folder: Path) -> bool:
    """Whether a `darkroom up` or `down` of the project is under way."""
    with _open(folder, "up-or-down", suffix=".hold") as file:
        return bool(file.locked(*_HELD))


def start(folder: Path, name: str, command: Sequence[str], cwd: Path) -> Note:
    """Start a service and wait until it is ready. It outlives this process and its terminal.

    Raises:
        ServiceError: The service ends before it is ready, or is not ready in time.

    """
    log = log_file(folder, name)
    _rotate(log)
    with log.open("ab") as output:
        child = subprocess.Popen(
            command,
            cwd=cwd,
            env={**os.environ, MARK: str(folder)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return _wait_until_ready(folder, name, lambda: child.poll() is not None)


def exit_code(serve: Callable[[], None]) -> int:
    """Run a service until it is told to end; what the user can mend is said in one line."""
    try:
        serve()
    except DarkroomError as error:
        print(f"error: {error}", file=sys.stderr)
        return Exit.WRONG_INPUT
    return Exit.WELL


def _wait_until_ready(folder: Path, name: str, ended: Callable[[], bool]) -> Note:
    give_up = time.monotonic() + START_SECONDS
    while time.monotonic() < give_up:
        gone = ended()
        seen = daemon_state(folder, name)
        if seen.running and seen.note and seen.note.url:
            return seen.note
        if gone and not seen.running:
            raise ServiceError(f"{name} did not start: {_last_line(log_file(folder, name))}")
        time.sleep(_LOOK_SECONDS)
    raise ServiceError(f"{name} is not ready after {START_SECONDS:.0f} s; see {log_file(folder, name)}")


def stop(folder: Path, name: str, seconds: float) -> bool:
    """Ask a service to end, and kill it if it has not after `seconds`. False: it did not run."""
    seen = daemon_state(folder, name)
    if seen.note is None:
        return False
    running = seen.running and _end(seen.note, seconds)
    with _open(folder, name) as file:
        if file.lock(*_HELD):
            file.write_notes([])  # it was killed, or is now: that is in order
    return running


def _end(note: Note, seconds: float) -> bool:
    """Signal the process by a descriptor, which stays that process's: no other can get its signals."""
    try:
        descriptor = os.pidfd_open(note.pid)
    except ProcessLookupError:
        return False
    try:
        now = find_process(note.pid)
        if now is None or now.started != note.started:
            return False
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(descriptor, number)
            if select.select([descriptor], [], [], seconds)[0]:
                return True
    finally:
        os.close(descriptor)
    return True


def _open(folder: Path, name: str, *, make: bool = True, suffix: str = ".lock") -> LockFile:
    path = folder / f"{name}{suffix}"
    if make:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    elif not path.exists():
        raise FileNotFoundError(path)
    return LockFile(path)


def _note(file: LockFile) -> Note | None:
    """The note; None where there is none, or it is being written."""
    for note in file.notes():
        with contextlib.suppress(TypeError):
            return Note(**note)
    return None


def _rotate(log: Path) -> None:
    if log.exists() and log.stat().st_size > LOG_BYTES:
        log.replace(log.with_suffix(".log.1"))


def _last_line(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return f"{lines[-1].removeprefix('error: ')} ({log})" if lines else f"it said nothing ({log})"
