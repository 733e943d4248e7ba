"""A process group that dies with its owner, however the owner ends.

Each group is under a guard: a shell that sleeps in `read` on a pipe whose other end only the owner holds.
However the owner ends, SIGKILL included, the kernel closes the pipe, and the guard kills the whole group. A
command that is being started holds a copy of that end until it is executed, and it joins the group before:
the guard cannot fire between the two. Where the guard itself is killed, the owner puts another one in its
place. A process that leaves the group (setsid) leaves the stage.

Linux: processes are looked up in /proc.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

# The guard outlives the signals that the group gets; only SIGKILL, its own included, ends it.
_GUARD = "trap '' HUP INT QUIT PIPE ALRM TERM USR1 USR2 TSTP TTIN TTOU; read -r _; kill -9 0"
_LOOK_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class Process:
    """A line of the process table."""

    pid: int
    zombie: bool
    group: int
    session: int
    started: int
    """Clock ticks since the host was started: with the pid it names a process for good until a reboot."""


def process(pid: int) -> Process | None:
    """The process as the kernel shows it; None: there is none (any more)."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text.rpartition(")")[2].split()  # the name before it may hold anything
    return Process(
        pid=pid,
        zombie=fields[0] in "ZX",
        group=int(fields[2]),
        session=int(fields[3]),
        started=int(fields[19]),
    )


def living(group: int) -> list[Process]:
    """Who is in the group and no zombie: orphans are init's to reap, and not every init does."""
    pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    found = [process(pid) for pid in pids]
    return [one for one in found if one and one.group == group and not one.zombie]


def open_anywhere() -> set[str]:
    """The regular files that processes hold open, of those that this user may look into."""
    files = (each.info["open_files"] or () for each in psutil.process_iter(["open_files"]))
    return {file.path for some in files for file in some}


def signal_group(group: int, number: int) -> bool:
    """Whether there was someone in the group to be signalled."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


class ProcessGroup:
    """A group and its guards; `id` is the first guard's pid."""

    def __init__(self, read_end: int, keep: Sequence[int]) -> None:
        self._read_end, self._keep = read_end, keep
        self._guards = [self._start_guard(0)]
        self.id = self._guards[0].pid

    def start(self, command: Sequence[str], cwd: Path, env: Mapping[str, str]) -> subprocess.Popen[bytes]:
        """Execute a command in the group, its output in one pipe. Raises OSError where it cannot be."""
        return subprocess.Popen(
            command,
            cwd=cwd,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            process_group=self.id,
            pass_fds=self._keep,
        )

    def signal(self, number: int) -> None:
        """Send a signal to everyone in the group."""
        signal_group(self.id, number)

    def keep_guarded(self) -> None:
        """Put a guard where the last one was killed; where that fails, nothing may go on unguarded."""
        if self._guards[-1].poll() is None:
            return
        try:
            self._guards.append(self._start_guard(self.id))
        except OSError:  # no process can be started, or nobody is left in the group
            self.signal(signal.SIGKILL)

    def only_guarded(self) -> bool:
        """Whether nobody but guards is left."""
        guards = {guard.pid for guard in self._guards}
        return all(one.pid in guards for one in living(self.id))

    def end(self) -> None:
        """Kill what is left; return when it is gone: nobody may write into outs that are to be committed."""
        self.signal(signal.SIGKILL)
        for guard in self._guards:
            guard.wait()
        while signal_group(self.id, 0) and _anyone(self.id):
            time.sleep(_LOOK_SECONDS)

    def _start_guard(self, group: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            ["/bin/sh", "-c", _GUARD],
            stdin=self._read_end,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            process_group=group,
            pass_fds=self._keep,
        )


def _anyone(group: int) -> bool:
    try:
        return bool(living(group))
    except OSError:  # no file descriptor to look with: look again
        return True


@contextlib.contextmanager
def guarded_group(keep: Sequence[int] = ()) -> Iterator[ProcessGroup]:
    """A new process group; on leaving every process in it is killed.

    Guard and commands hold the descriptors `keep` open: locks on them are free when the last one is gone.
    """
    read_end, write_end = os.pipe()
    try:
        group = ProcessGroup(read_end, keep)
        try:
            yield group
        finally:
            group.end()
    finally:
        os.close(read_end)
        os.close(write_end)
