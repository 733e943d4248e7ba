"""A run of a DVC repository as a flow run of Prefect; its stages are flow runs under it.

DVC alone decides what is up to date: Prefect caches and keeps no results here. A stage that comes from the
run-cache has a flow run in the state Cached; one that is up to date costs no request, and stands on the run's
page alone.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from prefect.client.schemas.objects import State
from prefect.states import Cancelled, Completed, Crashed, Failed

from darkroom.base.errors import DarkroomError, UsageError
from darkroom.base.text import format_reasons
from darkroom.processes.stopping import stopping_on_signals
from darkroom.runs.ended import EndedRun, record_run
from darkroom.runs.engine import run_pipeline
from darkroom.runs.local_executor import LocalExecutor
from darkroom.runs.report import RunOptions
from darkroom.schedule.events import (
    Event,
    Outcome,
    StageAgain,
    StageFinished,
    StageStarted,
    StageWaits,
    ignore,
)
from darkroom.schedule.executor import Executor
from darkroom.show import pages as artifacts
from darkroom.show.wording import describe_end, describe_restart
from darkroom.tracking.flow_runs import StageFlowRuns
from darkroom.tracking.living_runs import living_run
from darkroom.tracking.recorded_executor import RecordedExecutor
from darkroom.tracking.unrecorded import run_unrecorded

PATIENCE_SECONDS = 60.0
"""How long a run waits for a silent server at its end: as long as its start takes on a loaded machine."""

PATIENCE = "DARKROOM_PATIENCE"
"""The variable that sets other seconds, since nobody sits before a run of a deployment."""

STOPPED_SECONDS = 1.5
"""The seconds for Prefect after an interruption, which gives the stages 8 s: all ends within 10 s."""


def print_remark(text: str) -> None:
    """A remark beside a run's output."""
    with suppress(OSError):  # nobody may read it any more
        print(f"darkroom: {text}", file=sys.stderr, flush=True)


def patience_of(environ: Mapping[str, str], plain: float = PATIENCE_SECONDS) -> float:
    """How many seconds of the server's silence a run waits for at its end; `plain`, unless `environ` says so.

    Raises:
        UsageError: What `environ` says is no number of seconds.

    """
    given = environ.get(PATIENCE) or str(plain)
    try:
        seconds = float(given)
    except ValueError:
        seconds = -1.0
    if not seconds >= 0:
        raise UsageError(f"{PATIENCE}: {given}: a number of seconds is needed, such as 60")
    return seconds


def run_recorded(
    options: RunOptions,
    root: Path,
    observe: Callable[[Event], None] = ignore,
    *,
    executor: Executor | None = None,
    patience: float = PATIENCE_SECONDS,
    remark: Callable[[str], None] = print_remark,
) -> tuple[EndedRun, str | None]:
    """Run what `options` select of the repository at `root`, as a flow run of the Prefect server that is set.

    Commands are executed by `executor`, without one on this host.
    The stages never wait for the server; at the end the run does, for `patience` seconds of its silence.
    Returns the record, and what Prefect was not told and why, if anything. A failing stage does not raise: it
    is in the record.

    Raises:
        DarkroomError: Nothing could be started.

    """
    executor = executor or LocalExecutor()
    with living_run(root) as labels:
        name, parameters = run_name(options, root), shown_parameters(options)
        try:
            stages = StageFlowRuns(name, parameters, root.name, options.stop, labels)
        except Exception as error:  # of Prefect's client: there is nothing wrong with the stages
            lost = f"all of it ({error or type(error).__name__})"
            return run_unrecorded(options, root, observe, executor=executor), lost
        try:
            with _crash_told(stages):
                record = _run_stages(options, root, observe, executor, stages)
        finally:
            at_most = STOPPED_SECONDS if options.stop.is_set() else float("inf")
            stages.outbox.close(patience, at_most, remark)
        return record, stages.outbox.loss()


def _run_stages(
    options: RunOptions,
    root: Path,
    observe: Callable[[Event], None],
    executor: Executor,
    stages: StageFlowRuns,
) -> EndedRun:
    """Run the stages under the flow run, and publish what there is to see of them."""

    def tell(event: Event) -> None:
        observe(event)
        stages.follow(event)
        if text := line_of_log(event):
            stages.log(text, level_of(event))

    with stopping_on_signals(options.stop, executor.is_busy):
        report = run_pipeline(options, executor=RecordedExecutor(executor, stages), observe=tell)
    record = record_run(root, report)
    stages.log(artifacts.headline(report), logging.INFO if report.well else logging.ERROR)
    stages.publish(record)
    stages.end(final_state(record))
    return record


@contextmanager
def _crash_told(stages: StageFlowRuns) -> Iterator[None]:
    """Let no flow run stay Running that has ended by an exception."""
    try:
        yield
    except DarkroomError as error:
        stages.end(Failed(message=str(error)))
        raise
    except BaseException as error:
        stages.end(Crashed(message=f"{type(error).__name__}: {error}"))
        raise


def line_of_log(event: Event) -> str:
    """What the pipeline's own log says of an event; empty where that is nothing."""
    match event:
        case StageStarted(stage, reasons):
            return f"{stage} starts: {format_reasons(reasons)}"
        case StageWaits(stage, reason):
            return f"{stage} waits: {reason}"
        case StageAgain(stage):
            return f"{stage} {describe_restart(event)}"
        case StageFinished() if text := describe_end(event):
            return f"{event.stage} {text}"
    return ""


def level_of(event: Event) -> int:
    """The level of the log at which an event is told: how much it should stand out."""
    match event:
        case StageFinished(outcome=Outcome.FAILED):
            return logging.ERROR
        case StageWaits() | StageAgain() | StageFinished(outcome=Outcome.CANCELLED):
            return logging.WARNING
    return logging.INFO


def run_name(options: RunOptions, root: Path) -> str:
    """What a run is called on Prefect's pages: the project, and the targets if some were named."""
    return " ".join([root.name, *options.targets])


def shown_parameters(options: RunOptions) -> dict[str, Any]:
    """The options as Prefect's pages show them: those that differ from the defaults."""
    plain = RunOptions(stop=options.stop)
    return {
        name: list(value) if isinstance(value, tuple) else str(value) if isinstance(value, Path) else value
        for name in RunOptions.__dataclass_fields__
        if (value := getattr(options, name)) != getattr(plain, name)
    }


def final_state(record: EndedRun) -> State[Any]:
    """Prefect's state for how a run ended."""
    said = artifacts.headline(record.report)
    if Outcome.CANCELLED in record.report.outcomes().values():
        return Cancelled(message=said)
    if record.report.well:
        return Completed(message=said)
    return Failed(message="\n".join((said, *record.report.errors)))
