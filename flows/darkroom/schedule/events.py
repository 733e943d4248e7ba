"""What a run reports to its observers. Each event is sent once, from the thread in which it happened."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from darkroom.schedule.plan import Plan


class Outcome(StrEnum):
    """How a stage ended. `well` outcomes let what depends on the stage go on."""

    RAN = "ran"  # its command was executed, or an edited .dvc file was committed again
    RESTORED = "restored"  # its outs came from the run-cache, or with --pull from the remote
    SKIPPED = "skipped"  # up to date
    FROZEN = "frozen"  # frozen: its deps are not looked at, its outs verified
    FAILED = "failed"
    BLOCKED = "blocked"  # not started: something that it needs, or that is serially before it, failed
    CANCELLED = "cancelled"  # not started or stopped: the run was told to stop

    @property
    def well(self) -> bool:
        """Whether what depends on the stage may go on."""
        return self not in (Outcome.FAILED, Outcome.BLOCKED, Outcome.CANCELLED)


@dataclass(frozen=True, slots=True)
class RunStarted:
    """The run's identifier (also the folder of its logs) and what is planned."""

    run: str
    plan: Plan


@dataclass(frozen=True, slots=True)
class StageStarted:
    """A stage's command is about to be executed; `reasons` say why."""

    stage: str
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StageLine:
    """One line of a stage's output, without its line end; not every line of a stage that prints a lot."""

    stage: str
    line: str


@dataclass(frozen=True, slots=True)
class StageBar:
    """The current state of a line of a stage's output that redraws itself: a progress bar."""

    stage: str
    line: str


@dataclass(frozen=True, slots=True)
class StageWaits:
    """A stage could start but for `reason`; said once a reason."""

    stage: str
    reason: str


@dataclass(frozen=True, slots=True)
class StageAgain:
    """An attempt ended by no fault of the stage; the next one starts in `seconds`."""

    stage: str
    reason: str
    seconds: float
    retry: int
    """The number of this retry, counted from 1; 0: it is none of the stage's retries."""
    retries: int
    """The number of the last retry."""


@dataclass(frozen=True, slots=True)
class StageFinished:
    """A stage is settled; `seconds` is the time of its command (0.0 where none was executed)."""

    stage: str
    outcome: Outcome
    reasons: tuple[str, ...] = ()
    seconds: float = 0.0
    error: str | None = None


@dataclass(frozen=True, slots=True)
class RunFinished:
    """Every stage is settled; `well` says whether all of them are well."""

    well: bool
    seconds: float


Event = (
    RunStarted | StageStarted | StageLine | StageBar | StageWaits | StageAgain | StageFinished | RunFinished
)


def ignore(event: Event) -> None:
    """Ignore the event: the observer where nobody watches."""
