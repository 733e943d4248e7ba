"""A lock with which a stage never runs twice at once. The kernel frees it with its last holder.

DVC's rwlock names a pid. But the stage of a dead owner may live on for a moment, or for long if its guard was
killed, too. So the run, the guard and the stage's commands all hold one lock, on one file a stage. The text
of the file says who they are, so that the next run can end what a dead owner has left: the stage's process
group, processes with the stage's mark in their environment, and processes that still hold the lock.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import psutil

from darkroom.processes.process_group import (
    Process,
    find_process,
    living_processes,
    marked_processes,
    send_signal,
    signal_group,
    with_file_open,
)

_DEATH_SECONDS = 2.0
"""How long what was killed is waited for at most, since DVC's lock is held meanwhile."""

_LOOK_SECONDS = 0.01

Say = Callable[[str, str], None]
"""Called with each stage of which something was ended, and with what that was."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StageHolder:
    """The run that executes a stage, as the stage's lock names it."""

    stage: str
    root: str
    boot: str
    owner: int
    owner_started: int
    group: int | None = None
    group_started: int | None = None
    mark: str | None = None
    """The mark in the environment of the stage's processes; None: its daemons are to stay."""

    @property
    def owned(self) -> bool:
        """Whether the run that started the stage still lives."""
        owner = find_process(self.owner) if self.boot == _boot() else None
        return owner is not None and not owner.zombie and owner.started == self.owner_started

    def left(self) -> list[Process]:
        """The processes of the stage that live, in its group or out of it."""
        if self.boot != _boot():
            return []
        group = self._group_left()
        outside = marked_processes(self.mark, self.group_started or 0) if self.mark else []
        return group + [one for one in outside if one not in group]

    def _group_left(self) -> list[Process]:
        """The living processes of the stage's group; none if its number now belongs to another group."""
        first = find_process(self.group) if self.group is not None else None
        if self.group is None or (first is not None and first.started != self.group_started):
            return []
        return [one for one in living_processes(self.group) if one.pid == self.group or self._ours(one.pid)]

    def _ours(self, pid: int) -> bool:
        with contextlib.suppress(psutil.Error, OSError):
            env = psutil.Process(pid).environ()
            return (env.get("DVC_ROOT"), env.get("DVC_STAGE")) == (self.root, self.stage)
        return False

    def end(self, say: Say) -> bool:
        """Kill what a dead run has left of the stage. False: something may live still."""
        return not self.owned and self._ended(self.left, say)

    def end_holders(self, path: Path, say: Say) -> bool:
        """Kill processes that have the stage's lock at `path` open. Only while nobody can take the lock."""
        return self._ended(lambda: with_file_open(path), say)

    def _ended(self, left: Callable[[], list[Process]], say: Say) -> bool:
        seen: set[int] = set()
        give_up = time.monotonic() + _DEATH_SECONDS
        while living := left():
            if new := [one for one in living if one.pid not in seen and one.pid != self.group]:
                seen |= {one.pid for one in new}
                named = ", ".join(one.describe() for one in new)
                say(self.stage, f"darkroom: ended {named}, left by the {self._run()}, which was killed")
            if self.group is not None and any(one.group == self.group for one in living):
                signal_group(self.group, signal.SIGKILL)
            send_signal(living, signal.SIGKILL)
            if time.monotonic() >= give_up:
                return False
            time.sleep(_LOOK_SECONDS)
        return True

    def describe(self, path: Path) -> str:
        """Who holds the lock at `path`, and whether its run still lives, in words."""
        if self.owned:
            return f"{self._run()} runs it"
        if left := self.left() or with_file_open(path):
            named = ", ".join(one.describe() for one in left)
            return f"{named} still lives, left by the {self._run()}, which was killed; end it"
        return f"a process that cannot be seen from here holds {path}; `lsof` names it to root; end it"

    def _run(self) -> str:
        return f"`darkroom run` with pid {self.owner}"


class StageLock:
    """The lock of one stage, held until `release`, and by who was given the descriptor until they end."""

    def __init__(self, file: int, stage: str, root: str) -> None:
        self.descriptor = file
        me = find_process(os.getpid())
        assert me is not None
        self._holder = StageHolder(
            stage=stage, root=root, boot=_boot(), owner=me.pid, owner_started=me.started
        )
        self._write()

    def note(self, group: int, mark: str | None) -> None:
        """Note the stage's process group and its mark, before a command is started in it."""
        first = find_process(group)
        started = first.started if first else None
        self._holder = replace(self._holder, group=group, group_started=started, mark=mark)
        self._write()

    def release(self) -> None:
        """Free the lock, whoever else holds the descriptor: the stage has ended."""
        with contextlib.suppress(OSError):
            os.ftruncate(self.descriptor, 0)
        fcntl.flock(self.descriptor, fcntl.LOCK_UN)
        os.close(self.descriptor)

    def _write(self) -> None:
        # On a full disk the lock alone has to do: a next run waits for what is left, and cannot end it.
        with contextlib.suppress(OSError):
            os.ftruncate(self.descriptor, 0)
            os.pwrite(self.descriptor, json.dumps(asdict(self._holder)).encode(), 0)


def say_nothing(stage: str, text: str) -> None:
    """Ignore what is said."""


def lock_stage(folder: Path, stage: str, root: Path, say: Say = say_nothing) -> StageLock | str:
    """Lock the stage, or say in words who runs it; `root` is the repository's root.

    What a dead run has left of the stage is killed first. One process takes at a time: DVC's lock is held.

    Raises:
        OSError: The file of the lock cannot be made or written.

    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / hashlib.sha256(stage.encode()).hexdigest()[:32]
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        holder = _read(path)
        gone = holder is None or holder.end(say)
        if gone and (_lock(file) or (holder and holder.end_holders(path, say) and _lock(file))):
            return StageLock(file, stage, str(root))
    except BaseException:
        os.close(file)
        raise
    os.close(file)
    return holder.describe(path) if holder else "another run holds its lock"


def _lock(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def end_left_overs(folder: Path, say: Say = say_nothing) -> None:
    """Kill what dead runs have left of their stages, of all that are noted in `folder`."""
    with contextlib.suppress(FileNotFoundError):
        for path in folder.iterdir():
            if holder := _read(path):
                holder.end(say)


def busy_stage(folder: Path) -> str | None:
    """A stage that runs, of those that are noted in `folder`, and who runs it, in words; None: none runs."""
    with contextlib.suppress(FileNotFoundError):
        for path in folder.iterdir():
            if (holder := _read(path)) and (holder.owned or holder.left()):
                return f"{holder.stage}: {holder.describe(path)}"
    return None


def _read(path: Path) -> StageHolder | None:
    try:
        return StageHolder(**json.loads(path.read_bytes()))
    except (ValueError, TypeError):  # empty: nobody; torn: who wrote it is dead, and started no command yet
        return None


def _boot() -> str:
    """Which start of the host it is: pids and times mean nothing after the next one."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
