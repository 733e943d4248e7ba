"""Plan, schedule, execute and commit one run of a DVC repository, equal to serial `dvc repro`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from flows import stage_process
from flows.events import Event, Outcome, StageFinished, ignore
from flows.plan import Plan
from flows.stage_process import StageJob, StageResult


@dataclass(frozen=True, kw_only=True, slots=True)
class RunOptions:
    """What to run and how; flags that `dvc repro` has mean what they mean there."""

    repo: Path = Path()
    """Any folder of the repository; targets are relative to it."""
    targets: tuple[str, ...] = ()
    jobs: int | None = None
    """Stages at once; None: as many as the host has cores."""
    force: bool = False
    single_item: bool = False
    downstream: bool = False
    all_pipelines: bool = False
    keep_going: bool = False
    pull: bool = False
    no_commit: bool = False
    dry: bool = False
    """Plan only."""
    stop: threading.Event = field(default_factory=threading.Event)
    """Set it (Ctrl-C, a cancelled flow): nothing more starts, what runs is ended, what finished stays."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunReport:
    """How a run ended. `stages` holds every stage of the plan, in the plan's order."""

    run: str
    plan: Plan
    stages: Mapping[str, StageFinished]
    seconds: float
    errors: tuple[str, ...]
    """One line an error: what is wrong, where, the mend."""

    @property
    def well(self) -> bool:
        """Whether every stage is done or was up to date."""
        return not self.errors and all(stage.outcome.well for stage in self.stages.values())

    def outcomes(self) -> dict[str, Outcome]:
        """The outcome of each stage by its name."""
        return {name: stage.outcome for name, stage in self.stages.items()}


def make_plan(options: RunOptions) -> Plan:
    """What a run with these options would do. Takes no lock of DVC's; works while a run goes on."""
    raise NotImplementedError


def run_pipeline(
    options: RunOptions,
    *,
    execute: Callable[[StageJob], StageResult] = stage_process.execute,
    observe: Callable[[Event], None] = ignore,
) -> RunReport:
    """Run what is not up to date; `execute` is called in a thread of its own for each stage that really executes.

    A failing stage does not raise: it is in the report. Raises DarkroomError where nothing could be started at all.
    """
    raise NotImplementedError
