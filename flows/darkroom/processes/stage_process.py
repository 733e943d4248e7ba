"""One stage's command: executed in a process group under guard, its output line by line; how it ended."""

from __future__ import annotations

import contextlib
import os
import secrets
import select
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import IO

from darkroom.base.errors import explain_os_error
from darkroom.base.meta import StageMeta
from darkroom.processes.out_of_memory import oom_kills, out_of_memory
from darkroom.processes.process_group import ProcessGroup, guarded_group
from darkroom.processes.stage_lock import StageLock
from darkroom.processes.witness import Witness

GRACE_SECONDS = 8.0
"""Seconds from the polite signal to the last: time for a checkpoint, and the run still ends within 10 s."""

LAST_LINES = 20

_LOOK_SECONDS = 0.1
# By these a process ends through its own fault, whoever sends them.
_OWN_FAULTS = {
    -getattr(signal, name)
    for name in (
        "SIGSEGV",
        "SIGABRT",
        "SIGBUS",
        "SIGFPE",
        "SIGILL",
        "SIGSYS",
        "SIGTRAP",
        "SIGPIPE",
        "SIGXFSZ",
    )
}
# A shell reports its child's death by a signal as 128 + signal.
_KILLED_CODES = {128 + signal.SIGKILL, 128 + signal.SIGTERM, 128 + signal.SIGINT, 128 + signal.SIGHUP}


class Ending(StrEnum):
    """How a stage's command ended."""

    OK = "ok"
    FAILED = "failed"  # by itself, with an exit code
    KILLED = "killed"  # by a signal from outside
    OUT_OF_MEMORY = "out of memory"  # the host's, or a GPU's
    TIMED_OUT = "timed out"
    STOPPED = "stopped"  # the run was told to stop


def no_line(line: str) -> None:
    """Ignore a line of output."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StageJob:
    """Everything that is needed to execute one stage, and nothing of DVC.

    `descriptors`, `stdin`, `lock` and `witness` are for processes of this host. A stage that is executed
    elsewhere does without them: its run holds lock and leases as long as it lives.
    """

    name: str
    """The name as DVC prints it from the repository's root: `train@a`, `sub/dvc.yaml:prep`."""
    commands: tuple[tuple[str, ...], ...]
    """An argument vector a command (DVC's shell, -c, the command); the first that fails ends the stage."""
    cwd: Path
    env: Mapping[str, str]
    """The whole environment: DVC_ROOT, DVC_STAGE, the thread variables, leases."""
    descriptors: tuple[int, ...] = ()
    """Open files that every process of the stage inherits: the leases' locks live as long as any of them."""
    stdin: int | None = None
    """An open file that the commands read from; None: an empty one."""
    reasons: tuple[str, ...] = ()
    attempt: int = 1
    """The number of this attempt; it counts on where the stage is started again after a kill."""
    needs: tuple[str, ...] = ()
    meta: StageMeta = field(default_factory=StageMeta)
    log: Path | None = None
    on_line: Callable[[str], None] = no_line
    """Called for each line of output, from the thread that executes."""
    stop: threading.Event = field(default_factory=threading.Event)
    """When it is set, the command is ended, politely first."""
    stop_now: threading.Event = field(default_factory=threading.Event)
    """When it is set, the command is ended at once."""
    lock: StageLock | None = None
    """The stage's lock: guard and commands hold it open, and it notes their process group."""
    witness: Witness | None = None
    """It is told of the commands, and looks at their processes while they run."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StageResult:
    """How a stage's command ended."""

    ending: Ending
    code: int = 0
    """Exit code, or the negative number of the signal."""
    seconds: float = 0.0
    last_lines: tuple[str, ...] = ()
    memory: str | None = None
    """What memory there was too little of, in words; only where that ended the stage."""
    error: str | None = None
    """What kept the command from being executed at all."""

    @property
    def well(self) -> bool:
        """Whether every command of the stage ended with 0."""
        return self.ending is Ending.OK

    def describe(self) -> str:
        """How the command ended, in words: `failed with exit code 1`, `killed by SIGKILL`."""
        if self.error is not None:
            return self.error
        if self.ending is Ending.FAILED:
            ending = f"exit code {self.code}" if self.code > 0 else _signal_name(self.code)
            return f"failed with {ending}"
        if self.ending is Ending.KILLED:
            return f"killed by {_signal_name(self.code)}"
        if self.ending is Ending.OUT_OF_MEMORY:
            return f"out of memory: {self.memory}"
        return f"{self.ending.value} after {self.seconds:.0f} s"


def _signal_name(code: int) -> str:
    number = -code if code < 0 else code - 128
    with contextlib.suppress(ValueError):
        return signal.Signals(number).name
    return f"signal {number}"


def execute(job: StageJob) -> StageResult:
    """Run the stage's commands one after the other; return when the last of its processes is gone.

    Those that have left its process group are ended too, unless its meta says that daemons are to stay.

    Raises:
        OSError: A process cannot be started at all (no memory, no file descriptors).

    """
    started = time.monotonic()
    kills = oom_kills()
    locks = (job.lock.descriptor,) if job.lock else ()
    # A daemon that is to stay must not keep the stage's next run waiting, nor be taken for a left-over.
    stay = job.meta.keep_daemons
    mark = None if stay else secrets.token_hex(8)
    ending, code = Ending.OK, 0
    with contextlib.closing(_Output(job)) as output:
        guarded, kept = (*job.descriptors, *locks), (*job.descriptors, *(() if stay else locks))
        with guarded_group(guarded, kept, mark) as group:
            if job.lock:
                job.lock.note(group.id, mark)
            commands = _CommandSequence(job, group, output, started)
            for command in job.commands:
                ending, code = commands.execute(command)
                if ending is not Ending.OK:
                    break
        output.tell_ended(group.ended)
        if job.witness:
            job.witness.look()
        memory = None
        if ending in (Ending.KILLED, Ending.FAILED):
            memory = out_of_memory(code, output.last_lines, oom_kills() - kills)
        return StageResult(
            ending=Ending.OUT_OF_MEMORY if memory else ending,
            code=code,
            seconds=time.monotonic() - started,
            last_lines=tuple(output.last_lines),
            memory=memory,
        )


class _CommandSequence:
    """One stage's commands in their group, and how they are told to end."""

    def __init__(self, job: StageJob, group: ProcessGroup, output: _Output, started: float) -> None:
        self._job, self._group, self._output = job, group, output
        self._deadline = float("inf") if job.meta.timeout is None else started + job.meta.timeout
        self._told_ending: Ending | None = None
        self._last_call = float("inf")

    def execute(self, command: Sequence[str]) -> tuple[Ending, int]:
        """Run one command until it ends, or is ended."""
        process = self._group.start(command, self._job.cwd, self._job.env, self._job.stdin)
        if self._job.witness:
            self._job.witness.began(process.pid)
        assert process.stdout is not None
        with process.stdout as pipe:
            # Its end, not the pipe's, ends a command: a child left behind may hold the pipe open for ever.
            while not self._ended(process, self._output.read(pipe)):
                self._group.keep_guarded()
                if self._job.witness:
                    self._job.witness.look()
                self._look_at_the_time()
            self._output.read(pipe)
        self._output.end_line()
        return self._told_ending or _judge(process.returncode), process.returncode

    def _ended(self, process: subprocess.Popen[bytes], pipe_open: bool) -> bool:
        """Once told to end, a shell may be gone while what it called still writes a checkpoint."""
        if process.poll() is None:
            if not pipe_open:  # most often because it is about to end
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(_LOOK_SECONDS)
            return False
        if self._told_ending and not self._group.only_guarded():
            time.sleep(_LOOK_SECONDS)
            return False
        return True

    def _look_at_the_time(self) -> None:
        now = time.monotonic()
        if self._told_ending is None and (why := self._why_end(now)):
            self._told_ending = why
            self._group.signal(signal.SIGTERM)
            self._last_call = now + GRACE_SECONDS
        if now >= self._last_call or self._job.stop_now.is_set():
            self._group.signal(signal.SIGKILL)

    def _why_end(self, now: float) -> Ending | None:
        if self._job.stop.is_set() or self._job.stop_now.is_set():
            return Ending.STOPPED
        return Ending.TIMED_OUT if now >= self._deadline else None


def _judge(code: int) -> Ending:
    if code == 0:
        return Ending.OK
    killed = code in _KILLED_CODES or (code < 0 and code not in _OWN_FAULTS)
    return Ending.KILLED if killed else Ending.FAILED


class _Output:
    """Bytes from a pipe: as they are to the log, as lines to the listener and the last lines."""

    def __init__(self, job: StageJob) -> None:
        self._listener = job.on_line
        self._rest = b""
        self._log: IO[bytes] | None = None
        self.last_lines: deque[str] = deque(maxlen=LAST_LINES)
        if job.log is not None:
            with self._going_on_without(job.log):
                job.log.parent.mkdir(parents=True, exist_ok=True)
                self._log = job.log.open("ab", buffering=0)

    def close(self) -> None:
        """Close the log."""
        if self._log is not None:
            self._log.close()

    @contextlib.contextmanager
    def _going_on_without(self, log: Path) -> Iterator[None]:
        """A log that cannot be written ends no training: that is said once, and no more is written."""
        try:
            yield
        except OSError as error:
            self.close()
            self._log = None
            self._listener(f"darkroom: the rest of this output is not kept: {explain_os_error(error, log)}")

    def read(self, pipe: IO[bytes]) -> bool:
        """Take what the pipe holds, or wait a moment for it. False: the pipe's other end is closed."""
        ready = select.poll()
        ready.register(pipe, select.POLLIN)
        if not ready.poll(_LOOK_SECONDS * 1000):
            return True
        chunk = os.read(pipe.fileno(), 1 << 20)
        if self._log is not None:
            with self._going_on_without(Path(self._log.name)):
                self._write(chunk)
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

    def tell_ended(self, left: Sequence[str]) -> None:
        """Say who had left the stage's process group and was ended, and how to have it stay."""
        if left:
            said = f"darkroom: ended what the stage had left running: {', '.join(left)}"
            stay = "`keep_daemons: true` under its meta in dvc.yaml lets its daemons stay"
            self._say(f"{said}; {stay}".encode())

    def _say(self, raw: bytes) -> None:
        line = raw.decode("utf-8", errors="replace")
        self.last_lines.append(line)
        self._listener(line)

    def _write(self, raw: bytes) -> None:
        assert self._log is not None
        rest = memoryview(raw)
        while rest:  # a disk that runs full takes a part, and then raises
            rest = rest[self._log.write(rest) :]
