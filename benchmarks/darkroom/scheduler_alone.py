"""The scheduler without Prefect, in the current folder: what `benchmarks.darkroom.scheduler` times."""

import argparse
import atexit
import gc
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from darkroom.runs.engine import run_pipeline
from darkroom.runs.report import RunOptions
from darkroom.schedule.events import Event, ignore


def _display() -> AbstractContextManager[Callable[[Event], None]]:
    from darkroom.show.terminal import make_console, watching_run

    return watching_run(make_console())


def main() -> None:
    """Run the whole pipeline; exit 1 if a stage failed."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--jobs", type=int, default=2)
    options.add_argument("--shown", action="store_true")
    chosen = options.parse_args()
    atexit.register(gc.freeze)  # as the command does
    with _display() if chosen.shown else nullcontext(ignore) as observe:
        report = run_pipeline(RunOptions(repo=Path.cwd(), jobs=chosen.jobs), observe=observe)
    sys.exit(0 if report.well else 1)


if __name__ == "__main__":
    main()
