"""A run and each stage that executes or is restored, as letters about flow runs."""

from __future__ import annotations

import itertools
import json
import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from darkroom.base.escapes import escape, escape_lines, escape_values
from darkroom.base.text import format_duration
from darkroom.processes.excerpt import Excerpt
from darkroom.processes.stage_process import Ending, StageJob, StageResult
from darkroom.reporting.letters import (
    RUN_FLOW,
    STAGE_FLOW,
    Became,
    Began,
    Drew,
    Published,
    RunState,
    Said,
    new_id,
)
from darkroom.reporting.outbox import Outbox
from darkroom.runs.ended import EndedRun, made_by
from darkroom.schedule.attempts import NOT_ITS_FAULT
from darkroom.schedule.events import Event, Outcome, RunStarted, StageAgain, StageFinished
from darkroom.schedule.executor import Capacity, Ended, Executor, UnderWay
from darkroom.schedule.plan import Node
from darkroom.show import pages
from darkroom.show.markdown import inline_text
from darkroom.show.progress import step_of
from darkroom.show.wording import describe_restart, what_happened

LINE_CHARACTERS = 20_000
"""The most characters of one line of a log; the whole one is in the stage's log file."""


FIRST_LINES, ERROR_LINES, FINAL_LINES = 1000, 200, 100
"""The most lines that Prefect is told of an attempt: the first, those that look like errors, the last."""

DRAW_SECONDS = 1.0
"""Between two states of a bar that are told."""


@dataclass(slots=True)
class _StageRun:
    """A stage's flow run, as far as it is written."""

    id: str
    going: bool = False
    """Whether the stage was begun and is not finished."""
    excerpt: Excerpt | None = None
    """What is told of the output of the attempt under way."""
    result: StageResult | None = None
    """How the last attempt ended."""


class StageLetters:
    """Writes letters about a run and its stages, each a flow run under the run's. Used from many threads."""

    def __init__(self, outbox: Outbox, name: str, parameters: dict[str, Any], project: str) -> None:
        self._outbox, self._project = outbox, project
        self._numbers = itertools.count()
        self._run = new_id()
        self._runs: dict[str, _StageRun] = {}
        self._needs: dict[str, tuple[str, ...]] = {}
        self._behind: dict[str, tuple[str, ...]] = {}
        """The nearest stages that have a flow run, before each stage that is settled without one."""
        self._begin(self._run, RUN_FLOW, name, parameters, RunState(type="RUNNING"))

    def log(self, text: str, level: int) -> None:
        """Write a line into the run's own log."""
        self._say(self._run, text, level)

    def began(self, job: StageJob) -> StageJob:
        """Tell that an attempt begins; the job whose output is told as well."""
        if job.attempt == 1:
            run = self._add(job.name, job.needs, job.reasons, RunState(type="RUNNING"))
            run.going = True
        else:
            run = self._runs[job.name]
            self._become(run.id, RunState(type="RUNNING", message=f"attempt {job.attempt}"))

        excerpt = run.excerpt = excerpt_of(job)
        drawn = 0.0

        def draw(line: str) -> None:
            nonlocal drawn
            now = time.monotonic()
            if now - drawn >= DRAW_SECONDS and step_of(line):
                drawn = now
                self._outbox.put(Drew(at=self._outbox.now(), run=run.id, text=escape(line)))

        def on_line(line: str) -> None:
            shown = list(excerpt.take([line]))
            for each in shown:
                self._say(run.id, each)
            if line not in shown:
                draw(line)
            job.on_line(line)

        def on_bar(line: str) -> None:
            draw(line)
            job.on_bar(line)

        return replace(job, on_line=on_line, on_bar=on_bar)

    def ended(self, stage: str, result: StageResult) -> None:
        """Note how an attempt ended; `follow` tells it, with what became of the stage."""
        run = self._runs[stage]
        assert run.excerpt is not None
        for line in run.excerpt.catch_up():
            self._say(run.id, line)
        run.excerpt, run.result = None, result

    def follow(self, event: Event) -> None:
        """Tell what became of a stage: after its command its results may still not be taken over."""
        match event:
            case RunStarted():
                self._needs = {stage.name: stage.needs for stage in event.plan.stages}
            case StageAgain() if run := self._going(event.stage):
                due = self._outbox.now() + event.seconds
                waiting = RunState(
                    type="SCHEDULED", name="AwaitingRetry", message=describe_restart(event), due=due
                )
                self._become(run.id, waiting)
            case StageFinished() if run := self._going(event.stage):
                run.going = False
                if event.error:  # a stage's page opens with its log; the state's message is further off
                    self._say(run.id, event.error, logging.ERROR)
                self._become(run.id, stage_state(event, run.result))
            case StageFinished(outcome=Outcome.RESTORED):
                self._add(event.stage, self._needs[event.stage], event.reasons, stage_state(event, None))
            case StageFinished():
                self._behind[event.stage] = self._with_runs(self._needs[event.stage])

    def publish(self, record: EndedRun) -> None:
        """Publish the run's page, and for each stage that has made metrics a table of them."""
        page = pages.run_page(record)
        described = "What ran and why, metrics, graph, pictures"
        self._publish(self._run, pages.page_key(record.project), "markdown", page, described)
        made = made_by(record.report)
        for stage, run in self._runs.items():
            if stage not in made:  # one that was stopped or failed has lost what it had
                continue
            if rows := pages.metrics_table(change for change in record.metrics if change.stage == stage):
                key = pages.metrics_key(record.project, stage)
                self._publish(
                    run.id, key, "table", json.dumps(rows), f"Metrics of the stage {inline_text(stage)}"
                )

    def end(self, state: RunState) -> None:
        """Tell the run's own last state; a stage that still has none is lost with it."""
        for run in self._runs.values():
            if run.going:
                self._become(run.id, RunState(type="CRASHED", message="the run ended before"))
        self._become(self._run, state)

    def _going(self, stage: str) -> _StageRun | None:
        """The flow run of a stage that was begun and is not finished."""
        run = self._runs.get(stage)
        return run if run and run.going else None

    def _with_runs(self, needs: Iterable[str]) -> tuple[str, ...]:
        """The stages of `needs` that have flow runs; for one that has none, the nearest before it."""
        near = ((name,) if name in self._runs else self._behind.get(name, ()) for name in needs)
        return tuple(dict.fromkeys(itertools.chain.from_iterable(near)))

    def _add(self, stage: str, needs: tuple[str, ...], why: tuple[str, ...], state: RunState) -> _StageRun:
        """A flow run for a stage whose needs are settled."""
        before = tuple(self._runs[name].id for name in self._with_runs(needs))
        run = self._runs[stage] = _StageRun(new_id())
        parameters = {"stage": stage, "needs": list(needs), "why": list(why)}
        self._begin(run.id, STAGE_FLOW, stage, parameters, state, before)
        return run

    def _begin(
        self,
        run: str,
        flow: str,
        name: str,
        parameters: dict[str, Any],
        state: RunState,
        needs: tuple[str, ...] = (),
    ) -> None:
        own = run == self._run
        self._outbox.put(
            Began(
                at=self._outbox.now(),
                run=run,
                flow=flow,
                name=escape(name),
                project=escape(self._project),
                parameters=escape_values(parameters),
                state=shown(state),
                parent="" if own else self._run,
                number=0 if own else next(self._numbers),
                needs=needs,
                progress="" if own or state.ends else pages.progress_key(self._project, name),
            )
        )

    def _become(self, run: str, state: RunState) -> None:
        self._outbox.put(Became(at=self._outbox.now(), run=run, state=shown(state)))

    def _say(self, run: str, text: str, level: int = logging.INFO) -> None:
        text = escape_lines(text)
        text = text if len(text) <= LINE_CHARACTERS else f"{text[:LINE_CHARACTERS]}… [cut]"
        self._outbox.put(Said(at=self._outbox.now(), run=run, text=text, level=level))

    def _publish(self, run: str, key: str, kind: str, data: str, description: str) -> None:
        self._outbox.put(
            Published(at=self._outbox.now(), run=run, key=key, kind=kind, data=data, description=description)
        )


class ReportedExecutor:
    """Has `executor` do the work, and tells `stages` of it, whatever executes them."""

    def __init__(self, executor: Executor, stages: StageLetters) -> None:
        self._executor, self._stages = executor, stages
        self._under_way = UnderWay()

    def capacity(self, nodes: Sequence[Node], jobs: int | None) -> Capacity:
        """The capacity of the executor."""
        return self._executor.capacity(nodes, jobs)

    def launch(self, job: StageJob) -> None:
        """Have the executor execute the job, and tell its start and its output."""
        self._under_way.began(job)
        self._executor.launch(self._stages.began(job))

    def finished(self, wait: float) -> Ended | None:
        """A job that has ended; the first result of each attempt is told."""
        ended = self._executor.finished(wait)
        if ended and self._under_way.accepts(ended):
            self._stages.ended(ended.stage, ended.result)
        return ended

    def is_busy(self) -> bool:
        """Whether the executor may still be executing a job."""
        return self._executor.is_busy()

    def join(self) -> None:
        """Return when the executor runs no job's command any more."""
        self._executor.join()


def excerpt_of(job: StageJob) -> Excerpt:
    """What Prefect is told of the output of an attempt."""
    whole = f"all of them are in {job.log}" if job.log else "no file has them"
    return Excerpt(first=FIRST_LINES, errors=ERROR_LINES, last=FINAL_LINES, whole=whole)


def shown(state: RunState) -> RunState:
    """The state with a message that can be shown."""
    return replace(state, message=escape_lines(state.message))


def stage_state(event: StageFinished, result: StageResult | None) -> RunState:
    """Prefect's state for what became of a stage; `result` is its command's, None where it never ran."""
    if event.outcome is Outcome.RESTORED:
        return RunState(type="COMPLETED", name="Cached", message=what_happened(event))
    if event.outcome.well:
        return RunState(type="COMPLETED", message=f"in {format_duration(event.seconds)}")
    if event.outcome is Outcome.CANCELLED:
        return RunState(type="CANCELLED", message="the run was told to stop")
    if result is None or result.well:
        return RunState(type="FAILED", message=event.error or "")
    message = "\n".join((result.describe(), *result.last_lines))
    if result.ending in NOT_ITS_FAULT:
        return RunState(type="CRASHED", message=message)
    name = "TimedOut" if result.ending is Ending.TIMED_OUT else ""
    return RunState(type="FAILED", message=message, name=name)
