"""Whether a new model may take the released one's place: metric by metric, by bounds that params.yaml holds.

docs/operations.md has an example, under Releases.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from flows.deployments.leaderboard import Metric, value_of
from flows.errors import UsageError
from flows.wording import figure

PARAMS_FILE = "params.yaml"
KEY = "gate"

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*[a-z0-9]$")]


class Bound(BaseModel):
    """What is asked of a metric."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    best: Literal["highest", "lowest"] = "highest"
    equal_within: Annotated[float, Field(ge=0)] = 0.0
    """Differences up to this one are noise: neither better nor worse."""
    at_least: float | None = None
    at_most: float | None = None


class Gate(BaseModel):
    """Under which name models are released, and what is asked of them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    release: Name
    stage: Name = "prod"
    """GTO's word for where a model is used; the released one is the one that is assigned to it."""
    metrics: Annotated[dict[str, Bound], Field(min_length=1)]
    """By FILE:NAME."""


class Verdict(StrEnum):
    """How a metric stands to the released model's."""

    BETTER = "better"
    EQUAL = "equal"
    WORSE = "worse"
    OUT_OF_BOUNDS = "out of bounds"
    MISSING = "missing"
    FIRST = "first release"


FAILS = (Verdict.WORSE, Verdict.OUT_OF_BOUNDS, Verdict.MISSING)


@dataclass(frozen=True, slots=True)
class Judged:
    """A metric of the new model beside the released one's."""

    metric: str
    then: float | None
    now: float | None
    verdict: Verdict
    why: str
    """By how much, and what was allowed."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """All of them."""

    metrics: tuple[Judged, ...]

    @property
    def failed(self) -> tuple[Judged, ...]:
        """Those for which the new model is refused."""
        return tuple(one for one in self.metrics if one.verdict in FAILS)

    @property
    def promotes(self) -> bool:
        """Whether the new model is to be released: nothing is worse, and something is better or new."""
        news = any(one.verdict in (Verdict.BETTER, Verdict.FIRST) for one in self.metrics)
        return news and not self.failed


def read(root: Path) -> Gate | None:
    """The project's gate; None: it has none. Raises UsageError."""
    path = root / PARAMS_FILE
    params = yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else None
    if not isinstance(params, dict) or KEY not in params:
        return None
    try:
        gate = Gate.model_validate(params[KEY])
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, (KEY, *first["loc"])))
        raise UsageError(f"{PARAMS_FILE}: {where}: {first['msg']}") from error
    for name in gate.metrics:
        Metric.named(name, lowest=False)
    return gate


def judge(gate: Gate, now: Mapping[str, Any], then: Mapping[str, Any] | None) -> Judgement:
    """Compare metrics, by file; `then` is the released model's, None where there is none."""
    return Judgement(
        tuple(
            _judge(name, bound, _value(now, name), None if then is None else _value(then, name))
            for name, bound in gate.metrics.items()
        )
    )


def _value(metrics: Mapping[str, Any], name: str) -> float | None:
    return value_of(metrics, Metric.named(name, lowest=False))


def _judge(name: str, bound: Bound, now: float | None, then: float | None) -> Judged:
    if now is None:
        return Judged(name, then, now, Verdict.MISSING, "the new model has no such metric")
    if out := _out_of_bounds(bound, now):
        return Judged(name, then, now, Verdict.OUT_OF_BOUNDS, out)
    if then is None:
        return Judged(name, then, now, Verdict.FIRST, "")
    gain = (now - then) * (1 if bound.best == "highest" else -1)
    if abs(gain) <= bound.equal_within:
        return Judged(name, then, now, Verdict.EQUAL, f"within {figure(bound.equal_within)}")
    verdict = Verdict.BETTER if gain > 0 else Verdict.WORSE
    return Judged(name, then, now, verdict, f"by {figure(abs(gain))}; {figure(bound.equal_within)} is noise")


def _out_of_bounds(bound: Bound, now: float) -> str:
    """By how much; empty where it keeps them."""
    if bound.at_least is not None and now < bound.at_least:
        return f"{figure(bound.at_least - now)} below the bound {figure(bound.at_least)}"
    if bound.at_most is not None and now > bound.at_most:
        return f"{figure(now - bound.at_most)} above the bound {figure(bound.at_most)}"
    return ""
