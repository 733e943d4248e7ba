"""Graph and states in, plan out: what will run, may run, is restored or up to date, why, and how long it will take."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Action(StrEnum):
    """What a run would do with a stage."""

    RUN = "run"
    MAY_RUN = "may-run"  # depends on what an upstream will produce
    RESTORE = "restore"  # from the run-cache
    SKIP = "skip"
    FROZEN = "frozen"


@dataclass(frozen=True, slots=True)
class PlannedStage:
    """One stage of a plan. `seconds` is None where no past run is known."""

    name: str
    action: Action
    reasons: tuple[str, ...]
    needs: tuple[str, ...]
    seconds: float | None

    def to_json(self) -> dict[str, Any]:
        """The stage as in the plan's JSON contract."""
        return {
            "name": self.name,
            "action": self.action.value,
            "reasons": list(self.reasons),
            "needs": list(self.needs),
            "seconds": self.seconds,
        }


@dataclass(frozen=True, slots=True)
class Plan:
    """Stages in DVC's own serial order, the whole's expected seconds, and the path that decides them."""

    stages: tuple[PlannedStage, ...]
    seconds: float | None
    critical_path: tuple[str, ...]

    @property
    def work(self) -> tuple[PlannedStage, ...]:
        """The stages for which there is, or may be, something to do."""
        return tuple(
            stage for stage in self.stages if stage.action in (Action.RUN, Action.MAY_RUN, Action.RESTORE)
        )

    def to_json(self) -> dict[str, Any]:
        """The stable contract: `{"stages": [...], "seconds": ..., "critical_path": [...]}`."""
        return {
            "stages": [stage.to_json() for stage in self.stages],
            "seconds": self.seconds,
            "critical_path": list(self.critical_path),
        }
