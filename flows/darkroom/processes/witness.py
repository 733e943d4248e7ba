"""Who changed the files that a stage depends on while its command ran: the stage itself, or somebody else.

Nothing is guessed. A file counts as changed by a stage only under two conditions: the kernel has reported
every change in the file's folder since before the command was started, and a process that descends from the
command made each change of the file.
"""

from __future__ import annotations

import contextlib
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import psutil

from darkroom.processes.descent import Descent
from darkroom.processes.fanotify import Fanotify, FolderId, LostChanges, folder_id

_OWN_FILE_SYSTEMS = frozenset(
    ("bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "jfs", "overlay", "ramfs", "tmpfs", "xfs", "zfs")
)
"""File systems of this host alone: on others (NFS) the kernel does not hear what other hosts write."""

_WRITING = os.O_WRONLY | os.O_RDWR


@dataclass(frozen=True, slots=True)
class Writers:
    """The processes that changed a file, by what they belong to; where all are empty, that is not known."""

    commands: frozenset[int] = frozenset()
    """The first processes of commands of this run's stages."""
    strangers: frozenset[int] = frozenset()


class Witness:
    """Watches the folders of some files and folders from now on; of a folder all that are below it, too.

    Raises:
        OSError: The kernel does not allow it: that takes root.

    """

    def __init__(self, paths: Iterable[Path]) -> None:
        self.commands: set[int] = set()
        """The first process of each of the stage's commands."""
        self._real: dict[Path, Path] = {}
        self._folders: dict[Path, FolderId] = {}
        self._pids: dict[tuple[FolderId, str], set[int]] = defaultdict(set)
        self._blind = False
        with contextlib.ExitStack() as opened:
            self._fanotify = opened.enter_context(contextlib.closing(Fanotify()))
            self._descent = opened.enter_context(contextlib.closing(Descent()))
            types = _file_systems()
            for path in paths:
                self._add(path, types)
            self._opened = opened.pop_all()

    def _add(self, path: Path, types: Mapping[Path, str]) -> None:
        real = Path(os.path.realpath(path))
        self._real[path] = real
        below = (Path(folder) for folder, _, _ in os.walk(real)) if real.is_dir() else ()
        for folder in (real.parent, *below):
            if folder not in self._folders and _file_system(folder, types) in _OWN_FILE_SYSTEMS:
                with contextlib.suppress(OSError):  # what cannot be watched cannot be told
                    self._folders[folder] = self._fanotify.add(folder)

    def close(self) -> None:
        """Stop watching."""
        self._opened.close()

    def began(self, pid: int) -> None:
        """Note the first process of a command of the stage."""
        self.commands.add(pid)

    def look(self) -> None:
        """Note which processes were started: often while the command runs, and once when they are gone."""
        self._descent.read()

    def processes(self) -> set[int]:
        """The stage's processes, those that have ended included."""
        self.look()
        return self._descent.below(self.commands)

    def writers(self, root: Path, parts: tuple[str, ...] = ()) -> Writers:
        """Who changed `parts` below `root`, one of the paths that are watched. Asked after the last look."""
        self._take_in()
        file = self._real[root].joinpath(*parts)
        if self._blind or self._descent.lost or os.path.realpath(root.joinpath(*parts)) != str(file):
            return Writers()
        folder = self._folders.get(file.parent)
        if folder is None or not _is_still(file.parent, folder) or _may_be_written_unseen(file):
            return Writers()
        pids = self._pids.get((folder, file.name), set())
        first = {pid: self._descent.first(pid) for pid in pids}
        return Writers(
            frozenset(command for command in first.values() if command is not None),
            frozenset(pid for pid, command in first.items() if command is None),
        )

    def _take_in(self) -> None:
        try:
            for change in self._fanotify.read():
                self._pids[change.folder, change.name].add(change.pid)
        except LostChanges:
            self._blind = True


def _is_still(path: Path, folder: FolderId) -> bool:
    """Whether the folder there is that one, or gone with all that was in it."""
    try:
        opened = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    try:
        return folder_id(opened) == folder
    except OSError:
        return False
    finally:
        os.close(opened)


def _may_be_written_unseen(file: Path) -> bool:
    """Whether the file has another name, or a process has it open or mapped: such writes are not reported."""
    try:
        found = file.lstat()
    except FileNotFoundError:
        return False
    return found.st_nlink > 1 or any(_holds_to_write(pid, found) for pid in psutil.pids())


def _holds_to_write(pid: int, found: os.stat_result) -> bool:
    with contextlib.suppress(OSError):
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                if os.path.samestat(descriptor.stat(), found) and _flags(pid, descriptor.name) & _WRITING:
                    return True
    with contextlib.suppress(OSError):
        return any(_maps_to_write(line, found.st_ino) for line in _maps(pid))
    return False


def _flags(pid: int, descriptor: str) -> int:
    text = Path(f"/proc/{pid}/fdinfo/{descriptor}").read_text(encoding="ascii", errors="replace")
    return next(int(line.split()[1], 8) for line in text.splitlines() if line.startswith("flags:"))


def _maps(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/maps").read_text(encoding="utf-8", errors="replace").splitlines()


def _maps_to_write(line: str, inode: int) -> bool:
    fields = line.split(maxsplit=5)
    return "w" in fields[1] and "s" in fields[1] and fields[4] == str(inode)


def _file_systems() -> Mapping[Path, str]:
    """The types of the mounted file systems, by their places."""
    return _parsed(Path("/proc/self/mounts").read_bytes())


@lru_cache(maxsize=1)
def _parsed(_: bytes) -> Mapping[Path, str]:
    """The type of each file system by its mount point; read before each stage, and seldom changed."""
    return {Path(part.mountpoint): part.fstype for part in psutil.disk_partitions(all=True)}


def _file_system(folder: Path, types: Mapping[Path, str]) -> str:
    return next((types[each] for each in (folder, *folder.parents) if each in types), "")
