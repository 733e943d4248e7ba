"""A process group that dies with its owner, however the owner ends.

Each group has a guard: a shell that waits in `read` on a pipe whose other end only the owner holds. However
the owner ends, even by SIGKILL, the kernel closes the pipe, and the guard kills the whole group. While a
command is being started it holds a copy of that end, and it joins the group before it gives the copy up. So
there is no moment without a guard. If the guard itself is killed, the owner starts another one.

A process can leave the group (setsid, a daemon's double fork). It keeps the environment with which it was
started, and in it the stage's mark. By this mark it is found and ended, too. A process that has cleared its
environment cannot be found by the mark, but perhaps by the files that it has open.

Linux only: processes are looked up in /proc.
"""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

# The guard outlives the signals that the group gets; only SIGKILL, its own included, ends it.
_GUARD = "trap '' HUP INT QUIT PIPE ALRM TERM USR1 USR2 TSTP TTIN TTOU; read -r _; kill -9 0"
_LOOK_SECONDS = 0.01

MARK = "DARKROOM_MARK"
"""The variable in the environment of a stage's processes that says which execution they belong to."""

_LONGEST_COMMAND = 80
_KERNEL_THREAD = 0x00200000  # PF_KTHREAD
_LOOKS_AT_AN_EXEC = 5


@dataclass(frozen=True, slots=True)
class Process:
    """A line of the process table."""

    pid: int
    zombie: bool
    group: int
    session: int
    parent: int
    kernel: bool
    """Whether it is a thread of the kernel's."""
    started: int
    """Clock ticks since the host was started: with the pid it names a process for good until a reboot."""

    def describe(self) -> str:
        """The process in words: `pid 4242 (python server.py)`."""
        return f"pid {self.pid} ({_command(self.pid)})"


def find_process(pid: int) -> Process | None:
    """The process as the kernel shows it; None: there is none (any more)."""
    try:
        text = _read(f"/proc/{pid}/stat")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text.rpartition(b")")[2].split()  # the name before it may hold anything
    return Process(
        pid=pid,
        zombie=fields[0] in b"ZX",
        parent=int(fields[1]),
        kernel=bool(int(fields[6]) & _KERNEL_THREAD),
        group=int(fields[2]),
        session=int(fields[3]),
        started=int(fields[19]),
    )


def living_processes(group: int) -> list[Process]:
    """The processes in the group that are no zombies: orphans are init's to reap, and not every init does."""
    found = map(find_process, _pids())
    return [one for one in found if one and one.group == group and not one.zombie]


def marked_processes(mark: str, since: int = 0) -> list[Process]:
    """The living processes that a stage's command with this mark started, in whatever group they are now.

    `since` is when the stage was started, in clock ticks as in Process.
    """
    wanted = f"{MARK}={mark}".encode()
    young = [one for one in _TABLE.started_since(since) if not one.zombie and not one.kernel]
    return [one for one in young if wanted in _environment(one.pid).split(b"\0")]


def with_file_open(path: Path) -> list[Process]:
    """The processes that have the file open, as far as this user may see, without this one and its children.

    A child that is just being started has for a moment all that its parent has open.
    """
    file = path.stat()
    found = [find_process(pid) for pid in _pids() if _has_open(pid, file)]
    me = os.getpid()
    return [one for one in found if one and not one.zombie and me not in (one.pid, one.parent)]


class _ProcessTable:
    """The host's processes. When a process was started is read once, however often the table is looked at.

    After each stage everyone is looked at, and on a large host that is thousands. The folder of a process has
    an inode number that no later process with its pid gets: by both, a process that is known is told.
    """

    def __init__(self) -> None:
        self._started: dict[tuple[str, int], int] = {}

    def started_since(self, moment: int) -> list[Process]:
        """The processes that were started then or later, in clock ticks as in Process."""
        with os.scandir("/proc") as entries:
            now = [(entry.name, entry.inode()) for entry in entries if entry.name.isdigit()]
        known = self._started
        started = {key: known[key] for key in now if key in known}
        found = []
        for key in now:
            if started.get(key, moment) >= moment and (one := find_process(int(key[0]))):
                started[key] = one.started
                if one.started >= moment:
                    found.append(one)
        self._started = started  # of those that are there still; threads may do so at once, all are right
        return found


_TABLE = _ProcessTable()


def send_signal(processes: Iterable[Process], number: int) -> None:
    """Send a signal to processes whose pid still means the same process and that this user may signal."""
    for one in processes:
        with contextlib.suppress(OSError):
            descriptor = os.pidfd_open(one.pid)
            try:
                if (now := find_process(one.pid)) and now.started == one.started:
                    signal.pidfd_send_signal(descriptor, number)
            finally:
                os.close(descriptor)


def _pids() -> list[int]:
    return [int(entry.name) for entry in os.scandir("/proc") if entry.name.isdigit()]


def _read(path: str) -> bytes:
    with io.FileIO(
        path
    ) as file:  # all processes are looked at after each stage: pathlib takes thrice as long
        return file.readall()


def _environment(pid: int) -> bytes:
    """What a process was started with; nothing where it is gone, or this user may not see it."""
    for _ in range(_LOOKS_AT_AN_EXEC):
        try:
            if environment := _read(f"/proc/{pid}/environ"):
                return environment
        except OSError:
            break
        time.sleep(_LOOK_SECONDS / _LOOKS_AT_AN_EXEC)  # between two programs it has none
    return b""


def _has_open(pid: int, file: os.stat_result) -> bool:
    with contextlib.suppress(OSError):
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                if os.path.samestat(descriptor.stat(), file):
                    return True
    return False


def _command(pid: int) -> str:
    """The process's command line, cut; nothing in it that a terminal would obey."""
    with contextlib.suppress(OSError):
        text = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        shown = "".join(one if one.isprintable() else "?" for one in text)
        return shown if len(shown) <= _LONGEST_COMMAND else f"{shown[:_LONGEST_COMMAND]}..."
    return "ended"


def open_anywhere() -> set[str]:
    """The regular files that processes hold open, of those that this user may look into."""
    files = (each.info["open_files"] or () for each in psutil.process_iter(["open_files"]))
    return {file.path for opened in files for file in opened}


def signal_group(group: int, number: int) -> bool:
    """Send a signal to all processes of the group. False: no process could be signalled."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


class ProcessGroup:
    """A group, its guards, and who has left it; `id` is the first guard's pid.

    Guards hold the descriptors `guarded` open, and commands `kept`.
    """

    def __init__(self, read_end: int, guarded: Sequence[int], kept: Sequence[int], mark: str | None) -> None:
        self._read_end, self._guarded, self._kept, self._mark = read_end, guarded, kept, mark
        self.ended: list[str] = []
        """The processes that had left the group and were killed at the end, in words."""
        self._guards = [self._start_guard(0)]
        self.id = self._guards[0].pid
        first = find_process(self.id)
        self._started = first.started if first else 0

    def start(
        self, command: Sequence[str], cwd: Path, env: Mapping[str, str], stdin: int | None = None
    ) -> subprocess.Popen[bytes]:
        """Execute a command in the group, with its whole output in one pipe.

        `stdin` is an open file; None: an empty one.

        Raises:
            OSError: The command cannot be started.

        """
        return subprocess.Popen(
            command,
            cwd=cwd,
            env={**env, **({MARK: self._mark} if self._mark else {})},
            stdin=subprocess.DEVNULL if stdin is None else stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            process_group=self.id,
            pass_fds=self._kept,
        )

    def signal(self, number: int) -> None:
        """Send a signal to everyone in the group, and to those who have left it."""
        signal_group(self.id, number)
        send_signal(self._outside(), number)

    def keep_guarded(self) -> None:
        """Put a guard where the last one was killed; where that fails, nothing may go on unguarded."""
        if self._guards[-1].poll() is None:
            return
        try:
            self._guards.append(self._start_guard(self.id))
        except OSError:  # no process can be started, or nobody is left in the group
            self.signal(signal.SIGKILL)

    def only_guarded(self) -> bool:
        """Whether only guards are left."""
        guards = {guard.pid for guard in self._guards}
        return all(one.pid in guards for one in living_processes(self.id)) and not self._outside()

    def end(self) -> None:
        """Kill the remaining processes and wait for their end: none may write into outs to be committed."""
        signal_group(self.id, signal.SIGKILL)
        for guard in self._guards:
            guard.wait()
        while signal_group(self.id, 0) and _anyone(self.id):
            time.sleep(_LOOK_SECONDS)
        named: set[int] = set()
        while outside := self._outside():
            self.ended += [one.describe() for one in outside if one.pid not in named]
            named |= {one.pid for one in outside}
            send_signal(outside, signal.SIGKILL)
            time.sleep(_LOOK_SECONDS)

    def _outside(self) -> list[Process]:
        try:
            everyone = marked_processes(self._mark, self._started) if self._mark else []
            return [one for one in everyone if one.group != self.id]
        except OSError:  # no file descriptor to look with
            return []

    def _start_guard(self, group: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            ["/bin/sh", "-c", _GUARD],
            stdin=self._read_end,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            process_group=group,
            pass_fds=self._guarded,
        )


def _anyone(group: int) -> bool:
    try:
        return bool(living_processes(group))
    except OSError:  # no file descriptor to look with: look again
        return True


@contextlib.contextmanager
def guarded_group(
    guarded: Sequence[int] = (), kept: Sequence[int] = (), mark: str | None = None
) -> Iterator[ProcessGroup]:
    """A new process group; on leaving every process in it is killed, and with a `mark` who has left it.

    Guards hold the descriptors `guarded` open and commands `kept`: locks on them are free when the last one
    is gone. `mark` is put into the commands' environment.
    """
    read_end, write_end = os.pipe()
    try:
        group = ProcessGroup(read_end, guarded, kept, mark)
        try:
            yield group
        finally:
            group.end()
    finally:
        os.close(read_end)
        os.close(write_end)
