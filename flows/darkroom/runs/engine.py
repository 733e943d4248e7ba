"""Plans, schedules, executes and commits one run of a DVC repository, with the results of `dvc repro`."""

from __future__ import annotations

import contextlib
import datetime
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence

from darkroom.base.errors import RepoError
from darkroom.base.files import STATE_FOLDER, make_state_folder
from darkroom.base.git import require_committed
from darkroom.runs.checks import require_valid_params
from darkroom.runs.local_executor import LocalExecutor
from darkroom.runs.report import Observe, RunOptions, RunReport, collector_paused
from darkroom.runs.stage_work import StageWork
from darkroom.runs.unfinished import Unfinished
from darkroom.schedule.estimate import critical_path, expected_seconds, remaining_seconds
from darkroom.schedule.events import Outcome, RunFinished, RunStarted, StageFinished, StageLine, ignore
from darkroom.schedule.executor import Capacity, Executor
from darkroom.schedule.history import History
from darkroom.schedule.plan import Action, Check, Node, Plan, PlannedStage, decide
from darkroom.schedule.scheduler import Scheduler, Settled
from darkroom.workspace.workspace import Workspace


def make_plan(options: RunOptions, *, executor: Executor | None = None, check: bool = True) -> Plan:
    """What a run with these options would do, by `executor` or on this host. Works while a run goes on.

    Takes no lock of DVC's, but with `pull` while it brings the remote's run-cache. With `check` the stages
    that would run are asked whether their parameters are valid.

    Raises:
        InvalidParamsError: They are not.
        DarkroomError: There is no plan to be made.

    """
    place = executor or LocalExecutor()
    with collector_paused(), contextlib.closing(Workspace(options.repo, options)) as workspace:
        nodes = options.place(workspace.load())
        if options.pull:
            with workspace.locked():
                workspace.pull_run_cache()
        history = History(workspace.root / STATE_FOLDER)
        with contextlib.chdir(workspace.root):
            planned = _plan(
                workspace, nodes, history.seconds(), place.capacity(nodes, options.jobs), options.lacks
            )
    if check:
        require_valid_params(planned.checks)
    return planned


def _plan(
    workspace: Workspace,
    nodes: Sequence[Node],
    seconds: Mapping[str, float],
    capacity: Capacity,
    lacks: Callable[[str], bool],
) -> Plan:
    decided = decide(workspace.states(), workspace.restorable)
    working = {name for name, (action, _) in decided.items() if action in (Action.RUN, Action.MAY_RUN)}
    elsewhere = [node.name for node in nodes if node.name in working and node.meta.resources.pool]
    stages = tuple(
        PlannedStage(
            node.name,
            *decided[node.name],
            node.needs,
            seconds.get(node.name),
            node.meta.resources.pool,
            _bytes_to_move(workspace.sizes_of_deps(node.name), lacks) if node.name in elsewhere else 0,
            node.executes,
            node.data,
        )
        for node in nodes
    )
    if elsewhere:
        require_committed(workspace.root, workspace.made(), elsewhere[0])
    capacity.refuse(node for node in nodes if node.name in working)
    checks = dict.fromkeys(
        Check(node.meta.check_params, node.folder)
        for node in nodes
        if node.name in working and node.meta.check_params
    )
    whole = expected_seconds(nodes, working, seconds, capacity.counted_pool())
    return Plan(stages, whole, critical_path(nodes, working, seconds), tuple(checks))


def _bytes_to_move(sizes: Mapping[str, int], lacks: Callable[[str], bool]) -> int:
    return sum(size for md5, size in sizes.items() if lacks(md5))


def run_pipeline(
    options: RunOptions, *, executor: Executor | None = None, observe: Observe = ignore
) -> RunReport:
    """Run what is not up to date; commands are executed by `executor`, without one on this host.

    A failing stage does not raise: it is in the report. While it runs the process's current directory is the
    repository's root.

    Raises:
        InvalidParamsError: Stages refuse their parameters; nothing was started or removed.
        DarkroomError: Nothing could be started.

    """
    started = time.monotonic()

    def say(stage: str, line: str) -> None:
        observe(StageLine(stage, line))

    with contextlib.closing(Workspace(options.repo, options, options.stop, say)) as workspace:
        with collector_paused():
            nodes = options.place(workspace.load())
        run = _Run(options, workspace, nodes, executor or LocalExecutor(), observe)
        with contextlib.chdir(workspace.root):
            run.go()
            run.save_experiment()
    seconds = time.monotonic() - started
    report = RunReport(
        run=run.name,
        plan=run.plan,
        stages=run.stages(),
        seconds=seconds,
        errors=tuple(run.errors),
        last_lines=run.last_lines,
    )
    observe(RunFinished(report.well, seconds))
    return report


def own_stdin() -> int | None:
    """The standard input of this process, for a stage that runs alone.

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
    """One run, from the plan to the record: the scheduler between the stages' work and their executor."""

    def __init__(
        self,
        options: RunOptions,
        workspace: Workspace,
        nodes: Sequence[Node],
        executor: Executor,
        observe: Observe,
    ) -> None:
        self.name = f"{datetime.datetime.now():%Y%m%d-%H%M%S}-{os.getpid()}"
        self.plan = Plan((), None, ())
        self._options, self._workspace, self._executor = options, workspace, executor
        self._nodes = {node.name: node for node in nodes}
        self._observe = observe
        self._folder = workspace.root / STATE_FOLDER
        self._history = History(self._folder)
        self._unfinished = Unfinished(self._folder / "unfinished", self.name)
        self._capacity = executor.capacity(nodes, options.jobs)
        self._work = StageWork(
            self.name, options, workspace, self._nodes, self._capacity, self._history, observe
        )

    @property
    def errors(self) -> list[str]:
        """The run's errors, one line each: what is wrong, where, and what mends it."""
        return self._work.errors

    @property
    def last_lines(self) -> Mapping[str, tuple[str, ...]]:
        """The end of the output of each stage that failed; what was stopped has nothing to explain."""
        ended = self._work.finished
        return {
            stage: lines
            for stage, lines in self._work.last_lines.items()
            if lines and (stage not in ended or ended[stage].outcome is Outcome.FAILED)
        }

    def go(self) -> None:
        """Schedule all stages and return when each is settled."""
        nodes, seconds = list(self._nodes.values()), self._history.seconds()
        make_state_folder(self._folder)
        if not self._options.dry:
            with contextlib.suppress(OSError):  # on a full disk it stays as long as it is
                self._history.shorten()
            self._workspace.end_left_overs()
            if self._unfinished.left():
                self._workspace.remove_half_written()
        with collector_paused(), self._workspace.locked():
            self._unfinished.swept()
            self._workspace.pull_run_cache()
            self.plan = _plan(self._workspace, nodes, seconds, self._capacity, self._options.lacks)
        require_valid_params(self.plan.checks)
        self._observe(RunStarted(self.name, self.plan))
        if self._options.dry:
            return
        if not self.plan.work:  # judged under the lock a moment ago
            for stage in self.plan.stages:
                frozen = stage.action is Action.FROZEN
                self._work.settled(stage.name, Settled(Outcome.FROZEN if frozen else Outcome.SKIPPED))
            with self._workspace.locked():
                self._workspace.record()  # what a run that was ended had finished before its turn
            return
        self._unfinished.begin()
        self._schedule(nodes, seconds)
        if self._work.clean:
            self._unfinished.end()

    def _schedule(self, nodes: Sequence[Node], seconds: Mapping[str, float]) -> None:
        self._work.stdin = own_stdin() if self._runs_one() else None
        pool = self._capacity.pool(self.name, self._workspace.root, self._work.say_waits)
        scheduler = Scheduler(
            nodes,
            self._work,
            pool,
            self._executor,
            remaining=remaining_seconds(nodes, seconds),
            keep_going=self._options.keep_going,
            stop=self._options.stop,
            on_settled=self._work.settled,
        )
        try:
            scheduler.run()
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                self._work.stop_now.set()
            if self._executor.is_busy():  # nothing may go on writing while nobody looks
                self._options.stop.set()
            raise
        finally:
            self._join()
            pool.close()
        with self._workspace.locked():
            self._workspace.record()
            self._workspace.stage_in_git()

    def _runs_one(self) -> bool:
        """Whether the plan has one stage alone whose command may be executed."""
        may = (Action.RUN, Action.MAY_RUN)
        return sum(one.action in may and self._nodes[one.name].executes for one in self.plan.stages) == 1

    def _join(self) -> None:
        """Wait for what still runs; a second signal ends it now."""
        try:
            self._executor.join()
        except KeyboardInterrupt:
            self._work.stop_now.set()
            raise

    def save_experiment(self) -> None:
        """Keep the result as an experiment, if the run is one and nothing of it failed."""
        well = all(stage.outcome.well for stage in self._work.finished.values())
        if self._options.dry or self.errors or not well:
            return
        with self._workspace.locked():
            try:
                self._workspace.save_experiment()
            except RepoError as error:
                self.errors.append(f"experiment {self._options.experiment} is not recorded: {error}")

    def stages(self) -> dict[str, StageFinished]:
        """What became of each stage, in the serial order; nothing where the run was only planned."""
        return {name: self._work.finished[name] for name in self._nodes if name in self._work.finished}
