"""Makes a plan from graph and states: what will run, may run, is restored or is up to date, why, how long."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from darkroom.base.meta import StageMeta


@dataclass(frozen=True, kw_only=True, slots=True)
class Node:
    """One stage of the graph, in the serial order of its fellows."""

    name: str
    needs: tuple[str, ...] = ()
    """The stages that must be well before this one is looked at."""
    after: tuple[str, ...] = ()
    """Stages to be settled, well or not, before this one is looked at: they share paths, not an edge."""
    executes: bool = True
    """Whether it has a command that can be executed (no .dvc file, not frozen)."""
    data: bool = False
    """Whether it is a .dvc file, which has no command at all."""
    meta: StageMeta = field(default_factory=StageMeta)
    folder: Path = Path()
    """The folder in which the command is executed."""


@dataclass(frozen=True, slots=True)
class Made:
    """A dep that stages before this one make, wholly or in part."""

    path: str
    recorded: str | None
    """The dep's hash in dvc.lock; None: it is not there, or has no single hash."""
    reasons: tuple[str, ...]
    """The differences of the dep, as it lies there now, from what is recorded."""
    makers: tuple[str, ...]
    new: tuple[str, ...] = ()
    """What of the dep is not recorded at all: a reason to run, whatever its makers do."""
    params: bool = False
    """Whether only values in it count: its hash does not say whether they have changed."""
    missing: tuple[str, ...] = ()
    """What keeps a command from being started, unless the dep's makers bring it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class State:
    """What is known of a stage before anything runs."""

    name: str
    own: tuple[str, ...]
    """Why the stage must run, whatever the stages before it do."""
    made: tuple[Made, ...] = ()
    forced: bool = False
    repeats: bool = False
    """Whether the stage always runs, and never comes from the run-cache."""
    data: bool = False
    """Whether it is a .dvc file: there is nothing to execute, and its data is committed as it lies there."""
    frozen: bool = False
    missing: tuple[str, ...] = ()
    """What its command needs and is not there, and no stage before it makes."""
    lost: tuple[str, ...] = ()
    """The outs that are not there and that nothing makes, since it is frozen or data."""


Restorable = Callable[[str, Mapping[str, str]], Mapping[str, str] | None]
"""A stage's products where they can be restored (hash by path), given the hashes of deps restored first."""


class Action(StrEnum):
    """What a run would do with a stage."""

    RUN = "run"
    MAY_RUN = "may-run"  # depends on what an upstream will produce
    RESTORE = "restore"  # from the run-cache, or with --pull from the remote
    SKIP = "skip"
    FROZEN = "frozen"
    CANNOT_RUN = "cannot-run"  # what it needs is not there and will not be made


@dataclass(frozen=True, slots=True)
class PlannedStage:
    """One stage of a plan. `seconds` is None where no past run is known."""

    name: str
    action: Action
    reasons: tuple[str, ...]
    needs: tuple[str, ...]
    seconds: float | None
    pool: str | None = None
    """The pool whose hosts execute it; None: this host."""
    bytes_to_move: int = 0
    """The bytes that it reads and the storage of the pools does not have yet, as far as that is known."""
    executes: bool = True
    """Whether it has a command that can be executed (no .dvc file, not frozen)."""
    data: bool = False
    """Whether it is a .dvc file: a step of the plan, but no stage to whoever counts them."""

    def to_json(self) -> dict[str, Any]:
        """The stage as the plan's JSON contract has it."""
        return {
            "name": self.name,
            "action": self.action.value,
            "reasons": list(self.reasons),
            "needs": list(self.needs),
            "seconds": self.seconds,
            "pool": self.pool,
            "bytes_to_move": self.bytes_to_move,
        }


@dataclass(frozen=True, slots=True)
class Check:
    """A command of `meta.check_params`, for the shell, and the folder in which it is executed."""

    command: str
    folder: Path


@dataclass(frozen=True, slots=True)
class Plan:
    """Stages in DVC's own serial order, the whole's expected seconds, and the path that decides them."""

    stages: tuple[PlannedStage, ...]
    seconds: float | None
    critical_path: tuple[str, ...]
    checks: tuple[Check, ...] = ()
    """What says whether the parameters of the stages that run are valid, each once."""

    @property
    def work(self) -> tuple[PlannedStage, ...]:
        """The stages for which there is, or may be, something to do; of frozen ones those with reasons.

        These are recorded as they lie there. Those that cannot run count: a run fails at them.
        """
        idle = (Action.SKIP, Action.FROZEN)
        return tuple(
            stage
            for stage in self.stages
            if stage.action not in idle or (stage.action is Action.FROZEN and stage.reasons)
        )

    @property
    def data(self) -> frozenset[str]:
        """The names of the .dvc files among the stages."""
        return frozenset(stage.name for stage in self.stages if stage.data)

    @property
    def strangers(self) -> int:
        """How many stages are to be executed that never were here: nobody knows how long they take."""
        executed = [stage for stage in self.work if stage.executes and stage.action is not Action.RESTORE]
        return sum(stage.seconds is None and stage.action is not Action.CANNOT_RUN for stage in executed)

    @property
    def hopeless(self) -> bool:
        """Whether there is a stage that cannot run."""
        return any(stage.action is Action.CANNOT_RUN for stage in self.stages)

    def to_json(self) -> dict[str, Any]:
        """The plan's stable JSON contract: `{"stages": [...], "seconds": ..., "critical_path": [...]}`."""
        return {
            "stages": [stage.to_json() for stage in self.stages],
            "seconds": self.seconds,
            "critical_path": list(self.critical_path),
        }


class _Decisions:
    """Actions in the serial order; each knows those before it."""

    def __init__(self, restorable: Restorable) -> None:
        self._restorable = restorable
        self._unknown: set[str] = set()  # stages whose products only their run can tell
        self._products: dict[str, Mapping[str, str]] = {}  # of restored stages
        self._hopeless: set[str] = set()

    def decide(self, state: State) -> tuple[Action, tuple[str, ...]]:
        """The stage's action and its reasons in words."""
        reasons, doubts, hashes = self._look_at_deps(state)
        reasons = state.own + reasons
        if state.lost:
            self._hopeless.add(state.name)
            return Action.CANNOT_RUN, state.lost
        if state.frozen:
            return Action.FROZEN, reasons or (("forced",) if state.forced else ())
        if missing := self._missing(state):
            self._hopeless.add(state.name)
            return Action.CANNOT_RUN, missing
        if state.forced:
            if not state.data:
                self._unknown.add(state.name)
            return Action.RUN, reasons or ("forced",)
        if not reasons and (state.data or not doubts):
            return Action.SKIP, ()
        if (
            not doubts
            and not state.repeats
            and (products := self._restorable(state.name, hashes)) is not None
        ):
            self._products[state.name] = products
            return Action.RESTORE, reasons
        if state.data:
            return Action.RUN, reasons
        self._unknown.add(state.name)
        return (Action.RUN, reasons) if reasons else (Action.MAY_RUN, tuple(doubts))

    def _missing(self, state: State) -> tuple[str, ...]:
        """What keeps the stage from running. A forced one is started without its deps, as by DVC."""
        needed = dict.fromkeys(maker for dep in state.made for maker in dep.makers)
        missing = [f"{maker} cannot run" for maker in needed if maker in self._hopeless]
        if not state.forced:
            missing += state.missing
            for dep in state.made:
                busy = (self._unknown, self._products, self._hopeless)
                if not any(maker in stages for maker in dep.makers for stages in busy):
                    missing += dep.missing
        return tuple(missing)

    def _look_at_deps(self, state: State) -> tuple[tuple[str, ...], list[str], dict[str, str]]:
        """Reasons that are certain, doubts, and the hashes of deps that will be restored."""
        reasons: list[str] = []
        doubts: list[str] = []
        hashes: dict[str, str] = {}
        for dep in state.made:
            reasons += dep.new
            unknown = [maker for maker in dep.makers if maker in self._unknown]
            restored = [maker for maker in dep.makers if maker in self._products]
            if unknown:
                doubts.append(f"depends on what {', '.join(unknown)} will produce")
            elif restored == list(dep.makers) and (product := self._product(dep)):
                hashes[dep.path] = product
                if dep.recorded is not None and product != dep.recorded:
                    reasons.append(f"{restored[0]} is restored to another state")
            elif restored:
                doubts.append(f"depends on what {', '.join(restored)} will restore")
            else:
                reasons += dep.reasons
        return tuple(reasons), list(dict.fromkeys(doubts)), hashes

    def _product(self, dep: Made) -> str | None:
        """The hash of what is restored there, if one stage makes all of it."""
        if dep.params or len(dep.makers) != 1:
            return None
        return self._products[dep.makers[0]].get(dep.path)


def decide(states: Iterable[State], restorable: Restorable) -> dict[str, tuple[Action, tuple[str, ...]]]:
    """Action and reasons of each stage; `states` stand in the serial order."""
    decisions = _Decisions(restorable)
    return {state.name: decisions.decide(state) for state in states}
