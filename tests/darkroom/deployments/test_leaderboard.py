from typing import Any

import pytest

from darkroom.base.errors import UsageError
from darkroom.base.meta import MetricMeta
from darkroom.deployments.leaderboard import leaderboard_rows, rank_trials
from darkroom.deployments.search_space import Trial
from darkroom.runs.metrics import Metric
from darkroom.show.terminal import table_text

TRIALS = [Trial(name, (f"lr={name}",)) for name in ("a", "b", "c")]
METRICS: dict[str, dict[str, Any]] = {
    "a": {"m.json": {"val": {"loss": 2.0}}},
    "c": {"m.json": {"val": {"loss": 1.0}}},
}


def names(by: Metric) -> list[str]:
    return [line.trial.name for line in rank_trials(TRIALS, METRICS, by)]


def test_the_best_stands_first_and_what_has_no_figure_last() -> None:
    assert names(Metric("m.json", "val.loss", lowest=True)) == ["c", "a", "b"]
    assert names(Metric("m.json", "val.loss")) == ["a", "c", "b"]


@pytest.mark.parametrize("lowest", [True, False])
def test_a_training_that_diverged_is_never_the_best(lowest: bool) -> None:
    scores: dict[str, Any] = {"a": float("nan"), "b": 0.9, "c": 0.95}
    metrics = {name: {"m.json": {"score": score}} for name, score in scores.items()}
    ranked = rank_trials(TRIALS, metrics, Metric("m.json", "score", lowest=lowest))
    assert [line.trial.name for line in ranked] == (["b", "c", "a"] if lowest else ["c", "b", "a"])
    assert ranked[-1].value is None


def test_the_best_is_what_dvc_yaml_states() -> None:
    stated = {"m.json": MetricMeta(lower_is_better=("val.*",), absent_value=2)}
    assert names(Metric.named("m.json:val.loss", stated=stated)) == ["c", "a", "b"]
    assert names(Metric.named("m.json:val.loss", stated={"other.json": stated["m.json"]})) == ["a", "c", "b"]
    by = Metric.named("m.json:val.loss", stated=stated)
    assert [line.value for line in rank_trials(TRIALS, METRICS, by)] == [1.0, None, None]  # 2 stands for none


def test_the_table() -> None:
    by = Metric.named("m.json:val.loss", lowest=True)
    rows = leaderboard_rows(rank_trials(TRIALS, METRICS, by), by)
    assert table_text(list(rows[0]), [list(row.values()) for row in rows]).splitlines() == [
        "trial  val.loss  lr",
        "c      1         c",
        "a      2         a",
        "b                b",
    ]


def test_a_metric_that_is_none_is_refused_with_those_that_are() -> None:
    with pytest.raises(UsageError, match=r"there are m\.json:val\.loss"):
        rank_trials(TRIALS, METRICS, Metric("m.json", "val.accuracy"))
    assert [line.value for line in rank_trials(TRIALS, {}, Metric("m.json", "x"))] == [None] * 3
    with pytest.raises(UsageError, match="FILE:NAME"):
        Metric.named("loss", lowest=False)
