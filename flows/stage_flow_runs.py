"""Each stage that executes as a flow run of its own under the pipeline's.

The runs are created through Prefect's client and not by calling a @flow: Prefect's engine counts a flow's
children in a dict that threads would race for, waits at the end of each for a heartbeat thread that sleeps a
second at a time, and makes eleven requests a child where four do.
"""

import itertools
import json
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import httpx
from prefect import Flow, Task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import ArtifactCreate
from prefect.client.schemas.objects import FlowRun, FlowRunResult, State, StateType
from prefect.exceptions import PrefectException
from prefect.logging.loggers import flow_run_logger
from prefect.states import Cancelled, Completed, Crashed, Failed, Pending, Running

from flows import artifacts, stage_process
from flows.record import RunRecord
from flows.stage_process import Ending, StageJob, StageResult
from flows.wording import duration

T = TypeVar("T")

STAGE_FLOW: Flow[Any, Any] = Flow(stage_process.execute, name="darkroom-stage", validate_parameters=False)
# What stands for a stage in the pipeline's graph; its state follows that of the flow run.
STAGE_TASK: Task[Any, Any] = Task(stage_process.execute, name="stage", cache_policy=NO_CACHE)


class StageFlowRuns:
    """Executes stages, each recorded as a flow run under `parent`. Used from many threads at once.

    Where Prefect no longer answers, the work goes on unrecorded, and `lost` says why.
    """

    def __init__(self, client: SyncPrefectClient, parent: FlowRun, tags: list[str]) -> None:
        self.lost: str | None = None
        self.last_lines: dict[str, tuple[str, ...]] = {}
        self._client = client
        self._parent = parent
        self._tags = tags
        self._runs: dict[str, FlowRun] = {}
        self._keys = itertools.count()
        # Prefect's server on SQLite takes three times as long for requests that come at once.
        self._one_at_a_time = threading.Lock()

    def execute(self, job: StageJob) -> StageResult:
        """`stage_process.execute`, its state and its lines of output told to Prefect."""
        result = self._execute(job)
        if not result.well:
            self.last_lines[job.name] = result.last_lines
        return result

    def _execute(self, job: StageJob) -> StageResult:
        run = self._tell(lambda: self._create(job))
        if run is None:
            return stage_process.execute(job)
        logger = flow_run_logger(run, STAGE_FLOW)

        def on_line(line: str) -> None:
            job.on_line(line)
            logger.info("%s", line)

        try:
            result = stage_process.execute(replace(job, on_line=on_line))
        except BaseException as error:
            self._set_state(run, Crashed(message=str(error)))
            raise
        self._set_state(run, final_state(result))
        return result

    def cancelled(self) -> bool:
        """Whether someone has cancelled the pipeline's flow run."""
        run = self._tell(lambda: self._client.read_flow_run(self._parent.id))
        return run is not None and run.state_type in (StateType.CANCELLING, StateType.CANCELLED)

    def publish(self, record: RunRecord) -> None:
        """The run's page, and the metrics of each stage that was executed as a table of its flow run."""
        page = artifacts.run_page(record)
        key = artifacts.page_key(record.project)
        self._publish(self._parent, key, "markdown", page, "What ran and why, metrics, graph, pictures")
        for stage, run in self._runs.items():
            if rows := artifacts.metrics_table(change for change in record.metrics if change.stage == stage):
                key = artifacts.metrics_key(record.project, stage)
                self._publish(run, key, "table", json.dumps(rows), f"Metrics of the stage {stage}")

    def _create(self, job: StageJob) -> FlowRun:
        needs = [FlowRunResult(id=self._runs[name].id) for name in job.needs if name in self._runs]
        task = self._client.create_task_run(
            STAGE_TASK,
            flow_run_id=self._parent.id,
            dynamic_key=str(next(self._keys)),
            name=job.name,
            state=Pending(),
            task_inputs={"needs": list(needs)},
        )
        run = self._client.create_flow_run(
            STAGE_FLOW,
            name=job.name,
            parameters={"stage": job.name, "needs": list(job.needs), "why": list(job.reasons)},
            tags=self._tags,
            parent_task_run_id=task.id,
            state=Running(),
        )
        self._runs[job.name] = run
        return run

    def _publish(self, run: FlowRun, key: str, kind: str, data: str, description: str) -> None:
        artifact = ArtifactCreate(key=key, type=kind, data=data, description=description, flow_run_id=run.id)
        self._tell(lambda: self._client.create_artifact(artifact))

    def _set_state(self, run: FlowRun, state: State[Any]) -> None:
        self._tell(lambda: self._client.set_flow_run_state(run.id, state))

    def _tell(self, request: Callable[[], T]) -> T | None:
        """Make a request of Prefect unless it was lost before; None where it is lost."""
        if self.lost:
            return None
        try:
            with self._one_at_a_time:
                return request()
        except (httpx.HTTPError, PrefectException) as error:
            self.lost = f"{type(error).__name__}: {error}"
            return None


def final_state(result: StageResult) -> State[Any]:
    """Prefect's state for how a stage's command ended."""
    if result.well:
        return Completed(message=f"in {duration(result.seconds)}")
    if result.ending is Ending.STOPPED:
        return Cancelled(message="the run was told to stop")
    message = "\n".join((result.describe(), *result.last_lines))
    if result.ending is Ending.KILLED:
        return Crashed(message=message)
    return Failed(message=message, name="TimedOut" if result.ending is Ending.TIMED_OUT else "Failed")
