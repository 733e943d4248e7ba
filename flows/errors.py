"""What the scheduler raises when the user can mend it; the command line says it and ends with exit code 2.

DarkroomError       one line: what is wrong, where, the mend
├── UsageError      an option or a target that does not exist or does not fit
├── RepoError       a repository, a dvc.yaml or a lock that cannot be read or taken
│   └── MetaError   a wrong key or value under a stage's `meta:`
├── StageError      a stage that cannot be recorded; the run's report tells it, and the exit code is 1
└── RawDataError    raw data that is wrong or cannot be had (flows/raw_data.py)
"""


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
