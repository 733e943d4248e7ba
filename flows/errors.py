"""What the scheduler raises when the user can mend it, and the exit code of each.

DarkroomError       1   one line: what is wrong, where, the mend
├── UsageError      2   an option or a target that does not exist or does not fit
├── RepoError       3   a repository, a dvc.yaml or a lock that cannot be read or taken
│   └── MetaError   3   a wrong key or value under a stage's `meta:`
└── StageError      4   a stage that failed, was killed or ran out of time
"""


class DarkroomError(Exception):
    """One line that says what is wrong, where (file, key, stage) and how to mend it."""

    exit_code = 1


class UsageError(DarkroomError):
    """An option or a target that does not exist or does not fit the others."""

    exit_code = 2


class RepoError(DarkroomError):
    """A repository, a dvc.yaml, a dvc.lock or a lock that cannot be read or taken."""

    exit_code = 3


class MetaError(RepoError):
    """A wrong key or value under a stage's `meta:` in dvc.yaml."""


class StageError(DarkroomError):
    """A stage that failed, was killed or ran out of time."""

    exit_code = 4
