"""Errors that the user can fix. The command line prints them and ends with exit code 2.

DarkroomError       one line: what is wrong, where, and how to fix it
├── UsageError      an option or a target that does not exist or does not fit
├── RepoError       a repository, a dvc.yaml or a lock that cannot be read or taken
│   └── MetaError   a wrong key or value under a stage's `meta:`
├── InvalidParamsError  parameters that stages refuse; several lines
├── StageRecordError  a stage that cannot be recorded; the run's report names it, and the exit code is 1
└── RawDataError    raw data that is wrong or cannot be had (flows/darkroom/raw_data/fetching.py)
"""

from __future__ import annotations

import errno
import os
import sys
import traceback
from pathlib import Path
from types import FrameType

TRACEBACK = "DARKROOM_TRACEBACK"
"""The variable of the environment that has errors show where in the code they came from."""

_OWN = __name__.partition(".")[0]

_MENDS = {
    errno.ENOSPC: "free some space there",
    errno.EDQUOT: "free some space there, or have the quota raised",
    errno.EROFS: "mount it writable, or set another place",
    errno.EACCES: "have its permissions changed",
    errno.EPERM: "have its permissions changed",
    errno.EMFILE: "raise `ulimit -n`, or run fewer stages at once (--jobs)",
    errno.ENFILE: "the host has too many files open: end something there",
    errno.EAGAIN: "raise `ulimit -u`, or run fewer stages at once (--jobs)",
    errno.ENOMEM: "free some memory, or run fewer stages at once (--jobs)",
    errno.EIO: "have the disk checked",
}


def explain_os_error(error: OSError, path: Path | str | None = None) -> str:
    """One line with where, what and the mend, as `a/b: No space left on device; free some space there`."""
    name = error.filename2 or error.filename or path
    where = f"{_shown(os.fsdecode(name))}: " if isinstance(name, str | bytes | Path) else ""
    mend = f"; {_MENDS[error.errno]}" if error.errno in _MENDS else ""
    return f"{where}{error.strerror or error}{mend}"


def _shown(path: str) -> str:
    """A path below the current directory from there on, another one whole."""
    short = os.path.relpath(path)
    return path if short.startswith(os.pardir) else short


def is_own(error: BaseException) -> bool:
    """Whether code of ours raised it, itself or by a call of Python's library: then it is ours to mend."""
    return [_package(frame) for frame in frames_outside(error)[-1:]] == [_OWN]


def frames_outside(error: BaseException) -> list[FrameType]:
    """The frames that an error came through, without Python's own library; the last one raised it."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return [frame for frame in frames if _package(frame) not in sys.stdlib_module_names]


def _package(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__")).partition(".")[0]


def describe_fault(error: BaseException) -> str:
    """An error that nobody has foreseen, and where in the code it came from, in one line."""
    passed = list(traceback.walk_tb(error.__traceback__))
    frame, line = next((step for step in reversed(passed) if _package(step[0]) == _OWN), passed[-1])
    said = " ".join(f"{type(error).__name__}: {error}".removesuffix(": ").split())
    where = f"{frame.f_globals.get('__name__')}, line {line}"
    return f"darkroom itself failed: {said} ({where}); {TRACEBACK}=1 shows more, please report it"


class DarkroomError(Exception):
    """One line that says what is wrong, where (file, key, stage) and how to mend it."""


class UsageError(DarkroomError):
    """An option or a target that does not exist or does not fit the others."""


class RepoError(DarkroomError):
    """A repository, a dvc.yaml, a dvc.lock or a lock that cannot be read or taken."""


class MetaError(RepoError):
    """A wrong key or value under a stage's `meta:` in dvc.yaml."""


class InvalidParamsError(DarkroomError):
    """Parameters that the stages refuse which would run, before anything of theirs is removed."""

    def __init__(self, faults: tuple[str, ...]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults
        """One line each."""


class StageRecordError(DarkroomError):
    """A stage that DVC cannot judge, restore or record."""
