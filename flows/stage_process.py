"""One stage's command: a process group of its own that dies with its owner, its output line by line."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from flows.resources import StageMeta


class Ending(StrEnum):
    """How a stage's command ended."""

    OK = "ok"
    FAILED = "failed"  # by itself, with an exit code
    KILLED = "killed"  # by a signal from outside
    TIMED_OUT = "timed out"
    STOPPED = "stopped"  # the run was told to stop


def _no_line(line: str) -> None:
    """The listener of who does not listen."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StageJob:
    """Everything that is needed to execute one stage, and nothing of DVC."""

    name: str
    """As DVC prints it from the repository's root: `train@a`, `sub/dvc.yaml:prep`."""
    commands: tuple[tuple[str, ...], ...]
    """One argument vector a command (DVC's shell, its flags, -c, the command), in order; the first that fails ends it."""
    cwd: Path
    env: Mapping[str, str]
    """The whole environment: DVC_ROOT, DVC_STAGE, the thread variables, leases."""
    reasons: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    meta: StageMeta = StageMeta()
    log: Path | None = None
    on_line: Callable[[str], None] = _no_line
    """Called for each line of output, from the thread that executes."""
    stop: threading.Event = field(default_factory=threading.Event)
    """Set: end the command now, politely first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StageResult:
    """How a stage's command ended."""

    ending: Ending
    code: int = 0
    """Exit code, or the negative number of the signal."""
    seconds: float = 0.0
    last_lines: tuple[str, ...] = ()

    @property
    def well(self) -> bool:
        """Whether every command of the stage ended with 0."""
        return self.ending is Ending.OK

    def describe(self) -> str:
        """In words: `failed with exit code 1`, `killed by SIGKILL`, `timed out after 12 s`."""
        raise NotImplementedError


def execute(job: StageJob) -> StageResult:
    """Run the stage's commands one after the other; blocks until the last process of its group is gone."""
    raise NotImplementedError
