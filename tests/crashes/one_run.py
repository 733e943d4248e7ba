"""One run of a repository without Prefect, for the crash points: `python -m tests.crashes.one_run`.

The current folder is the repository. Exit codes are those of `darkroom run`.
"""

import sys
from pathlib import Path

from darkroom.base.errors import DarkroomError
from darkroom.base.exits import Exit
from darkroom.runs.engine import run_pipeline
from darkroom.runs.report import RunOptions


def main() -> int:
    try:
        report = run_pipeline(RunOptions(repo=Path(), jobs=1))
    except DarkroomError as error:
        print(f"error: {error}", file=sys.stderr)
        return Exit.WRONG_INPUT
    for error in report.errors:
        print(f"error: {error}", file=sys.stderr)
    return Exit.WELL if report.well else Exit.FAILED


if __name__ == "__main__":
    sys.exit(main())
