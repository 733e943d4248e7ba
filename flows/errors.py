"""What the scheduler raises when the user can mend it; the command line says it and ends with exit code 2.

DarkroomError       one line: what is wrong, where, the mend
├── UsageError      an option or a target that does not exist or does not fit
├── RepoError       a repository, a dvc.yaml or a lock that cannot be read or taken
│   └── MetaError   a wrong key or value under a stage's `meta:`
├── StageError      a stage that cannot be recorded; the run's report tells it, and the exit code is 1
└── RawDataError    raw data that is wrong or cannot be had (flows/raw_data.py)
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

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


def explain(error: OSError, path: Path | str | None = None) -> str:
    """Where, what and the mend, as far as the kernel tells: `a/b: No space left on device; free some ...`."""
    name = error.filename2 or error.filename or path
    where = f"{_shown(os.fsdecode(name))}: " if isinstance(name, str | bytes | Path) else ""
    mend = f"; {_MENDS[error.errno]}" if error.errno in _MENDS else ""
    return f"{where}{error.strerror or error}{mend}"


def _shown(path: str) -> str:
    """A path below the current directory from there on, another one whole."""
    short = os.path.relpath(path)
    return path if short.startswith(os.pardir) else short


class DarkroomError(Exception):
    """One line that says what is wrong, where (file, key, stage) and how to mend it."""


class UsageError(DarkroomError):
    """An option or a target that does not exist or does not fit the others."""


class RepoError(DarkroomError):
    """A repository, a dvc.yaml, a dvc.lock or a lock that cannot be read or taken."""


class MetaError(RepoError):
    """A wrong key or value under a stage's `meta:` in dvc.yaml."""


class StageError(DarkroomError):
    """A stage that DVC cannot judge, restore or record."""
