"""A run and each of its stages that executes or is restored, as flow runs of Prefect's server.

They are created through Prefect's client and not by calling a @flow: Prefect's engine waits for the server
before and after each run and fails with it, counts children in a dict that threads would race for, and makes
eleven requests a child where three do.
"""

from __future__ import annotations

import contextlib
import datetime
import itertools
import json
import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any
from uuid import UUID, uuid4

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import ArtifactCreate, FlowRunCreate, TaskRunCreate
from prefect.client.schemas.objects import FlowRunResult, State, StateType
from prefect.exceptions import PrefectException
from prefect.states import AwaitingRetry, Cancelled, Completed, Crashed, Failed, Running, to_state_create

from darkroom.base.escapes import escape, escape_lines, escape_values
from darkroom.base.text import format_duration
from darkroom.processes.excerpt import Excerpt
from darkroom.processes.stage_process import Ending, StageJob, StageResult
from darkroom.runs.ended import EndedRun
from darkroom.schedule.attempts import NOT_ITS_FAULT
from darkroom.schedule.events import Event, Outcome, RunStarted, StageAgain, StageFinished
from darkroom.show import pages as artifacts
from darkroom.show.markdown import inline_text
from darkroom.show.progress import StageProgress
from darkroom.show.wording import describe_restart, what_happened
from darkroom.tracking.artifacts import artifacts_of, created_id, publication
from darkroom.tracking.living_runs import RUN_FLOW, STAGE_FLOW, end_killed
from darkroom.tracking.outbox import Message, Outbox, Recorded

LATE_SECONDS = 2.0  # Prefect's times are those of its server's clock when it is told
PROGRESS = "How far the stage is"
PROGRESS_SECONDS = 5.0
"""The seconds after which it is told again how far a stage is."""

FIRST_LINES, ERROR_LINES, FINAL_LINES = 1000, 200, 100
"""The most lines that Prefect is told of an attempt: the first, those that look like errors, the last."""


@dataclass(slots=True)
class ProgressPage:
    """How far a stage is, and what of that Prefect knows: an artifact, brought up to date in its place."""

    run: Recorded
    key: str
    course: StageProgress = field(default_factory=StageProgress)
    news: bool = False
    waiting: bool = False
    """Whether a request is in the outbox already: while the server is away they do not pile up."""
    due: float = 0.0
    artifact: UUID | None = None
    page: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, line: str) -> None:
        """Note a line of the stage's output."""
        with self.lock:
            self.news |= self.course.take(line)

    def is_due(self) -> bool:
        """Whether it is time to tell how far the stage is."""
        return self.news and not self.waiting and time.monotonic() >= self.due

    def tell(self, to: SyncPrefectClient) -> None:
        """Publish how far the stage is by now."""
        with self.lock:
            self.page = self.course.page(local_now())
            self.news = self.waiting = False
        self.due = time.monotonic() + PROGRESS_SECONDS
        if self.artifact is None:
            artifact = ArtifactCreate(
                key=self.key, type="markdown", data=self.page, description=PROGRESS, flow_run_id=self.run.id
            )
            self.artifact = created_id(to, "/artifacts/", artifact)
        else:
            body = {"data": self.page}
            to.request("PATCH", "/artifacts/{id}", path_params={"id": self.artifact}, json=body)

    def arrived(self, to: SyncPrefectClient) -> bool:
        """Whether the server has what was told last."""
        for artifact in artifacts_of(to, self.run, self.key):
            self.artifact = artifact.id
            return artifact.data == self.page
        return False


class StageFlowRuns:
    """Records a run and its stages, each as a flow run under the run's. Used from many threads.

    Stages never wait for Prefect: see `Outbox`. `stop` is set when someone cancels the run on the pages.
    """

    def __init__(
        self,
        name: str,
        parameters: dict[str, Any],
        project: str,
        stop: threading.Event,
        labels: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._progress: dict[str, ProgressPage] = {}
        self._excerpts: dict[str, Excerpt] = {}
        self.outbox = Outbox(look=Message("a look at the run's state", self._look))
        self._stop, self._project, self._labels = stop, project, dict(labels)
        self._key = str(uuid4())
        self._keys = itertools.count()
        self._flows: dict[str, UUID] = {}
        self._parent = Recorded()
        self._runs: dict[str, Recorded] = {}
        self._needs: dict[str, tuple[str, ...]] = {}
        self._behind: dict[str, tuple[str, ...]] = {}
        """For each stage that is settled without a flow run, the nearest stages before it that have one."""
        self._going: set[str] = set()
        self._results: dict[str, StageResult] = {}
        wanted = {"name": name, "parameters": parameters, "idempotency_key": self._key}
        began = local_now()

        def start(to: SyncPrefectClient) -> None:
            self._create(to, RUN_FLOW, self._parent, wanted, Running(), began)
            with contextlib.suppress(PrefectException):  # whoever looks next finds them
                end_killed(to)

        self._put(f"the start of {name}", start)

    def log(self, text: str, level: int) -> None:
        """Write a line into the run's own log."""
        self.outbox.put_line(self._parent, text, level)

    def began(self, job: StageJob) -> StageJob:
        """Tell that an attempt begins; the job whose output is told to Prefect as well."""
        run = self._start(job) if job.attempt == 1 else self._start_again(job)
        key = artifacts.progress_key(self._project, job.name)
        page = self._progress[job.name] = self._progress.get(job.name) or ProgressPage(run, key)

        excerpt = self._excerpts[job.name] = excerpt_of(job)

        def on_line(line: str) -> None:
            page.take(line)
            job.on_line(line)
            for told in excerpt.take([line]):
                self.outbox.put_line(run, told)

        def on_bar(line: str) -> None:
            page.take(line)
            job.on_bar(line)

        return replace(job, on_line=on_line, on_bar=on_bar)

    def ended(self, stage: str, result: StageResult) -> None:
        """Note how an attempt ended; `follow` tells it, with what became of the stage."""
        for line in self._excerpts.pop(stage).catch_up():
            self.outbox.put_line(self._runs[stage], line)
        self._results[stage] = result

    def follow(self, event: Event) -> None:
        """Tell what became of a stage: after its command its results may still not be taken over."""
        match event:
            case RunStarted():
                self._needs = {stage.name: stage.needs for stage in event.plan.stages}
            case StageAgain() if event.stage in self._going:
                due = local_now() + datetime.timedelta(seconds=event.seconds)
                waiting: State[Any] = AwaitingRetry(scheduled_time=due, message=describe_restart(event))
                self._set_state(self._runs[event.stage], f"the retry of {event.stage}", waiting)
            case StageFinished() if event.stage in self._going:
                self._going.remove(event.stage)
                self._tell_progress(event.stage, at_once=True)
                state = final_state(event, self._results.get(event.stage))
                if event.error:  # a stage's page opens with its log; the state's message is further off
                    self.outbox.put_line(self._runs[event.stage], event.error, logging.ERROR)
                self._set_state(self._runs[event.stage], f"the end of {event.stage}", state)
            case StageFinished(outcome=Outcome.RESTORED):
                self._add(event.stage, self._needs[event.stage], event.reasons, final_state(event, None))
            case StageFinished():
                self._behind[event.stage] = self._with_runs(self._needs[event.stage])

    def publish(self, record: EndedRun) -> None:
        """Publish the run's page, and for each stage that has a flow run a table of its metrics."""
        page = artifacts.run_page(record)
        key = artifacts.page_key(record.project)
        self._publish(self._parent, key, "markdown", page, "What ran and why, metrics, graph, pictures")
        for stage, run in self._runs.items():
            if rows := artifacts.metrics_table(change for change in record.metrics if change.stage == stage):
                key = artifacts.metrics_key(record.project, stage)
                self._publish(
                    run, key, "table", json.dumps(rows), f"Metrics of the stage {inline_text(stage)}"
                )

    def end(self, state: State[Any]) -> None:
        """Set the run's own last state; a stage that still has none is lost with it."""
        for stage in self._going:
            self._set_state(self._runs[stage], f"the end of {stage}", Crashed(message="the run ended before"))
        self._set_state(self._parent, "the end of the run", state)

    def _start_again(self, job: StageJob) -> Recorded:
        run = self._runs[job.name]
        self._set_state(
            run, f"attempt {job.attempt} of {job.name}", Running(message=f"attempt {job.attempt}")
        )
        return run

    def _start(self, job: StageJob) -> Recorded:
        run = self._add(job.name, job.needs, job.reasons, Running())
        self._going.add(job.name)
        return run

    def _with_runs(self, needs: Iterable[str]) -> tuple[str, ...]:
        """The stages of `needs` that have flow runs; for one that has none, the nearest before it."""
        near = ((name,) if name in self._runs else self._behind.get(name, ()) for name in needs)
        return tuple(dict.fromkeys(itertools.chain.from_iterable(near)))

    def _add(self, stage: str, needs: tuple[str, ...], why: tuple[str, ...], state: State[Any]) -> Recorded:
        """A flow run for a stage whose needs are settled."""
        before = [self._runs[name] for name in self._with_runs(needs)]
        run = self._runs[stage] = Recorded()
        parameters = {"stage": stage, "needs": list(needs), "why": list(why)}
        key = str(next(self._keys))
        happened = local_now()

        def create(to: SyncPrefectClient) -> None:
            task = TaskRunCreate(
                id=uuid4(),
                name=escape(stage),
                flow_run_id=self._parent.id,
                task_key="stage",
                dynamic_key=key,
                task_inputs={"needs": [FlowRunResult(id=other.id) for other in before if other.given]},
            )
            wanted = {
                "name": stage,
                "parameters": parameters,
                "idempotency_key": f"{self._key}-{key}",
                "parent_task_run_id": created_id(to, "/task_runs/", task),
            }
            self._create(to, STAGE_FLOW, run, wanted, state, happened)

        self._put(f"the start of {stage}", create)
        return run

    def _create(
        self,
        to: SyncPrefectClient,
        flow: str,
        run: Recorded,
        wanted: dict[str, Any],
        state: State[Any],
        happened: datetime.datetime,
    ) -> None:
        """Create a flow run in that state; the one with its idempotency key if that exists."""
        if flow not in self._flows:
            self._flows[flow] = to.create_flow_from_name(flow)
        late = state.model_copy(update={"message": said_late(state.message or "", happened) or None})
        create = FlowRunCreate(
            flow_id=self._flows[flow],
            tags=[escape(self._project)],
            state=to_state_create(late),
            labels={**self._labels},
            **escape_values(wanted),
        )
        run.given = created_id(to, "/flow_runs/", create)

    def _tell_progress(self, stage: str, *, at_once: bool = False) -> None:
        page = self._progress[stage]
        if page.is_due() or (at_once and page.news and not page.waiting):
            page.waiting = True
            self._put(f"the progress of {stage}", page.tell, page.arrived)

    def _look(self, to: SyncPrefectClient) -> None:
        """Tell how far the stages are; stop the run if someone has cancelled its flow run."""
        for stage in list(self._going):
            if stage in self._progress:
                self._tell_progress(stage)
        if self._parent.given is None:
            return
        state = to.read_flow_run(self._parent.id).state_type
        if state in (StateType.CANCELLING, StateType.CANCELLED):
            self._stop.set()

    def _publish(self, run: Recorded, key: str, kind: str, data: str, description: str) -> None:
        self.outbox.put(publication(run, key, kind, data, description))

    def _set_state(self, run: Recorded, what: str, state: State[Any]) -> None:
        message, happened = state.message or "", local_now()
        transition = state.state_details.transition_id = uuid4()

        def tell(to: SyncPrefectClient) -> None:
            late = state.model_copy(update={"message": said_late(message, happened)})
            body = {"state": to_state_create(late).model_dump(mode="json"), "force": True}
            to.request("POST", "/flow_runs/{id}/set_state", path_params={"id": run.id}, json=body)

        def arrived(to: SyncPrefectClient) -> bool:
            known = to.read_flow_run(run.id).state
            return known is not None and known.state_details.transition_id == transition

        self._put(what, tell, arrived)

    def _put(
        self,
        what: str,
        send: Callable[[SyncPrefectClient], object],
        arrived: Callable[[SyncPrefectClient], bool] = lambda _: False,
    ) -> None:
        self.outbox.put(Message(what, send, arrived))


def excerpt_of(job: StageJob) -> Excerpt:
    """What Prefect is told of the output of an attempt."""
    whole = f"all of them are in {job.log}" if job.log else "no file has them"
    return Excerpt(first=FIRST_LINES, errors=ERROR_LINES, last=FINAL_LINES, whole=whole)


def local_now() -> datetime.datetime:
    """The time with the zone of this machine."""
    return datetime.datetime.now().astimezone()


def said_late(message: str, happened: datetime.datetime) -> str:
    """`message`, and when it happened if that is a while ago: Prefect itself shows when it was told."""
    message = escape_lines(message)
    if (local_now() - happened).total_seconds() < LATE_SECONDS:
        return message
    first, *rest = message.split("\n")
    when = f"(at {happened:%H:%M:%S}; Prefect was told later)"
    return "\n".join((f"{first} {when}".strip(), *rest))


def final_state(event: StageFinished, result: StageResult | None) -> State[Any]:
    """Prefect's state for what became of a stage; `result` is its command's, None where it never ran."""
    if event.outcome is Outcome.RESTORED:
        return Completed(name="Cached", message=what_happened(event))
    if event.outcome.well:
        return Completed(message=f"in {format_duration(event.seconds)}")
    if event.outcome is Outcome.CANCELLED:
        return Cancelled(message="the run was told to stop")
    if result is None or result.well:
        return Failed(message=event.error)
    message = "\n".join((result.describe(), *result.last_lines))
    if result.ending in NOT_ITS_FAULT:
        return Crashed(message=message)
    return Failed(message=message, name="TimedOut" if result.ending is Ending.TIMED_OUT else "Failed")
