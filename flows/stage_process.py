"""One stage's command: a process group of its own that dies with its owner, its output line by line.

Each group is led by a guard: a shell that sleeps in `read` on a pipe whose other end only this process
holds. However this process ends, SIGKILL included, the kernel closes the pipe, and the guard kills the whole
group. A command joins the group before it is executed, so it is never alone: had the guard fired already,
the group would be gone and joining it fails. A process that leaves the group (setsid) leaves the stage.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import IO

import psutil

from flows.resources import StageMeta

GRACE_SECONDS = 8.0
"""Between the polite signal and the last one: time for a checkpoint, and the run still ends within 10 s."""

LAST_LINES = 20

# The guard outlives the polite signals that the group gets; only SIGKILL, its own included, ends it.
_GUARD = "trap '' TERM INT HUP QUIT; read -r _; kill -9 0"
_LOOK_SECONDS = 0.1
# A shell reports its child's death by a signal as 128 + signal; SIGSEGV or SIGABRT are the stage's own fault.
_KILLED_CODES = {128 + signal.SIGKILL, 128 + signal.SIGTERM, 128 + signal.SIGINT, 128 + signal.SIGHUP}


class Ending(StrEnum):
    """How a stage's command ended."""

    OK = "ok"
    FAILED = "failed"  # by itself, with an exit code
    KILLED = "killed"  # by a signal from outside
    TIMED_OUT = "timed out"
    STOPPED = "stopped"  # the run was told to stop


def no_line(line: str) -> None:
    """The listener of who does not listen."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StageJob:
    """Everything that is needed to execute one stage, and nothing of DVC."""

    name: str
    """As DVC prints it from the repository's root: `train@a`, `sub/dvc.yaml:prep`."""
    commands: tuple[tuple[str, ...], ...]
    """An argument vector a command (DVC's shell, -c, the command); the first that fails ends the stage."""
    cwd: Path
    env: Mapping[str, str]
    """The whole environment: DVC_ROOT, DVC_STAGE, the thread variables, leases."""
    descriptors: tuple[int, ...] = ()
    """Open files that every process of the stage inherits: the leases' locks live as long as any of them."""
    reasons: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    meta: StageMeta = field(default_factory=StageMeta)
    log: Path | None = None
    on_line: Callable[[str], None] = no_line
    """Called for each line of output, from the thread that executes."""
    stop: threading.Event = field(default_factory=threading.Event)
    """Set: end the command now, politely first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StageResult:
    """How a stage's command ended."""

    ending: Ending
    code: int = 0
    """Exit code, or the negative number of the signal."""
    seconds: float = 0.0
    last_lines: tuple[str, ...] = ()
    error: str | None = None
    """What kept the command from being executed at all."""

    @property
    def well(self) -> bool:
        """Whether every command of the stage ended with 0."""
        return self.ending is Ending.OK

    def describe(self) -> str:
        """In words: `failed with exit code 1`, `killed by SIGKILL`, `timed out after 12 s`."""
        if self.error is not None:
            return self.error
        if self.ending is Ending.FAILED:
            return f"failed with exit code {self.code}"
        if self.ending is Ending.KILLED:
            return f"killed by {_signal_name(self.code)}"
        return f"{self.ending.value} after {self.seconds:.0f} s"


def _signal_name(code: int) -> str:
    number = -code if code < 0 else code - 128
    with contextlib.suppress(ValueError):
        return signal.Signals(number).name
    return f"signal {number}"


def execute(job: StageJob) -> StageResult:
    """Run the stage's commands one after the other; return when the last process of its group is gone.

    Raises OSError where a process cannot be started at all (no memory, no file descriptors).
    """
    started = time.monotonic()
    deadline = None if job.meta.timeout is None else started + job.meta.timeout
    ending, code = Ending.OK, 0
    with contextlib.ExitStack() as stack:
        output = _Output(job, stack)
        group = stack.enter_context(_process_group(job.descriptors))
        for command in job.commands:
            ending, code = _run_command(command, job, group, output, deadline)
            if ending is not Ending.OK:
                break
    return StageResult(
        ending=ending, code=code, seconds=time.monotonic() - started, last_lines=tuple(output.last_lines)
    )


@contextlib.contextmanager
def _process_group(descriptors: tuple[int, ...]) -> Iterator[int]:
    """A new process group under a guard; on leaving every process in it is killed."""
    read_end, write_end = os.pipe()
    try:
        guard = subprocess.Popen(
            ["/bin/sh", "-c", _GUARD],
            stdin=read_end,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=descriptors,
            process_group=0,
        )
        try:
            yield guard.pid
        finally:
            _end_group(guard)
    finally:
        os.close(read_end)
        os.close(write_end)


def _end_group(guard: subprocess.Popen[bytes]) -> None:
    """Kill what is left of a stage; its leftovers must not write into outs that are about to be committed."""
    _signal_group(guard.pid, signal.SIGKILL)
    guard.wait()
    while _signal_group(guard.pid, 0) and _anyone_alive(guard.pid):
        time.sleep(0.01)


def _anyone_alive(group: int) -> bool:
    """Whether the group holds more than zombies: orphans are init's to reap, and not every init does."""
    for process in psutil.process_iter(["status"]):
        with contextlib.suppress(ProcessLookupError):
            if process.info["status"] != psutil.STATUS_ZOMBIE and os.getpgid(process.pid) == group:
                return True
    return False


def _signal_group(group: int, number: int) -> bool:
    """Whether there was someone in the group to be signalled."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _run_command(
    command: tuple[str, ...], job: StageJob, group: int, output: _Output, deadline: float | None
) -> tuple[Ending, int]:
    process = subprocess.Popen(
        command,
        cwd=job.cwd,
        env=dict(job.env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        pass_fds=job.descriptors,
        process_group=group,
    )
    assert process.stdout is not None
    forced: Ending | None = None
    last_call = float("inf")
    with process.stdout as pipe:
        # Its end, not the pipe's, ends a command: a child left behind may hold the pipe open for ever.
        while not _ended(process, output.read(pipe)):
            now = time.monotonic()
            if forced is None and (forced := _why_end(job, now, deadline)):
                _signal_group(group, signal.SIGTERM)
                last_call = now + GRACE_SECONDS
            if now >= last_call:
                _signal_group(group, signal.SIGKILL)
        output.read(pipe)
    output.end_line()
    return forced or _judge(process.returncode), process.returncode


def _ended(process: subprocess.Popen[bytes], pipe_open: bool) -> bool:
    if pipe_open:
        return process.poll() is not None
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_LOOK_SECONDS)
        return True
    return False


def _why_end(job: StageJob, now: float, deadline: float | None) -> Ending | None:
    if job.stop.is_set():
        return Ending.STOPPED
    if deadline is not None and now >= deadline:
        return Ending.TIMED_OUT
    return None


def _judge(code: int) -> Ending:
    if code == 0:
        return Ending.OK
    return Ending.KILLED if code < 0 or code in _KILLED_CODES else Ending.FAILED


class _Output:
    """Bytes from a pipe, lines to the listener, the log and the last lines."""

    def __init__(self, job: StageJob, stack: contextlib.ExitStack) -> None:
        self._listener = job.on_line
        self._rest = b""
        self._log: IO[str] | None = None
        self.last_lines: deque[str] = deque(maxlen=LAST_LINES)
        if job.log is not None:
            job.log.parent.mkdir(parents=True, exist_ok=True)
            self._log = stack.enter_context(job.log.open("a", encoding="utf-8", buffering=1))

    def read(self, pipe: IO[bytes]) -> bool:
        """Take what the pipe holds, or wait a moment for it. False: the pipe's other end is closed."""
        ready = select.poll()
        ready.register(pipe, select.POLLIN)
        if not ready.poll(_LOOK_SECONDS * 1000):
            return True
        chunk = os.read(pipe.fileno(), 1 << 20)
        # Progress bars end their lines by a carriage return.
        text = (self._rest + chunk).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *lines, self._rest = text.split(b"\n")
        for line in lines:
            self._say(line)
        return bool(chunk)

    def end_line(self) -> None:
        """Say what came without a line end."""
        if self._rest:
            self._say(self._rest)
            self._rest = b""

    def _say(self, raw: bytes) -> None:
        line = raw.decode("utf-8", errors="replace")
        self.last_lines.append(line)
        if self._log is not None:
            self._log.write(line + "\n")
        self._listener(line)
