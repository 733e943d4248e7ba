"""What a run does for a stage, in the scheduler's thread, before and after the stage's command."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Mapping
from dataclasses import replace

from darkroom.base.errors import StageRecordError, explain_os_error
from darkroom.base.files import log_file
from darkroom.base.text import format_reasons
from darkroom.processes.stage_process import Ending, StageJob, StageResult
from darkroom.runs.report import Observe, RunOptions
from darkroom.schedule.attempts import NOT_ITS_FAULT, Attempts
from darkroom.schedule.events import (
    Outcome,
    StageAgain,
    StageBar,
    StageFinished,
    StageLine,
    StageStarted,
    StageWaits,
)
from darkroom.schedule.executor import Capacity
from darkroom.schedule.history import History
from darkroom.schedule.plan import Node
from darkroom.schedule.pool import Lease, host_memory
from darkroom.schedule.scheduler import BeginAnew, Busy, Settled
from darkroom.workspace.workspace import ChangedBesideError, Workspace


class StageWork:
    """The scheduler's `Work`, made of the workspace's; it keeps what became of each stage."""

    def __init__(
        self,
        run: str,
        options: RunOptions,
        workspace: Workspace,
        nodes: Mapping[str, Node],
        capacity: Capacity,
        history: History,
        observe: Observe,
    ) -> None:
        self.errors: list[str] = []
        self.finished: dict[str, StageFinished] = {}
        self.last_lines: dict[str, tuple[str, ...]] = {}
        """The end of the output of each stage whose last attempt did not end well."""
        self.stop_now = threading.Event()
        self.stdin: int | None = None
        """The open file that stages read from; None: they read nothing."""
        self.clean = True
        """Whether DVC's part of every stage went well so far; else it may have left half-written files."""
        self._run, self._options, self._workspace = run, options, workspace
        self._nodes, self._capacity, self._history, self._observe = nodes, capacity, history, observe
        self._attempts = Attempts({name: node.meta.retries for name, node in nodes.items()})
        self._under_way: dict[str, StageJob] = {}
        self._waiting: dict[str, str] = {}

    def locked(self) -> contextlib.AbstractContextManager[None]:
        """DVC's repository lock."""
        return self._workspace.locked()

    def peek(self, name: str) -> Settled | None:
        """Settle a stage that is up to date."""
        try:
            return self._workspace.peek(name)
        except StageRecordError as error:
            return Settled(Outcome.FAILED, error=str(error))

    def begin(self, name: str, lease: Lease) -> Settled | StageJob:
        """Do DVC's part before the command; return the job where there is a command to be executed."""
        refusal = self._capacity.refusal(name, self._nodes[name].meta.resources)
        try:
            begun = self._workspace.begin(name, refusal)
        except StageRecordError as error:
            self.clean = False
            return Settled(Outcome.FAILED, error=str(error))
        except Busy as busy:
            self.say_waits(name, str(busy))
            raise
        if isinstance(begun, Settled):
            return begun
        if refusal:  # it was to be restored, and could not be
            self._workspace.abandon(name)
            return Settled(Outcome.FAILED, begun.reasons, error=refusal)
        node = self._nodes[name]
        job = StageJob(
            name=name,
            commands=begun.commands,
            cwd=begun.cwd,
            env={**begun.env, **lease.env},
            descriptors=lease.descriptors,
            stdin=self.stdin,
            reasons=begun.reasons,
            attempt=self._attempts.begin(name),
            needs=node.needs,
            meta=replace(node.meta, resources=lease.resources),
            log=log_file(self._workspace.root, self._run, name),
            on_line=lambda line: self._observe(StageLine(name, line)),
            on_bar=lambda line: self._observe(StageBar(name, line)),
            stop=self._options.stop,
            stop_now=self.stop_now,
            lock=begun.lock,
            witness=begun.witness,
            files=self._workspace.files_of(name) if node.meta.resources.pool else None,
        )
        self._under_way[name] = job
        self._observe(StageStarted(name, begun.reasons))
        return job

    def say_waits(self, name: str, reason: str) -> None:
        """Tell what a stage waits for, where that is another reason than the last one."""
        if self._waiting.get(name) != reason:
            self._waiting[name] = reason
            self._observe(StageWaits(name, reason))

    def finish(self, name: str, result: StageResult) -> Settled | BeginAnew:
        """Do DVC's part after the command; another attempt where a kill or want of memory ended this one."""
        job = self._under_way.pop(name)
        self.last_lines[name] = () if result.well else result.last_lines
        if not result.well:
            self._workspace.abandon(name)
            restart = None if self._options.stop.is_set() else self._attempts.after(name, result)
            return self._begin_after(job, result, restart) if restart else self._ended_badly(job, result)
        try:
            changed = self._workspace.finish(name)
        except ChangedBesideError as error:
            if self._options.stop.is_set():
                return Settled(Outcome.CANCELLED, job.reasons, error=str(error))
            return self._begin_anew(self._attempts.apart(name, str(error).removeprefix(f"{name}: ")))
        except StageRecordError as error:
            self.clean = False
            return Settled(Outcome.FAILED, job.reasons, result.seconds, str(error))
        if changed:
            said = f"darkroom: {format_reasons(changed)} changed by the stage itself: recorded as it is now"
            self._observe(StageLine(name, said))
        self._note_duration(name, result)
        return Settled(Outcome.RAN, job.reasons, result.seconds)

    def _begin_after(self, job: StageJob, result: StageResult, restart: StageAgain) -> BeginAnew:
        """The next attempt, with more memory where the last one ran out of it and dvc.yaml says so."""
        asked = job.meta.resources
        if result.ending is not Ending.OUT_OF_MEMORY or asked.memory_factor == 1:
            return self._begin_anew(restart)
        grown = asked.after_out_of_memory(None if asked.pool else host_memory())
        said = f"{restart.reason}; the next attempt asks for {(grown.memory or 0) / 1000**3:.1f} GB"
        return replace(self._begin_anew(replace(restart, reason=said)), resources=grown)

    def _begin_anew(self, restart: StageAgain) -> BeginAnew:
        self._observe(restart)
        return BeginAnew(restart.seconds)

    def _ended_badly(self, job: StageJob, result: StageResult) -> Settled:
        # A stop reaches stages by other ways too: a Ctrl-C of theirs, a host that shuts down.
        stopped = result.ending is Ending.STOPPED or (
            result.ending is Ending.KILLED and self._options.stop.is_set()
        )
        outcome = Outcome.CANCELLED if stopped else Outcome.FAILED
        error = f"{job.name}: {result.describe()}{self._workspace.full_disks()}"
        if result.ending in NOT_ITS_FAULT:
            attempts = self._attempts.number_of(job.name)
            times = f" at attempt {attempts}" if attempts > 1 else ""
            error += f"{times}; run again, or have it started again by `retries` under its meta in dvc.yaml"
        return Settled(outcome, job.reasons, result.seconds, error)

    def _note_duration(self, name: str, result: StageResult) -> None:
        try:
            self._history.add(self._run, name, result.seconds)
        except OSError as error:  # an estimate's source: no reason to give up on a result
            self._observe(
                StageLine(name, f"darkroom: how long it took is not noted: {explain_os_error(error)}")
            )

    def record(self) -> None:
        """Write dvc.lock."""
        self._workspace.record()

    def settled(self, name: str, settled: Settled) -> None:
        """Note what became of a stage, and tell it."""
        if settled.outcome.well or (self._options.keep_going and settled.outcome is not Outcome.CANCELLED):
            self._workspace.passed(name)
        if settled.error and settled.outcome is Outcome.FAILED:
            self.errors.append(settled.error)
        event = StageFinished(name, settled.outcome, settled.reasons, settled.seconds, settled.error)
        self.finished[name] = event
        self._observe(event)
