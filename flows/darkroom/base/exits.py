"""What the command's exit codes mean."""

from enum import IntEnum


class Exit(IntEnum):
    """What the command's exit codes mean."""

    WELL = 0
    FAILED = 1
    WRONG_INPUT = 2
    WORK_TO_DO = 3
    FAULT = 70
    INTERRUPTED = 130
    UNREAD = 141
