"""Executes stages' commands as processes of this host, with one thread for each."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Sequence

from darkroom.base.errors import explain_os_error
from darkroom.gpus.host import Host
from darkroom.processes import stage_process
from darkroom.processes.stage_process import Ending, StageJob, StageResult
from darkroom.schedule.executor import Ended
from darkroom.schedule.plan import Node


class LocalExecutor:
    """The `Executor` of this host; `execute`, called in a thread of its own, returns when a job has ended."""

    def __init__(self, execute: Callable[[StageJob], StageResult] | None = None) -> None:
        self._run_job = execute or stage_process.execute
        self._threads: dict[str, threading.Thread] = {}
        self._done: queue.SimpleQueue[Ended] = queue.SimpleQueue()

    def capacity(self, nodes: Sequence[Node], jobs: int | None) -> Host:
        """Job slots, cores, memory and GPUs of this host.

        Raises:
            MetaError: A stage asks for more memory than the host has.

        """
        return Host.for_stages(nodes, jobs)

    def launch(self, job: StageJob) -> None:
        """Start a thread that executes the job."""
        thread = threading.Thread(target=self._execute, args=(job,), name=job.name, daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # no memory for it, or a limit of the user's
            self._done.put(Ended(job.name, job.attempt, _not_executed(str(error))))
        else:
            self._threads[job.name] = thread

    def finished(self, wait: float) -> Ended | None:
        """The next stage whose thread is done."""
        with contextlib.suppress(queue.Empty):
            return self._done.get(timeout=wait)
        return None

    def is_busy(self) -> bool:
        """Whether a thread still executes a job."""
        return any(thread.is_alive() for thread in list(self._threads.values()))

    def join(self) -> None:
        """Return when every thread is done."""
        for thread in self._threads.values():
            thread.join()

    def _execute(self, job: StageJob) -> None:
        try:
            result = self._run_job(job)
        except Exception as error:  # whatever happens there, the run must hear of it
            result = _not_executed(explain_os_error(error) if isinstance(error, OSError) else str(error))
        self._done.put(Ended(job.name, job.attempt, result))


def _not_executed(why: str) -> StageResult:
    return StageResult(ending=Ending.FAILED, error=f"could not be executed: {why}")
