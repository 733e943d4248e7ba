"""An executor whose stages are recorded by Prefect, whatever executes them."""

from __future__ import annotations

from collections.abc import Sequence

from darkroom.processes.stage_process import StageJob
from darkroom.schedule.executor import Capacity, Ended, Executor, UnderWay
from darkroom.schedule.plan import Node
from darkroom.tracking.flow_runs import StageFlowRuns


class RecordedExecutor:
    """Has `executor` do the work, and tells `stages` of it."""

    def __init__(self, executor: Executor, stages: StageFlowRuns) -> None:
        self._executor, self._stages = executor, stages
        self._under_way = UnderWay()

    def capacity(self, nodes: Sequence[Node], jobs: int | None) -> Capacity:
        """The capacity of the executor."""
        return self._executor.capacity(nodes, jobs)

    def launch(self, job: StageJob) -> None:
        """Have the executor execute the job, and record its start and its output."""
        self._under_way.began(job)
        self._executor.launch(self._stages.began(job))

    def finished(self, wait: float) -> Ended | None:
        """A job that has ended; the first result of each attempt is recorded."""
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
