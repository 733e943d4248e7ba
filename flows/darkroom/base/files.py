"""Files that are written completely or not at all, and that survive a power cut."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from darkroom.base.errors import RepoError, explain_os_error

STATE_FOLDER = ".darkroom"
"""Logs, durations and notes, in the repository's root and out of git."""

POOLS_FILE = "pools.yaml"
"""The file in the state folder that says which stages run on other hosts, and on which."""

LONGEST_NAME = 200
"""Bytes; file systems take 255, endings included."""


def logs_folder(root: Path, run: str) -> Path:
    """The folder of a run's log files, one a stage; `root` is the repository's."""
    return root / STATE_FOLDER / "logs" / run


def models_folder(root: Path) -> Path:
    """The folder of copies of models of commits, a folder a commit; `root` is the repository's."""
    return root / STATE_FOLDER / "released"


def log_file(root: Path, run: str, stage: str) -> Path:
    """A stage's log file, no other stage's: `a/b` is in `a%2Fb.log`."""
    return logs_folder(root, run) / f"{name_as_file(stage)}.log"


def name_as_file(stage: str) -> str:
    """A stage's name as that of a file, no other stage's: `a%2Fb` for `a/b`.

    A name too long for a file system is cut, and ends in a hash of the whole.
    """
    name = stage.replace("%", "%25").replace("/", "%2F")
    if len(name.encode()) > LONGEST_NAME:
        whole = hashlib.sha256(stage.encode()).hexdigest()[:12]
        name = f"{name.encode()[:LONGEST_NAME].decode(errors='ignore')}%~{whole}"
    return name


def half_written(path: Path, folder: Path | None = None) -> Path:
    """The file, beside `path` or in `folder`, that this process writes before it becomes `path`.

    The name is no longer than a file system takes, and ends in the process's number.
    """
    name = path.name.encode()[:LONGEST_NAME].decode(errors="ignore")
    return (folder or path.parent) / f".{name}.{os.getpid()}.partial"


def write_text(path: Path, text: str, scratch: Path | None = None, *, synced: bool = False) -> None:
    """`write_bytes` of the text as UTF-8, its line ends as they are."""
    write_bytes(path, text.encode(), scratch, synced=synced)


def write_bytes(path: Path, content: bytes, scratch: Path | None = None, *, synced: bool = False) -> None:
    """Replace `path` by `content` in one step; a symbolic link keeps pointing where it did.

    The half-written file lies in `scratch` if that is given and on the same file system. So nobody who lists
    the folder meanwhile sees it. With `synced` a power cut leaves the old or the new content, and the new one
    once this function has returned.

    Raises:
        OSError: The file cannot be written; the error names `path`.

    """
    target = Path(os.path.realpath(path))
    folder = scratch if scratch and _on_one_disk(scratch, target.parent) else target.parent
    temporary = half_written(target, folder)
    try:
        temporary.write_bytes(content)
        if target.exists():
            temporary.chmod(target.stat().st_mode & 0o7777)
        if synced:
            sync_path(temporary)
        temporary.replace(target)
        if synced:
            sync_path(target.parent)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error  # `write` does not say where
    finally:
        temporary.unlink(missing_ok=True)


def _on_one_disk(one: Path, other: Path) -> bool:
    return one.stat().st_dev == other.stat().st_dev


def sync_path(path: Path) -> None:
    """Return when a file's content, or a folder's names, would survive a power cut.

    Raises:
        OSError: It cannot be opened, or the disk does not take it.

    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some network file systems cannot do it for folders
            raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        os.close(descriptor)


def sync_paths(paths: Iterable[Path]) -> None:
    """Do `sync_path` for each that is there and may be read.

    Raises:
        OSError: One cannot be opened, or the disk does not take it.

    """
    for path in paths:
        with contextlib.suppress(FileNotFoundError, PermissionError):
            sync_path(path)


def sync_file_system(path: Path) -> None:
    """Do `sync_path` for all that was written to the file system that `path` is on.

    Raises:
        OSError: It cannot be opened, or the disk does not take it.

    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(descriptor):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(path))
    finally:
        os.close(descriptor)


def make_private_folder(folder: Path) -> None:
    """Make a folder that only its owner can read. If it exists, others lose their access."""
    folder.mkdir(mode=0o700, exist_ok=True)
    folder.chmod(0o700)


def write_secret(path: Path, text: str) -> None:
    """Replace `path` in one step by a file that nobody else may read, at no moment.

    A power cut leaves the old or the new text.
    """
    _secret_beside(path, text).replace(path)
    sync_path(path.parent)


def write_secret_once(path: Path, text: str) -> None:
    """Do as `write_secret` where there is no `path` yet: of several at once, the first one's text stays."""
    if path.exists():
        return
    temporary = _secret_beside(path, text)
    with contextlib.suppress(FileExistsError):
        path.hardlink_to(temporary)
    temporary.unlink()


def _secret_beside(path: Path, text: str) -> Path:
    temporary = half_written(path)
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return temporary


def make_state_folder(folder: Path) -> None:
    """The folder for logs and history; it keeps itself out of git and of DVC's hashes.

    Raises:
        RepoError: The folder cannot be made or written to.

    """
    try:
        folder.mkdir(exist_ok=True)
        for name in (".gitignore", ".dvcignore"):
            path = folder / name
            if not path.exists() or not path.stat().st_size:  # a power cut can leave it empty
                write_text(path, "*\n")
    except OSError as error:
        raise RepoError(explain_os_error(error, folder)) from error


def shown_path(path: Path, start: Path) -> str:
    """The path as its reader finds it: from `start`; of a clone, from its project's root."""
    parts = start.parts
    for at in range(len(parts) - 1):
        if parts[at : at + 2] == (STATE_FOLDER, "clones"):
            return os.path.relpath(path, Path(*parts[:at]))
    return os.path.relpath(path, start)
