"""A run of a DVC repository that reports by letters. If it cannot or must not report, it runs without.

Nothing of Prefect is imported: the letters wait on disk, and another process delivers them. DVC alone decides
what is up to date. A stage whose results come from the run-cache has a flow run in the state Cached. A stage
that is up to date has no flow run, and appears only on the run's page.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from darkroom.base.errors import DarkroomError
from darkroom.base.text import format_count, format_reasons
from darkroom.processes.stopping import stopping_on_signals
from darkroom.reporting.deliverers import STOPPED_SECONDS, Deliverer, Destination
from darkroom.reporting.letters import RunState
from darkroom.reporting.outbox import Outbox, position_file
from darkroom.reporting.stages import ReportedExecutor, StageLetters
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
from darkroom.show.wording import describe_end, describe_restart, headline

SYNC_SECONDS = 0.05
"""Stages that end together are synced together."""

LOOK_SECONDS = 0.5
START_SECONDS = 3.0
"""The time after which a run has its letters delivered while it goes on; a shorter one has it at its end."""

SAY_SECONDS = 2.0


def print_remark(text: str) -> None:
    """A remark beside a run's output."""
    with suppress(OSError):  # nobody may read it any more
        print(f"darkroom: {text}", file=sys.stderr, flush=True)


def run_unreported(
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


def run_reported(
    options: RunOptions,
    root: Path,
    destination: Destination,
    observe: Callable[[Event], None] = ignore,
    *,
    executor: Executor | None = None,
    patience: float = 0.0,
    remark: Callable[[str], None] = print_remark,
) -> tuple[EndedRun, str | None]:
    """Run what `options` select of the repository at `root`, and write down what Prefect is to be told.

    Commands are executed by `executor`, without one on this host. Nothing waits for a server, but with
    `patience` the end does, for so many seconds of its silence. Returns the record, and what will not be told
    and why, if anything. A failing stage does not raise: it is in the record.

    Raises:
        DarkroomError: Nothing could be started.

    """
    executor = executor or LocalExecutor()
    try:
        outbox = Outbox(root, destination.url, run_name(options, root))
    except (DarkroomError, OSError) as error:  # a full disk: there is nothing wrong with the stages
        said = " ".join(str(error).split()) or type(error).__name__
        return run_unreported(options, root, observe, executor=executor), f"all of it ({said})"
    try:
        stages = StageLetters(outbox, run_name(options, root), shown_parameters(options), root.name)
        with _looked_after(outbox, root, destination, options.stop), _reporting_crashes(outbox, stages):
            record = _run_stages(options, root, observe, executor, stages)
        at_most = STOPPED_SECONDS if options.stop.is_set() else float("inf")
        _wait_for_delivery(outbox, patience, at_most, remark)
        return record, loss(outbox)
    finally:
        outbox.close()


def _run_stages(
    options: RunOptions,
    root: Path,
    observe: Callable[[Event], None],
    executor: Executor,
    stages: StageLetters,
) -> EndedRun:
    """Run the stages, and tell what there is to see of them."""

    def tell(event: Event) -> None:
        observe(event)
        stages.follow(event)
        if text := line_of_log(event):
            stages.log(text, level_of(event))

    with stopping_on_signals(options.stop, executor.is_busy):
        report = run_pipeline(options, executor=ReportedExecutor(executor, stages), observe=tell)
    record = record_run(root, report)
    stages.log(headline(report), logging.INFO if report.well else logging.ERROR)
    for stage, lines in report.last_lines.items():
        stages.log("\n".join((f"the last lines of {stage}:", *lines)), logging.ERROR)
    for error in report.errors:  # the end of the log: what is looked for first
        stages.log(error, logging.ERROR)
    stages.publish(record)
    stages.end(final_state(record))
    return record


@contextmanager
def _reporting_crashes(outbox: Outbox, stages: StageLetters) -> Iterator[None]:
    """Let no flow run stay Running that has ended by an exception; nothing more comes after the block."""
    try:
        yield
    except DarkroomError as error:
        stages.end(RunState(type="FAILED", message=str(error)))
        raise
    except BaseException as error:
        stages.end(RunState(type="CRASHED", message=f"{type(error).__name__}: {error}"))
        raise
    finally:
        outbox.end()


@contextmanager
def _looked_after(
    outbox: Outbox, root: Path, destination: Destination, stop: threading.Event
) -> Iterator[None]:
    """Sync what is written, see that somebody delivers it, and hear a cancel, from a thread of its own."""
    over = threading.Event()
    wanted = bool(destination.url or destination.seconds)  # else `ui` or `up` delivers, whenever that is
    deliverer = Deliverer(root, destination)

    def look() -> None:
        looked = began = time.monotonic()
        while not over.wait(SYNC_SECONDS):
            outbox.sync()
            if (now := time.monotonic()) - looked < LOOK_SECONDS:
                continue
            looked = now
            if outbox.is_told_to_stop():
                stop.set()
            if wanted and now - began >= START_SECONDS:
                deliverer.ensure()

    thread = threading.Thread(target=look, name="outbox", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        if wanted:
            deliverer.ensure()
        deliverer.leave()


def _wait_for_delivery(
    outbox: Outbox, patience: float, at_most: float, remark: Callable[[str], None]
) -> None:
    """Wait until all is delivered, but not for longer than `patience` after the last sign of life."""
    began = alive = time.monotonic()
    position, said = "", False
    with suppress(KeyboardInterrupt):
        while not outbox.is_delivered():
            now = time.monotonic()
            with suppress(OSError):
                if (by_now := position_file(outbox.path).read_text()) != position:
                    position, alive = by_now, now
            if now - alive >= patience or now - began >= at_most:
                return
            if now - began > SAY_SECONDS and not said:
                remark("waiting for Prefect's server to record the run (Ctrl-C: do not wait)")
                said = True
            time.sleep(SYNC_SECONDS)


def loss(outbox: Outbox) -> str | None:
    """What could not be written down, and why, in a line; None: nothing."""
    letters, lines = outbox.unwritten(), outbox.lost_lines
    parts = [
        format_count(letters, "message") if letters else "",
        f"{format_count(lines, 'line')} of the logs" if lines else "",
    ]
    missing = [part for part in parts if part]
    why = outbox.problem or "more than there was room for"
    return f"{format_reasons(missing)} ({why})" if missing else None


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
    """The options as Prefect's pages show them: those that differ from the defaults, and are values."""
    plain = RunOptions(stop=options.stop)
    return {
        name: list(value) if isinstance(value, tuple) else str(value) if isinstance(value, Path) else value
        for name in RunOptions.__dataclass_fields__
        if (value := getattr(options, name)) != getattr(plain, name) and not callable(value)
    }


def final_state(record: EndedRun) -> RunState:
    """Prefect's state for how a run ended."""
    said = headline(record.report)
    if Outcome.CANCELLED in record.report.outcomes().values():
        return RunState(type="CANCELLED", message=said)
    if record.report.well:
        return RunState(type="COMPLETED", message=said)
    return RunState(type="FAILED", message="\n".join((said, *record.report.errors)))
