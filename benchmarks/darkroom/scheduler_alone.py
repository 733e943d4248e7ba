"""The scheduler without Prefect, in the current folder: what `benchmarks.darkroom.scheduler` times."""

import argparse
import atexit
import gc
import sys
from pathlib import Path

from darkroom.runs.engine import run_pipeline
from darkroom.runs.report import RunOptions


def main() -> None:
    """Run the whole pipeline; exit 1 if a stage failed."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--jobs", type=int, default=2)
    atexit.register(gc.freeze)  # as the command does
    report = run_pipeline(RunOptions(repo=Path.cwd(), jobs=options.parse_args().jobs))
    sys.exit(0 if report.well else 1)


if __name__ == "__main__":
    main()
