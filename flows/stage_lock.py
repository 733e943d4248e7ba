"""That a stage never runs twice at once: a lock that the kernel frees with the last process that holds it.

DVC's rwlock names a pid, and the dead owner's stage may live on a moment, or for long where its guard was
killed too. So the run, the guard and the stage's commands all hold one lock on one file a stage. The file
says who they are, so that the next run can end what an owner's death has left.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import signal
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from flows.process_group import Process, living, process, signal_group


@dataclass(frozen=True, kw_only=True, slots=True)
class Holder:
    """Who runs a stage."""

    stage: str
    root: str
    boot: str
    owner: int
    owner_started: int
    group: int | None = None
    group_started: int | None = None

    @property
    def owned(self) -> bool:
        """Whether the run that started the stage still lives."""
        owner = process(self.owner) if self.boot == _boot() else None
        return owner is not None and not owner.zombie and owner.started == self.owner_started

    def left(self) -> list[Process]:
        """The processes of the stage that live; none where another group bears the number by now."""
        if self.group is None or self.boot != _boot():
            return []
        first = process(self.group)
        if first is not None and first.started != self.group_started:
            return []
        return [one for one in living(self.group) if one.pid == self.group or self._ours(one.pid)]

    def _ours(self, pid: int) -> bool:
        with contextlib.suppress(psutil.Error, OSError):
            env = psutil.Process(pid).environ()
            return (env.get("DVC_ROOT"), env.get("DVC_STAGE")) == (self.root, self.stage)
        return False

    def end(self) -> bool:
        """Kill what a dead run has left of the stage. False: something may live still."""
        if self.owned:
            return False
        if self.group is None or not self.left():
            return True
        signal_group(self.group, signal.SIGKILL)
        return not self.left()

    def describe(self) -> str:
        """In words: who it is, and whether its run still lives."""
        run = f"`darkroom run` with pid {self.owner}"
        return f"{run} runs it" if self.owned else f"a process of the {run}, which was killed, still lives"


class StageLock:
    """The lock of one stage, held until `release`, and by who was given the descriptor until they end."""

    def __init__(self, file: int, stage: str, root: str) -> None:
        self.descriptor = file
        me = process(os.getpid())
        assert me is not None
        self._holder = Holder(stage=stage, root=root, boot=_boot(), owner=me.pid, owner_started=me.started)
        self._write()

    def note(self, group: int) -> None:
        """Note the stage's process group, before a command is started in it."""
        first = process(group)
        self._holder = Holder(
            **{**asdict(self._holder), "group": group, "group_started": first.started if first else None}
        )
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


def take(folder: Path, stage: str, root: Path) -> StageLock | str:
    """Lock the stage, or say in words who runs it. `root` is the repository's. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / hashlib.sha256(stage.encode()).hexdigest()[:32]
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        holder = _read(path)
        gone = holder is None or holder.end()
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if gone:
            return StageLock(file, stage, str(root))
    except BlockingIOError:
        pass
    except BaseException:
        os.close(file)
        raise
    os.close(file)
    return holder.describe() if holder else "another run holds its lock"


def end_left_overs(folder: Path) -> None:
    """Kill what dead runs have left of their stages, of all that are noted in `folder`."""
    with contextlib.suppress(FileNotFoundError):
        for path in folder.iterdir():
            if holder := _read(path):
                holder.end()


def busy(folder: Path) -> str | None:
    """Who runs a stage of those that are noted in `folder`; None: nobody."""
    with contextlib.suppress(FileNotFoundError):
        for path in folder.iterdir():
            if (holder := _read(path)) and (holder.owned or holder.left()):
                return f"{holder.stage}: {holder.describe()}"
    return None


def _read(path: Path) -> Holder | None:
    try:
        return Holder(**json.loads(path.read_bytes()))
    except (ValueError, TypeError):  # empty: nobody; torn: who wrote it is dead, and started no command yet
        return None


def _boot() -> str:
    """Which start of the host it is: pids and times mean nothing after the next one."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
