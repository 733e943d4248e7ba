"""The scheduler without Prefect, in the current folder: what `benchmarks.scheduler` times."""

import sys
from pathlib import Path

import typer

from flows.run import RunOptions, run_pipeline


def main(jobs: int = 2) -> None:
    """Run the whole pipeline; exit 1 if a stage failed."""
    report = run_pipeline(RunOptions(repo=Path.cwd(), jobs=jobs))
    sys.exit(0 if report.well else 1)


if __name__ == "__main__":
    typer.run(main)
