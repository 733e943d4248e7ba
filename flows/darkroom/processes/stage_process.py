"""One stage's command: run in a guarded process group, its output line by line, and how it ended."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from darkroom.base.meta import StageMeta
from darkroom.processes.out_of_memory import oom_kills, out_of_memory
from darkroom.processes.process_group import ProcessGroup, guarded_group
from darkroom.processes.stage_lock import StageLock
from darkroom.processes.stage_output import Pipe, StageOutput, ready_among
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
    LOST = "lost"  # the host that executed it answers no more


def no_line(line: str) -> None:
    """Ignore a line of output, or the state of a progress bar."""


@dataclass(frozen=True, slots=True)
class StageFiles:
    """What a stage takes along to another host, and brings back. Paths are from `root`, the repository's."""

    root: Path
    deps: tuple[str, ...] = ()
    """What git does not carry: the outs of other stages and the data of .dvc files."""
    outs: tuple[str, ...] = ()
    uncached: tuple[str, ...] = ()
    """The outs that DVC's cache does not hold."""
    kept: tuple[str, ...] = ()
    """The outs that lie there while the command runs (`persist`)."""
    outside: tuple[str, ...] = ()
    """Deps and outs outside of the repository: nobody carries them."""


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
    rank: int = 0
    """The stage's place among all of the run by urgency: less is more urgent."""
    needs: tuple[str, ...] = ()
    meta: StageMeta = field(default_factory=StageMeta)
    log: Path | None = None
    on_line: Callable[[str], None] = no_line
    """Called for each line of output, from the thread that executes; where there are more than anybody reads
    as they go by, some are left out, and a line says how many. It should return at once."""
    on_bar: Callable[[str], None] = no_line
    """Called for each new state of a line that is drawn anew (a progress bar); its last one is a line."""
    stop: threading.Event = field(default_factory=threading.Event)
    """Set to end the command, politely first."""
    stop_now: threading.Event = field(default_factory=threading.Event)
    """Set to end the command at once."""
    lock: StageLock | None = None
    """The stage's lock: guard and commands hold it open, and it notes their process group."""
    witness: Witness | None = None
    """Watches the commands' processes while they run."""
    files: StageFiles | None = None
    """What goes along to another host."""


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
    with contextlib.closing(StageOutput(job.log, job.on_line, job.on_bar, LAST_LINES)) as output:
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

    def __init__(self, job: StageJob, group: ProcessGroup, output: StageOutput, started: float) -> None:
        self._job, self._group, self._output = job, group, output
        self._deadline = float("inf") if job.meta.timeout is None else started + job.meta.timeout
        self._forced_ending: Ending | None = None
        self._last_call = float("inf")
        self._looked = started

    def execute(self, command: Sequence[str]) -> tuple[Ending, int]:
        """Run one command until it ends, or is ended."""
        process = self._group.start(command, self._job.cwd, self._job.env, self._job.stdin)
        if self._job.witness:
            self._job.witness.began(process.pid)
        assert process.stdout is not None
        end = os.pidfd_open(process.pid)  # readable once it has ended
        try:
            with process.stdout as file:
                pipe = Pipe(file)
                # Its end, not the pipe's, ends a command: a child left behind may hold the pipe for ever.
                while not self._ended(process, self._take(pipe, end)):
                    if time.monotonic() >= self._looked + _LOOK_SECONDS:
                        self._look()
                self._output.take(pipe.read())
        finally:
            os.close(end)
        self._output.end_command()
        return self._forced_ending or _judge(process.returncode), process.returncode

    def _take(self, pipe: Pipe, end: int) -> bool:
        """Take what the command has written since, or wait a moment for it. True: the command has ended."""
        ready = ready_among((pipe, end) if pipe.open else (end,), _LOOK_SECONDS)
        if pipe.fileno() in ready:
            self._output.take(pipe.read())
        elif not ready:
            self._output.pause()
        return end in ready

    def _ended(self, process: subprocess.Popen[bytes], over: bool) -> bool:
        """Once told to end, a shell may be gone while what it called still writes a checkpoint."""
        if not over or process.poll() is None:
            return False
        if self._forced_ending and not self._group.only_guarded():
            time.sleep(_LOOK_SECONDS)
            return False
        return True

    def _look(self) -> None:
        """Look after the command: at its guard, at its processes, at the time."""
        self._group.keep_guarded()
        if self._job.witness:
            self._job.witness.look()
        self._look_at_the_time()
        self._looked = time.monotonic()

    def _look_at_the_time(self) -> None:
        now = time.monotonic()
        if self._forced_ending is None and (why := self._why_end(now)):
            self._forced_ending = why
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
