"""Whether a new model may replace the released one: metric by metric, by the bounds in params.yaml.

docs/releases.md has an example.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from darkroom.base.errors import UsageError
from darkroom.base.meta import MetricMeta
from darkroom.base.text import format_figure
from darkroom.base.yaml_files import read_yaml
from darkroom.releases.paired import Difference, Pictures
from darkroom.runs.metrics import Metric, other_instrument, value_of

PARAMS_FILE = "params.yaml"
KEY = "gate"
RELEASED = "prod"
"""GTO's word for where the released model is used, where the gate has no other."""

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*[a-z0-9]$")]


class Bound(BaseModel):
    """What is asked of a metric."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    best: Literal["highest", "lowest"] | None = None
    """Which value is best; None: as dvc.yaml states it for the metrics file, else the highest."""
    equal_within: Annotated[float, Field(ge=0)] = 0.0
    """Differences up to this one are noise: neither better nor worse."""
    at_least: float | None = None
    at_most: float | None = None
    pictures: Pictures | None = None
    """If given, the difference must be more than chance, too, by an interval over the pictures."""


class Gate(BaseModel):
    """The name under which models are released, and what is asked of them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    release: Name
    stage: Name = RELEASED
    """GTO's word for where a model is used; the released one is the one that is assigned to it."""
    metrics: Annotated[dict[str, Bound], Field(min_length=1)]
    """The bounds of each metric, which is named as FILE:NAME."""
    confidence: Annotated[float, Field(gt=0, lt=1)] = 0.95
    """The share of cases in which an interval holds the true difference."""
    resamples: Annotated[int, Field(ge=100)] = 2000
    """How many resamples of the test pictures make each interval."""

    def by_pictures(self) -> Iterator[tuple[str, Pictures]]:
        """The metrics that name their pictures."""
        for name, bound in self.metrics.items():
            if bound.pictures is not None:
                yield name, bound.pictures


class Verdict(StrEnum):
    """How a metric stands to the released model's."""

    BETTER = "better"
    EQUAL = "equal"
    WORSE = "worse"
    OUT_OF_BOUNDS = "out of bounds"
    MISSING = "missing"
    INCOMPARABLE = "incomparable"
    FIRST = "first release"


FAILS = (Verdict.WORSE, Verdict.OUT_OF_BOUNDS, Verdict.MISSING, Verdict.INCOMPARABLE)


@dataclass(frozen=True, slots=True)
class Judged:
    """A metric of the new model beside the released one's."""

    metric: str
    then: float | None
    now: float | None
    verdict: Verdict
    why: str
    """The reason in words: by how much it differs, and what was allowed."""


@dataclass(frozen=True, slots=True)
class GateJudgement:
    """The judgement on a new model: each metric of the gate beside the released model's."""

    metrics: tuple[Judged, ...]

    @property
    def failed(self) -> tuple[Judged, ...]:
        """The metrics for which the new model is refused."""
        return tuple(one for one in self.metrics if one.verdict in FAILS)

    @property
    def promotes(self) -> bool:
        """Whether the new model is to be released: nothing is worse, and something is better or new."""
        news = any(one.verdict in (Verdict.BETTER, Verdict.FIRST) for one in self.metrics)
        return news and not self.failed


def read_gate(root: Path) -> Gate | None:
    """The project's gate; None: it has none.

    Raises:
        UsageError: The section `gate` of params.yaml has a wrong key or value.

    """
    path = root / PARAMS_FILE
    params = read_yaml(path) if path.exists() else None
    if not isinstance(params, dict) or KEY not in params:
        return None
    try:
        gate = Gate.model_validate(params[KEY])
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, (KEY, *first["loc"])))
        raise UsageError(f"{PARAMS_FILE}: {where}: {first['msg']}") from error
    for name in gate.metrics:
        Metric.named(name)
    return gate


def judge_metrics(
    gate: Gate,
    now: Mapping[str, Any],
    then: Mapping[str, Any] | None,
    differences: Mapping[str, Difference | str] = {},
    stated: Mapping[str, MetricMeta] = {},
) -> GateJudgement:
    """Compare metrics, by file; `then` is the released model's, None where there is none.

    `differences`: of the metrics that could be compared picture by picture, or why they could not.
    `stated`: what dvc.yaml says of the figures, by the metrics files' paths from the root.
    """
    return GateJudgement(
        tuple(
            _judge(
                name,
                bound,
                _is_lowest_best(bound, name, stated),
                metric_value(now, name, stated),
                None if then is None else metric_value(then, name, stated),
                differences.get(name),
                None if then is None else other_instrument(then, now, Metric.named(name), stated),
            )
            for name, bound in gate.metrics.items()
        )
    )


def metric_value(
    metrics: Mapping[str, Any], name: str, stated: Mapping[str, MetricMeta] = {}
) -> float | None:
    """The figure of the metric FILE:NAME in `metrics`, by file; None: there is none."""
    return value_of(metrics, Metric.named(name, stated=stated))


def _is_lowest_best(bound: Bound, name: str, stated: Mapping[str, MetricMeta]) -> bool:
    return bound.best == "lowest" if bound.best else Metric.named(name, stated=stated).lowest


def _judge(
    name: str,
    bound: Bound,
    lowest: bool,
    now: float | None,
    then: float | None,
    difference: Difference | str | None,
    instrument: str | None,
) -> Judged:
    if now is None:
        why = "the new model has no such metric; if there is no such model, remove it from gate.metrics"
        return Judged(name, then, now, Verdict.MISSING, why)
    if out := _out_of_bounds(bound, now):
        return Judged(name, then, now, Verdict.OUT_OF_BOUNDS, out)
    if then is None:
        return Judged(name, then, now, Verdict.FIRST, "")
    if instrument:
        why = (
            f"with the released model's: {instrument}, by which both were measured, is another; evaluate the"
            " released model by the new one, or remove the metric from gate.metrics"
        )
        return Judged(name, then, now, Verdict.INCOMPARABLE, why)
    change = now - then
    gain = -change if lowest else change
    chance = isinstance(difference, Difference) and difference.low <= 0 <= difference.high
    equal = chance or abs(gain) <= bound.equal_within
    verdict = Verdict.EQUAL if equal else Verdict.BETTER if gain > 0 else Verdict.WORSE
    return Judged(name, then, now, verdict, _why(change, equal, bound, difference))


def _why(change: float, equal: bool, bound: Bound, difference: Difference | str | None) -> str:
    """The reason in words: by how much the metric has changed, and what was allowed."""
    noise = format_figure(bound.equal_within)
    said = f"with a change of {change:+.3g}" if equal else f"by {format_figure(abs(change))}"
    match difference:
        case Difference():
            within = [f"{noise} is allowed"] if bound.equal_within else []
            return f"{said} ({'; '.join((str(difference), *within))})"
        case str():
            return f"{said}; {noise} is noise; not compared picture by picture: {difference}"
        case None:
            return f"within {noise}" if equal else f"{said}; {noise} is noise"


def _out_of_bounds(bound: Bound, now: float) -> str:
    """How far the metric is out of its bounds, in words; empty where it keeps them."""
    if bound.at_least is not None and now < bound.at_least:
        return f"{format_figure(bound.at_least - now)} below the bound {format_figure(bound.at_least)}"
    if bound.at_most is not None and now > bound.at_most:
        return f"{format_figure(now - bound.at_most)} above the bound {format_figure(bound.at_most)}"
    return ""
