"""Graph and states in, plan out: what will run, may run, is restored or up to date, why, and how long."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from flows.resources import StageMeta


@dataclass(frozen=True, kw_only=True, slots=True)
class Node:
    """One stage of the graph, in the serial order of its fellows."""

    name: str
    needs: tuple[str, ...] = ()
    """Must be well before this one is looked at."""
    after: tuple[str, ...] = ()
    """Must be settled, well or not, before this one is looked at: they share paths without an edge."""
    executes: bool = True
    """Whether it has a command that can be executed (no .dvc file, not frozen)."""
    meta: StageMeta = field(default_factory=StageMeta)


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


def remaining_seconds(nodes: Sequence[Node], seconds: Mapping[str, float]) -> dict[str, float]:
    """For each stage the expected length of the longest path from its start to the end of the run.

    A stage without a past counts as the median of those that have one.
    """
    usual = statistics.median(seconds.values()) if seconds else 1.0
    longest: dict[str, float] = {}
    after: dict[str, float] = {}
    for node in reversed(nodes):
        own = seconds.get(node.name, usual) if node.executes else 0.0
        longest[node.name] = own + after.get(node.name, 0.0)
        for other in node.needs:
            after[other] = max(after.get(other, 0.0), longest[node.name])
    return longest


def widest(nodes: Sequence[Node]) -> int:
    """How many stages can run at once, at least: the most stages on one level of the graph."""
    level: dict[str, int] = {}
    for node in nodes:
        level[node.name] = 1 + max((level[other] for other in node.needs), default=0)
    counts = Counter(level[node.name] for node in nodes if node.executes)
    return max(counts.values(), default=1)
