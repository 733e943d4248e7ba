"""A run that Prefect is told nothing of, since there is no Prefect to be told. Imports nothing of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from darkroom.processes.stopping import stopping_on_signals
from darkroom.runs.ended import EndedRun, record_run
from darkroom.runs.engine import run_pipeline
from darkroom.runs.local_executor import LocalExecutor
from darkroom.runs.report import RunOptions
from darkroom.schedule.events import Event, ignore
from darkroom.schedule.executor import Executor


def run_unrecorded(
    options: RunOptions,
    root: Path,
    observe: Callable[[Event], None] = ignore,
    *,
    executor: Executor | None = None,
) -> EndedRun:
    """Run what `options` select of the repository at `root`; commands are executed by `executor`, or here.

    A failing stage does not raise: it is in the record.

    Raises:
        DarkroomError: Nothing could be started.

    """
    executor = executor or LocalExecutor()
    with stopping_on_signals(options.stop, executor.is_busy):
        report = run_pipeline(options, executor=executor, observe=observe)
    return record_run(root, report)
