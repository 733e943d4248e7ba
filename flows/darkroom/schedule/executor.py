"""The place where stages' commands are executed: what a run asks of it, and what it reports.

A run executes on its own host with `darkroom.runs.local_executor`. Another kind of place (other hosts, a
batch system such as Slurm) is one new file: a class with the methods of `Executor`, the `Capacity` that it
declares, and the `Pool` that the capacity gives. Pass it to `run_pipeline`, `run_reported` or `make_plan`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from darkroom.base.meta import Resources
from darkroom.processes.stage_process import StageJob, StageResult
from darkroom.schedule.plan import Node
from darkroom.schedule.pool import Pool


class Ended(NamedTuple):
    """An attempt at a stage that has ended."""

    stage: str
    attempt: int
    """The number that its job had."""
    result: StageResult


class UnderWay:
    """The attempts under way: one a stage at most, and one result of each."""

    def __init__(self) -> None:
        self._attempts: dict[str, int] = {}

    def began(self, job: StageJob) -> None:
        """Expect a result of this attempt, and no more of those before it."""
        self._attempts[job.name] = job.attempt

    def accepts(self, ended: Ended) -> bool:
        """Whether this is the first result of an attempt under way; it is under way no more."""
        if self._attempts.get(ended.stage) != ended.attempt:
            return False
        del self._attempts[ended.stage]
        return True


class Capacity(Protocol):
    """What the place has for the stages of one run. The run's own thread asks."""

    def refusal(self, name: str, resources: Resources) -> str | None:
        """Why the stage `name` can never be executed there, in one line; None: it can."""

    def refuse(self, nodes: Iterable[Node]) -> None:
        """Refuse what can never be executed there.

        Raises:
            MetaError: `refusal` has a reason for one of the nodes.

        """

    def counted_pool(self) -> Pool:
        """A pool that only counts, for an estimate of the run's time."""

    def pool(self, run: str, root: Path, on_wait: Callable[[str, str], None]) -> Pool:
        """The pool that the run named `run` in the repository at `root` takes its leases from.

        `on_wait` is given a stage and what it waits for, in words.
        """


class Jobs(Protocol):
    """The jobs under way, as the scheduler starts and collects them in the run's own thread."""

    def launch(self, job: StageJob) -> None:
        """Start executing a job, and return at once.

        From then on the job's `on_line` gets its lines of output, and `finished` its result in the end, also
        where its command could not be started or the place that executes it is lost. It ends soon after the
        job's `stop` is set, politely, and at once after `stop_now`.
        """

    def finished(self, wait: float) -> Ended | None:
        """A job that has ended since, and how; None where none ends within `wait` seconds.

        Only the first result of an attempt counts, and none of an attempt that was given up: a place that was
        held to be lost may still answer.
        """


class Executor(Jobs, Protocol):
    """Executes jobs in one place, for one run at a time."""

    def capacity(self, nodes: Sequence[Node], jobs: int | None) -> Capacity:
        """The place's capacity for these stages, at most `jobs` of them at once; None: as many as suit it.

        Raises:
            MetaError: A stage asks for more than there ever is.

        """

    def is_busy(self) -> bool:
        """Whether a job's command may still be running; may be called from any thread."""

    def join(self) -> None:
        """Return when no job's command runs any more; the run has set `stop` where one still did."""
