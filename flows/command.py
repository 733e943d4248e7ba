"""What the parts of the command line share. Imports nothing that is slow to start."""

from enum import IntEnum
from pathlib import Path

import click


class Exit(IntEnum):
    """What the command's exit codes mean."""

    WELL = 0
    FAILED = 1
    WRONG_INPUT = 2
    WORK_TO_DO = 3
    FAULT = 70
    INTERRUPTED = 130
    UNREAD = 141


in_repo = click.option(
    "--repo",
    type=click.Path(path_type=Path),
    default=Path(),
    metavar="FOLDER",
    help="A folder of the DVC repository; this one if not given.",
)
