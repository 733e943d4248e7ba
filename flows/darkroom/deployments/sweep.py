"""The flow `sweep`: trials with other parameters, each in a clone of its own and kept as a DVC experiment."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from prefect import flow
from pydantic import Field

from darkroom.base.errors import UsageError
from darkroom.base.escapes import escape_values
from darkroom.base.git import git
from darkroom.base.roots import root_of
from darkroom.base.text import format_count, format_reasons
from darkroom.clones import clone as clones
from darkroom.clones.clone import Clone, held_clone
from darkroom.deployments.leaderboard import RankedTrial, leaderboard_json, leaderboard_rows, rank_trials
from darkroom.deployments.search_space import Trial, make_trials
from darkroom.deployments.steps import CANNOT_RUN, WELL, WORK_TO_DO, StepFailedError, Steps
from darkroom.processes.stage_process import no_line
from darkroom.repository.opening import set_params
from darkroom.repository.products import metric_metas, metrics_at
from darkroom.runs.metrics import Metric
from darkroom.schedule.plan import Action
from darkroom.show.markdown import inline_text
from darkroom.show.pages import slug
from darkroom.show.terminal import table_text
from darkroom.tracking.journal import Journal, journal

on_line: ContextVar[Callable[[str], None]] = ContextVar("on_line", default=no_line)
"""Called for each line of a sweep's own log; Prefect's is the server's alone on a terminal."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SweepEnd:
    """How the trials of a sweep have ended."""

    commit: str
    """The one that the trials start from."""
    board: Sequence[RankedTrial]
    failed: Mapping[str, str]
    """What went wrong, by the name of the trial."""

    @property
    def said(self) -> str:
        """The end in words: the failed trials, a line each, else the best one."""
        if self.failed:
            return "\n".join(f"{name}: {error}" for name, error in self.failed.items())
        return f"{format_count(len(self.board), 'trial')}; the best is {self.board[0].trial.name}"

    def to_json(self) -> dict[str, Any]:
        """The leaderboard for programs, the best trial first."""
        trials = [
            {**trial, "error": self.failed.get(trial["name"])} for trial in leaderboard_json(self.board)
        ]
        return {"commit": self.commit, "trials": trials}


def _no_end(_: SweepEnd) -> None:
    """The listener of who does not listen."""


on_end: ContextVar[Callable[[SweepEnd], None]] = ContextVar("on_end", default=_no_end)
"""Called once the trials have ended: Prefect may still fail to record that."""


@flow(name="sweep", flow_run_name="{name}: {metric}")
def sweep(
    params: Annotated[list[str], Field(min_length=1)],
    metric: str,
    lowest: bool = False,
    draws: Annotated[int, Field(ge=0)] = 0,
    seed: int = 0,
    at_once: Annotated[int, Field(ge=1)] = 1,
    name: Annotated[str, Field(pattern=r"^\w[\w-]*$")] = "sweep",
    targets: list[str] = [],  # noqa: B006  (Prefect shows it; it is not changed)
) -> str:
    """Try other parameters: all combinations of the values given, or random draws of them.

    Each trial starts from the project's last commit, in a clone of its own that shares DVC's cache, and
    becomes a DVC experiment. A sweep that was stopped goes on: what is an experiment is not run again.

    Args:
        params: Parameters and their values, `key=1,2`, `key=range(1,9)`, for draws `key=interval(0.1,0.9)`.
        metric: What trials are compared by, as FILE:NAME.
        lowest: The lowest figure is the best; else what dvc.yaml states decides, else the highest is.
        draws: So many random draws; 0: all combinations.
        seed: The same gives the same draws.
        at_once: Trials at a time; they share the host's cores, and its GPUs by leases.
        name: What the experiments' names begin with.
        targets: Stages or dvc.yaml files, with what they need; none: all.

    """
    with journal() as run_journal:
        return run_sweep(
            run_journal,
            params,
            metric,
            lowest=lowest,
            draws=draws,
            seed=seed,
            at_once=at_once,
            name=name,
            targets=targets,
        )


def run_sweep(
    run_journal: Journal,
    params: list[str],
    metric: str,
    *,
    lowest: bool,
    draws: int,
    seed: int,
    at_once: int,
    name: str,
    targets: list[str],
) -> str:
    """Run the trials and publish the leaderboard; the best trial in words.

    Raises:
        StepFailedError: Trials failed; the message has a line for each.

    """
    root = root_of(Path())
    by = Metric.named(metric, lowest, metric_metas(root))
    plan = Sweep.on_last_commit(root, make_trials(name, params, draws, seed), by, targets)
    tell = on_line.get()

    def say(text: str) -> None:
        run_journal.say(text)
        tell(text)

    failed = plan.run(at_once, say)
    board = plan.leaderboard()
    table = leaderboard_rows(board, plan.metric)
    say(table_text(list(table[0]), [list(row.values()) for row in table]))
    run_journal.publish(
        slug(f"{plan.root.name}-{name}-leaderboard"),
        "table",
        json.dumps(escape_values(table)),
        inline_text(f"{len(board)} trials by {metric}, on {plan.commit[:12]}"),
    )
    end = SweepEnd(
        commit=plan.commit, board=board, failed={trial.name: str(error) for trial, error in failed}
    )
    on_end.get()(end)
    if failed:
        raise StepFailedError(end.said)
    return end.said


@dataclass(frozen=True, slots=True)
class Sweep:
    """Trials on a commit of the project at `root`."""

    root: Path
    trials: Sequence[Trial]
    metric: Metric
    targets: Sequence[str]
    commit: str
    stop: threading.Event = field(default_factory=threading.Event)

    @classmethod
    def on_last_commit(
        cls, root: Path, trials: Sequence[Trial], metric: Metric, targets: Sequence[str]
    ) -> Sweep:
        """A sweep on what is committed now."""
        return cls(root, trials, metric, targets, git(root, "rev-parse", "HEAD"))

    def run(self, at_once: int, say: Callable[[str], None]) -> list[tuple[Trial, StepFailedError]]:
        """Run what is no experiment yet; the trials that failed."""
        waiting = [trial for trial in self.trials if not self.done(trial)]
        say(f"{format_count(len(self.trials), 'trial')}, {len(waiting)} to run")
        jobs = max(1, (os.cpu_count() or 1) // at_once)
        ended: list[tuple[Trial, StepFailedError | None]] = []

        def run_trial(trial: Trial) -> None:
            if self.stop.is_set():
                return
            say(f"{trial.name} starts: {' '.join(trial.settings)}")
            error = self._try(trial, jobs)
            say(f"{trial.name} {'failed' if error else 'is an experiment now'}")
            ended.append((trial, error))

        # What all trials share is made by the first one, alone; the others find it in the cache.
        alone = 1 if waiting and self._shared_work() else 0
        for trial in waiting[:alone]:
            run_trial(trial)
        with ThreadPoolExecutor(at_once) as pool:
            try:
                list(pool.map(run_trial, waiting[alone:]))
            except BaseException:
                self.stop.set()
                raise
        return [(trial, error) for trial, error in ended if error]

    def done(self, trial: Trial) -> bool:
        """Whether the trial is an experiment on this commit."""
        return bool(git(self.root, "rev-parse", "--quiet", "--verify", self._ref(trial), fails=""))

    def leaderboard(self) -> list[RankedTrial]:
        """The trials, the best first.

        Raises:
            UsageError: The metric is none of theirs.

        """
        refs = {trial.name: self._ref(trial) for trial in self.trials if self.done(trial)}
        held = metrics_at(self.root, list(refs.values())) if refs else {}
        return rank_trials(self.trials, {name: held[ref] for name, ref in refs.items()}, self.metric)

    def _ref(self, trial: Trial) -> str:
        return f"refs/exps/{self.commit[:2]}/{self.commit[2:]}/{trial.name}"

    def _shared_work(self) -> bool:
        """Whether the commit itself is not up to date.

        Raises:
            UsageError: Something is missing that no stage makes.

        """
        with self._clone("baseline") as clone:
            printed: list[str] = []
            steps = Steps(clone, say=printed.append)
            steps.dvc("checkout", "--force", "--allow-missing")
            printed.clear()
            code = steps.darkroom("plan", "--json", "--", *self.targets, fine=(WELL, CANNOT_RUN, WORK_TO_DO))
            clones.remove_clone(clone)
        if code == CANNOT_RUN:
            raise UsageError(f"{self.commit[:12]}, the last commit, cannot be run: {_obstacle(printed)}")
        return code == WORK_TO_DO

    def _try(self, trial: Trial, jobs: int) -> StepFailedError | None:
        with self._clone(trial.name) as clone:
            ref = self._ref(trial)
            try:
                if not git(clone.folder, "rev-parse", "--quiet", "--verify", ref, fails=""):
                    self._make(trial, Steps(clone, stop=self.stop), jobs)
            except StepFailedError as error:
                return error
            git(clone.folder, "push", "--quiet", "--", clone.source, f"{ref}:{ref}")
            clones.remove_clone(clone)  # all of it is in the cache and the experiment
        return None

    def _make(self, trial: Trial, steps: Steps, jobs: int) -> None:
        steps.dvc("checkout", "--force", "--allow-missing")  # a trial that was killed may have left something
        set_params(steps.clone.root, trial.settings)
        steps.darkroom("run", "--jobs", str(jobs), "--experiment", trial.name, "--", *self.targets)

    def _clone(self, name: str) -> AbstractContextManager[Clone]:
        return held_clone(self.root, f"sweep-{name}", source="", revision=self.commit)


def _obstacle(printed: Sequence[str]) -> str:
    """The first stage of a plan, printed as JSON, that cannot run, and why."""
    text = "\n".join(printed)
    stages = json.loads(text[text.index("{") :])["stages"]
    first = next(stage for stage in stages if stage["action"] == Action.CANNOT_RUN)
    return f"{first['name']}: {format_reasons(first['reasons'])}"
