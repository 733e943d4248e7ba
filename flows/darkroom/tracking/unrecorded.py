"""A run that Prefect is told nothing of, since there is no Prefect to be told. Imports nothing of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from darkroom.processes import stage_process
from darkroom.processes.stage_process import StageJob, StageResult
from darkroom.processes.stopping import stopping_on_signals
from darkroom.runs.ended import EndedRun, record_run
from darkroom.runs.engine import run_pipeline
from darkroom.runs.report import RunOptions
from darkroom.schedule.events import Event, ignore


def run_unrecorded(options: RunOptions, root: Path, observe: Callable[[Event], None] = ignore) -> EndedRun:
    """Run what `options` select of the repository at `root`.

    A failing stage does not raise: it is in the record. Raises DarkroomError where nothing could be started.
    """
    last_lines: dict[str, tuple[str, ...]] = {}

    def execute(job: StageJob) -> StageResult:
        result = stage_process.execute(job)
        last_lines[job.name] = () if result.well else result.last_lines
        return result

    with stopping_on_signals(options.stop):
        report = run_pipeline(options, execute=execute, observe=observe)
    return record_run(root, report, last_lines)
