"""Plan, schedule, execute and commit one run of a DVC repository, equal to serial `dvc repro`."""

from __future__ import annotations

import contextlib
import datetime
import os
import queue
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from darkroom.base.errors import RepoError, StageRecordError, explain
from darkroom.base.files import STATE_FOLDER, log_file, make_state_folder
from darkroom.base.text import format_reasons
from darkroom.gpus.host import Host
from darkroom.processes import stage_process
from darkroom.processes.stage_process import Ending, StageJob, StageResult
from darkroom.runs.report import Observe, RunOptions, RunReport, collector_paused
from darkroom.runs.unfinished import Unfinished
from darkroom.schedule.estimate import critical_path, expected_seconds, remaining_seconds
from darkroom.schedule.events import (
    Outcome,
    RunFinished,
    RunStarted,
    StageAgain,
    StageFinished,
    StageLine,
    StageStarted,
    StageWaits,
    ignore,
)
from darkroom.schedule.history import History
from darkroom.schedule.plan import Action, Node, Plan, PlannedStage, decide
from darkroom.schedule.pool import Lease
from darkroom.schedule.scheduler import Again, Busy, Scheduler, Settled
from darkroom.workspace.workspace import ChangedBesideError, Workspace

FIRST_WAIT_SECONDS = 2.0
"""Before the first retry; doubled for each further one."""

LONGEST_WAIT_SECONDS = 120.0

NOT_ITS_FAULT = (Ending.KILLED, Ending.OUT_OF_MEMORY)
"""Worth another attempt. A time-out is not: the same work would take as long again."""


Execute = Callable[[StageJob], StageResult]


def make_plan(options: RunOptions) -> Plan:
    """What a run with these options would do. Works while a run goes on.

    Takes no lock of DVC's, but with `pull` while it brings the remote's run-cache.
    """
    with collector_paused(), contextlib.closing(Workspace(options.repo, options)) as workspace:
        nodes = workspace.load()
        if options.pull:
            with workspace.locked():
                workspace.pull_run_cache()
        history = History(workspace.root / STATE_FOLDER)
        with contextlib.chdir(workspace.root):
            return _plan(workspace, nodes, history.seconds(), Host.for_stages(nodes, options.jobs))


def _plan(workspace: Workspace, nodes: Sequence[Node], seconds: Mapping[str, float], host: Host) -> Plan:
    decided = decide(workspace.states(), workspace.restorable)
    working = {name for name, (action, _) in decided.items() if action in (Action.RUN, Action.MAY_RUN)}
    stages = tuple(
        PlannedStage(node.name, *decided[node.name], node.needs, seconds.get(node.name)) for node in nodes
    )
    host.refuse(node for node in nodes if node.name in working)
    whole = expected_seconds(nodes, working, seconds, host.counted_pool())
    return Plan(stages, whole, critical_path(nodes, working, seconds))


def run_pipeline(
    options: RunOptions, *, execute: Execute = stage_process.execute, observe: Observe = ignore
) -> RunReport:
    """Run what is not up to date, each stage that executes by `execute` in a thread of its own.

    A failing stage does not raise: it is in the report. Raises DarkroomError where nothing could be started.
    While it runs the process's current directory is the repository's root.
    """
    started = time.monotonic()

    def say(stage: str, line: str) -> None:
        observe(StageLine(stage, line))

    with contextlib.closing(Workspace(options.repo, options, options.stop, say)) as workspace:
        with collector_paused():
            nodes = workspace.load()
        run = _Run(options, workspace, nodes, execute, observe)
        with contextlib.chdir(workspace.root):
            run.go()
            run.save_experiment()
    seconds = time.monotonic() - started
    report = RunReport(
        run=run.name, plan=run.plan, stages=run.stages(), seconds=seconds, errors=tuple(run.errors)
    )
    observe(RunFinished(report.well, seconds))
    return report


def own_stdin() -> int | None:
    """What a stage that has no others beside it reads: the standard input of this process.

    None where it is closed, or a terminal: that stops who reads from it outside of the foreground's group.
    """
    if sys.__stdin__ is None:
        return None
    try:
        file = sys.__stdin__.fileno()
        return None if os.isatty(file) else file
    except (OSError, ValueError):
        return None


class _Run:
    """One run: the scheduler's `Work`, made of the workspace's."""

    def __init__(
        self,
        options: RunOptions,
        workspace: Workspace,
        nodes: Sequence[Node],
        execute: Execute,
        observe: Observe,
    ) -> None:
        self.name = f"{datetime.datetime.now():%Y%m%d-%H%M%S}-{os.getpid()}"
        self.errors: list[str] = []
        self._options, self._workspace, self._nodes = options, workspace, {node.name: node for node in nodes}
        self._execute, self._observe = execute, observe
        self._host = Host.for_stages(nodes, options.jobs)
        self._folder = workspace.root / STATE_FOLDER
        self._history = History(self._folder)
        self._threads: dict[str, threading.Thread] = {}
        self._done: queue.SimpleQueue[tuple[str, StageResult]] = queue.SimpleQueue()
        self._finished: dict[str, StageFinished] = {}
        self._reasons: dict[str, tuple[str, ...]] = {}
        self._attempts: Counter[str] = Counter()
        self._beside: Counter[str] = Counter()
        self._waiting: dict[str, str] = {}
        self._stop_now = threading.Event()
        self._unfinished = Unfinished(self._folder / "unfinished", self.name)
        self._clean = True
        """Whether DVC's part of every stage went well so far; else it may have left half-written files."""
        self.plan = Plan((), None, ())

    def go(self) -> None:
        """Schedule all stages and return when each is settled."""
        nodes, seconds = list(self._nodes.values()), self._history.seconds()
        make_state_folder(self._folder)
        if not self._options.dry:
            self._workspace.end_left_overs()
            if self._unfinished.left():
                self._workspace.remove_half_written()
        with collector_paused(), self._workspace.locked():
            self._unfinished.swept()
            self._workspace.pull_run_cache()
            self.plan = _plan(self._workspace, nodes, seconds, self._host)
        self._observe(RunStarted(self.name, self.plan))
        if self._options.dry:
            return
        if not self.plan.work:  # judged under the lock a moment ago
            for stage in self.plan.stages:
                frozen = stage.action is Action.FROZEN
                self._settled(stage.name, Settled(Outcome.FROZEN if frozen else Outcome.SKIPPED))
            with self._workspace.locked():
                self._workspace.record()  # what a run that was ended had finished before its turn
            return
        self._unfinished.begin()
        self._schedule(nodes, seconds)
        if self._clean:
            self._unfinished.end()

    def _schedule(self, nodes: Sequence[Node], seconds: Mapping[str, float]) -> None:
        pool = self._host.pool(self.name, self._workspace.root, self._say_waits)
        scheduler = Scheduler(
            nodes,
            self,
            pool,
            self,
            remaining=remaining_seconds(nodes, seconds),
            keep_going=self._options.keep_going,
            stop=self._options.stop,
            on_settled=self._settled,
        )
        try:
            scheduler.run()
        except KeyboardInterrupt:
            self._stop_now.set()
            raise
        finally:
            self._end_all()
            pool.close()
        with self._workspace.locked():
            self._workspace.record()
            self._workspace.stage_in_git()

    def save_experiment(self) -> None:
        """Keep the result as an experiment, if the run is one and nothing of it failed."""
        if (
            self._options.dry
            or self.errors
            or not all(stage.outcome.well for stage in self._finished.values())
        ):
            return
        with self._workspace.locked():
            try:
                self._workspace.save_experiment()
            except RepoError as error:
                self.errors.append(f"experiment {self._options.experiment} is not recorded: {error}")

    def stages(self) -> dict[str, StageFinished]:
        """What became of each stage, in the serial order; nothing where the run was only planned."""
        return {name: self._finished[name] for name in self._nodes if name in self._finished}

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
        """DVC's part before the command, and the job where there is a command to be executed."""
        refusal = self._host.refusal(name, self._nodes[name].meta.resources)
        try:
            begun = self._workspace.begin(name, refusal)
        except StageRecordError as error:
            self._clean = False
            return Settled(Outcome.FAILED, error=str(error))
        except Busy as busy:
            self._say_waits(name, str(busy))
            raise
        if isinstance(begun, Settled):
            return begun
        if refusal:  # it was to be restored, and could not be
            self._workspace.abandon(name)
            return Settled(Outcome.FAILED, begun.reasons, error=refusal)
        self._reasons[name] = begun.reasons
        self._attempts[name] += 1
        node = self._nodes[name]
        return StageJob(
            name=name,
            commands=begun.commands,
            cwd=begun.cwd,
            env={**begun.env, **lease.env},
            descriptors=lease.descriptors,
            stdin=own_stdin() if self._runs_one else None,
            reasons=begun.reasons,
            attempt=self._attempts[name],
            needs=node.needs,
            meta=node.meta,
            log=log_file(self._workspace.root, self.name, name),
            on_line=lambda line: self._observe(StageLine(name, line)),
            stop=self._options.stop,
            stop_now=self._stop_now,
            lock=begun.lock,
            witness=begun.witness,
        )

    @property
    def _runs_one(self) -> bool:
        """Whether the plan has one stage alone whose command may be executed."""
        may = (Action.RUN, Action.MAY_RUN)
        return sum(one.action in may and self._nodes[one.name].executes for one in self.plan.stages) == 1

    def _say_waits(self, name: str, reason: str) -> None:
        if self._waiting.get(name) != reason:
            self._waiting[name] = reason
            self._observe(StageWaits(name, reason))

    def finish(self, name: str, result: StageResult) -> Settled | Again:
        """DVC's part after the command; another attempt where a kill or a want of memory ended this one."""
        reasons = self._reasons[name]
        if not result.well:
            self._workspace.abandon(name)
            return self._again(name, result) or self._ended_badly(name, result)
        try:
            changed = self._workspace.finish(name)
        except ChangedBesideError as error:
            return self._apart(name, str(error))
        except StageRecordError as error:
            self._clean = False
            return Settled(Outcome.FAILED, reasons, result.seconds, str(error))
        if changed:
            said = f"darkroom: {format_reasons(changed)} changed by the stage itself: recorded as it is now"
            self._observe(StageLine(name, said))
        self._note_duration(name, result)
        return Settled(Outcome.RAN, reasons, result.seconds)

    def _apart(self, name: str, error: str) -> Again | Settled:
        """Another attempt, which other stages that change the same files do not run beside."""
        if self._options.stop.is_set():
            return Settled(Outcome.CANCELLED, self._reasons[name], error=error)
        self._beside[name] += 1
        times = self._beside[name]
        self._observe(StageAgain(name, error.removeprefix(f"{name}: "), 0.0, times, times))
        return Again(0.0)

    def _again(self, name: str, result: StageResult) -> Again | None:
        retry, retries = self._attempts[name] - self._beside[name], self._nodes[name].meta.retries
        if result.ending not in NOT_ITS_FAULT or retry > retries or self._options.stop.is_set():
            return None
        seconds = min(FIRST_WAIT_SECONDS * 2 ** (retry - 1), LONGEST_WAIT_SECONDS)
        self._observe(StageAgain(name, result.describe(), seconds, retry, retries))
        return Again(seconds)

    def _ended_badly(self, name: str, result: StageResult) -> Settled:
        # A stop reaches stages by other ways too: a Ctrl-C of theirs, a host that shuts down.
        stopped = result.ending is Ending.STOPPED or (
            result.ending is Ending.KILLED and self._options.stop.is_set()
        )
        outcome = Outcome.CANCELLED if stopped else Outcome.FAILED
        error = f"{name}: {result.describe()}{self._workspace.told_of_full_disks()}"
        if result.ending in NOT_ITS_FAULT:
            times = f" at attempt {self._attempts[name]}" if self._attempts[name] > 1 else ""
            error += f"{times}; run again, or have it started again by `retries` under its meta in dvc.yaml"
        return Settled(outcome, self._reasons[name], result.seconds, error)

    def _note_duration(self, name: str, result: StageResult) -> None:
        try:
            self._history.add(self.name, name, result.seconds)
        except OSError as error:  # an estimate's source: no reason to give up on a result
            self._observe(StageLine(name, f"darkroom: how long it took is not noted: {explain(error)}"))

    def record(self) -> None:
        """Write dvc.lock."""
        self._workspace.record()

    def launch(self, job: StageJob) -> None:
        """Execute a job in a thread of its own."""
        self._observe(StageStarted(job.name, job.reasons))
        thread = threading.Thread(target=self._run_job, args=(job,), name=job.name, daemon=True)
        self._threads[job.name] = thread
        thread.start()

    def _end_all(self) -> None:
        """After an error of the run itself: nothing may go on writing while nobody looks."""
        running = [thread for thread in self._threads.values() if thread.is_alive()]
        if running:
            self._options.stop.set()
        try:
            for thread in running:
                thread.join()
        except KeyboardInterrupt:
            self._stop_now.set()
            raise

    def finished(self, wait: float) -> tuple[str, StageResult] | None:
        """The next stage whose thread is done."""
        with contextlib.suppress(queue.Empty):
            return self._done.get(timeout=wait) if wait else self._done.get_nowait()
        return None

    def _run_job(self, job: StageJob) -> None:
        try:
            result = self._execute(job)
        except Exception as error:  # whatever happens there, the run must hear of it
            said = explain(error) if isinstance(error, OSError) else str(error)
            result = StageResult(ending=Ending.FAILED, error=f"could not be executed: {said}")
        self._done.put((job.name, result))

    def _settled(self, name: str, settled: Settled) -> None:
        if settled.outcome.well or (self._options.keep_going and settled.outcome is not Outcome.CANCELLED):
            self._workspace.passed(name)
        if settled.error and settled.outcome is Outcome.FAILED:
            self.errors.append(settled.error)
        event = StageFinished(name, settled.outcome, settled.reasons, settled.seconds, settled.error)
        self._finished[name] = event
        self._observe(event)
