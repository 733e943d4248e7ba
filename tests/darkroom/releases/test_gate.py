from pathlib import Path
from typing import Any

import pytest

from darkroom.base.errors import UsageError
from darkroom.base.meta import MetricMeta
from darkroom.releases.gate import (
    Gate,
    GateJudgement,
    Judged,
    Verdict,
    judge_metrics,
    metric_value,
    read_gate,
)
from darkroom.releases.paired import Difference

GATE = Gate.model_validate(
    {
        "release": "model",
        "metrics": {
            "m.json:val.accuracy": {"equal_within": 0.01, "at_least": 0.8},
            "m.json:loss": {"best": "lowest"},
        },
    }
)


def judged(
    accuracy: float, loss: float, then: tuple[float, float] | None = (0.9, 1.0)
) -> tuple[GateJudgement, list[Verdict]]:
    def held(accuracy: float, loss: float) -> dict[str, Any]:
        return {"m.json": {"val": {"accuracy": accuracy}, "loss": loss}}

    found = judge_metrics(GATE, held(accuracy, loss), held(*then) if then else None)
    return found, [one.verdict for one in found.metrics]


def test_better_equal_and_worse_by_each_metric() -> None:
    assert judged(0.92, 0.9)[1] == [Verdict.BETTER, Verdict.BETTER]
    assert judged(0.905, 1.0)[1] == [Verdict.EQUAL, Verdict.EQUAL]
    assert judged(0.88, 1.1)[1] == [Verdict.WORSE, Verdict.WORSE]


def test_what_is_better_in_one_and_worse_in_none_is_promoted() -> None:
    assert judged(0.92, 1.0)[0].promotes
    assert judged(0.895, 0.9)[0].promotes  # within what is noise
    assert not judged(0.9, 1.0)[0].promotes
    assert not judged(0.9, 1.0)[0].failed
    worse, _ = judged(0.95, 1.1)
    assert not worse.promotes
    assert [one.why for one in worse.failed] == ["by 0.1; 0 is noise"]


def test_the_first_release_has_to_keep_the_bounds_alone() -> None:
    assert judged(0.81, 5.0, then=None)[0].promotes
    low, verdicts = judged(0.75, 5.0, then=None)
    assert not low.promotes
    assert verdicts == [Verdict.OUT_OF_BOUNDS, Verdict.FIRST]
    assert low.failed[0].why == "0.05 below the bound 0.8"


def test_a_bound_holds_however_bad_the_released_model_is() -> None:
    assert judged(0.79, 0.9, then=(0.5, 1.0))[1] == [Verdict.OUT_OF_BOUNDS, Verdict.BETTER]


def test_a_metric_that_is_missing_fails() -> None:
    found = judge_metrics(GATE, {"m.json": {"loss": 1.0}}, None)
    assert [one.verdict for one in found.failed] == [Verdict.MISSING]


def test_dvc_yaml_says_which_way_is_better_unless_the_gate_does() -> None:
    stated = {"m.json": MetricMeta(lower_is_better=("brier", "kappa"), absent_value=-1)}
    bounds: dict[str, Any] = {"m.json:brier": {}, "m.json:kappa": {"best": "highest"}, "m.json:auroc": {}}
    gate = Gate.model_validate({"release": "model", "metrics": bounds})
    then = {"m.json": {"brier": 0.3, "kappa": 0.6, "auroc": -1}}
    now = {"m.json": {"brier": 0.2, "kappa": 0.7, "auroc": 0.9}}
    better = [one.verdict for one in judge_metrics(gate, now, then, stated=stated).metrics]
    assert better == [Verdict.BETTER, Verdict.BETTER, Verdict.FIRST]
    worse = [one.verdict for one in judge_metrics(gate, then, now, stated=stated).metrics]
    assert worse == [Verdict.WORSE, Verdict.WORSE, Verdict.MISSING]


def test_figures_that_another_model_measured_are_not_compared() -> None:
    stated = {"m.json": MetricMeta(measured_with={"gan.*": "gan.judge", "gan.own": "gan.kind"})}
    gate = Gate.model_validate(
        {"release": "model", "metrics": {"m.json:gan.recall": {}, "m.json:gan.own": {}}}
    )
    then = {"m.json": {"gan": {"recall": 0.5, "own": 0.5, "judge": "aa", "kind": "cnn"}}}
    now = {"m.json": {"gan": {"recall": 0.9, "own": 0.9, "judge": "bb", "kind": "cnn"}}}
    judged = judge_metrics(gate, now, then, stated=stated)
    assert [one.verdict for one in judged.metrics] == [Verdict.INCOMPARABLE, Verdict.BETTER]
    assert not judged.promotes
    assert judged.failed[0].why.startswith(
        "with the released model's: gan.judge, by which both were measured, is another"
    )
    assert judge_metrics(gate, now, None, stated=stated).promotes  # there is nothing to compare with
    now["m.json"]["gan"]["judge"] = "aa"
    assert [one.verdict for one in judge_metrics(gate, now, then, stated=stated).metrics] == [
        Verdict.BETTER
    ] * 2


def test_the_gate_is_read_from_the_params(tmp_path: Path) -> None:
    assert read_gate(tmp_path) is None
    params = tmp_path / "params.yaml"
    params.write_text("train: {lr: 1}\n")
    assert read_gate(tmp_path) is None
    params.write_text("gate: {release: model, metrics: {'m.json:x': {at_least: 1}}}\n")
    gate = read_gate(tmp_path)
    assert gate is not None
    assert gate.metrics["m.json:x"].at_least == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{release: model}", r"params\.yaml: gate\.metrics: Field required"),
        ("{release: model, metrics: {'m:x': {at_lest: 1}}}", r"gate\.metrics\.m:x\.at_lest"),
        ("{release: A model, metrics: {'m:x': {}}}", r"gate\.release: String should match"),
        ("{release: model, metrics: {x: {}}}", "named as FILE:NAME"),
    ],
)
def test_a_wrong_gate_is_one_line(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "params.yaml").write_text(f"gate: {text}\n")
    with pytest.raises(UsageError, match=said) as error:
        read_gate(tmp_path)
    assert "\n" not in str(error.value)


def one(bound: dict[str, Any], then: float | None, now: float, by: Difference | str | None = None) -> Judged:
    """A metric by one bound."""
    gate = Gate.model_validate({"release": "model", "metrics": {"m.json:x": bound}})
    held = None if then is None else {"m.json": {"x": then}}
    (judged,) = judge_metrics(gate, {"m.json": {"x": now}}, held, {"m.json:x": by} if by else {}).metrics
    return judged


@pytest.mark.parametrize(
    ("bound", "now", "verdict", "why"),
    [
        ({"at_least": 0.5}, 0.5, Verdict.FIRST, ""),
        ({"at_least": 0.5}, 0.25, Verdict.OUT_OF_BOUNDS, "0.25 below the bound 0.5"),
        ({"at_most": 0.5}, 0.5, Verdict.FIRST, ""),
        ({"at_most": 0.5}, 0.75, Verdict.OUT_OF_BOUNDS, "0.25 above the bound 0.5"),
    ],
)
def test_a_bound_is_within_itself(bound: dict[str, Any], now: float, verdict: Verdict, why: str) -> None:
    judged = one(bound, None, now)
    assert (judged.metric, judged.then, judged.now) == ("m.json:x", None, now)
    assert (judged.verdict, judged.why) == (verdict, why)


def test_what_is_out_of_bounds_is_told_beside_the_released_figure() -> None:
    assert one({"at_least": 0.5}, 0.75, 0.25) == Judged(
        "m.json:x", 0.75, 0.25, Verdict.OUT_OF_BOUNDS, "0.25 below the bound 0.5"
    )


@pytest.mark.parametrize(
    ("bound", "then", "now", "verdict", "why"),
    [
        ({}, 1.0, 1.0, Verdict.EQUAL, "within 0"),
        ({"equal_within": 0.5}, 1.0, 1.5, Verdict.EQUAL, "within 0.5"),
        ({"equal_within": 0.5}, 1.0, 0.5, Verdict.EQUAL, "within 0.5"),
        ({"equal_within": 0.25}, 1.0, 1.5, Verdict.BETTER, "by 0.5; 0.25 is noise"),
        ({"equal_within": 0.25}, 1.0, 0.5, Verdict.WORSE, "by 0.5; 0.25 is noise"),
        ({"best": "lowest"}, 1.0, 0.5, Verdict.BETTER, "by 0.5; 0 is noise"),
        ({"best": "lowest"}, 1.0, 1.5, Verdict.WORSE, "by 0.5; 0 is noise"),
    ],
)
def test_what_is_more_than_noise_counts(
    bound: dict[str, Any], then: float, now: float, verdict: Verdict, why: str
) -> None:
    judged = one(bound, then, now)
    assert (judged.metric, judged.then, judged.now) == ("m.json:x", then, now)
    assert (judged.verdict, judged.why) == (verdict, why)


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.125, 0.75, Verdict.BETTER),
        (0.0, 0.75, Verdict.EQUAL),
        (-0.125, 0.75, Verdict.EQUAL),
        (-0.125, 0.0, Verdict.EQUAL),
    ],
)
def test_an_interval_that_holds_0_is_no_difference(low: float, high: float, verdict: Verdict) -> None:
    by = Difference(0.5, low, high, "8 pictures", 0.95)
    judged = one({}, 1.0, 1.5, by)
    assert judged.verdict is verdict
    said = "with a change of +0.5" if verdict is Verdict.EQUAL else "by 0.5"
    assert judged.why == f"{said} ({by})"
    allowed = one({"equal_within": 0.25}, 1.0, 1.5, by)
    assert allowed.why == f"{said} ({by}; 0.25 is allowed)"
    assert one({"equal_within": 0.5}, 1.0, 1.5, by).verdict is Verdict.EQUAL


def test_why_pictures_were_not_compared_is_said() -> None:
    assert one({}, 1.0, 1.5, "other pictures").why == (
        "by 0.5; 0 is noise; not compared picture by picture: other pictures"
    )


def test_the_metrics_that_name_their_pictures() -> None:
    pictures = {"results": "r.csv", "mean": "loss", "of": "data"}
    gate = Gate.model_validate(
        {"release": "model", "metrics": {"m:x": {}, "m:y": {"pictures": pictures}, "m:z": {}}}
    )
    assert [(name, held.results) for name, held in gate.by_pictures()] == [("m:y", "r.csv")]


def test_a_project_without_params_or_with_a_list_has_no_gate(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("[gate]\n")
    assert read_gate(tmp_path) is None
    (tmp_path / "params.yaml").write_text("gate: {release: mödel, metrics: {'m:x': {}}}\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"^params\.yaml: gate\.release: "):
        read_gate(tmp_path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"gate: {a: [}\n", "params.yaml: line 1: "),
        (b"\tgate: 1\n", "params.yaml: line 1: "),
        (b"gate: \xff\n", "not UTF-8 at byte 6"),
        (b"gate: 2026-13-45\n", "is no YAML"),
        (b"{" * 5000, "params.yaml: "),
        (b"gate: &g [*g]\n", "gate: "),
        (b"gate: !!python/object:os.system {}\n", "params.yaml: line 1: "),
    ],
)
def test_broken_params_are_one_line(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "params.yaml").write_bytes(content)
    with pytest.raises(UsageError) as error:
        read_gate(tmp_path)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_what_cannot_be_compared_is_told_with_both_figures_and_the_reason() -> None:
    stated = {"m.json": MetricMeta(measured_with={"x": "judge"})}
    gate = Gate.model_validate({"release": "model", "metrics": {"m.json:x": {}, "m.json:y": {}}})
    then = {"m.json": {"x": 0.5, "y": 0.25, "judge": "aa"}}
    now = {"m.json": {"x": 0.75, "judge": "bb"}}
    assert judge_metrics(gate, now, then, stated=stated).metrics == (
        Judged(
            "m.json:x",
            0.5,
            0.75,
            Verdict.INCOMPARABLE,
            "with the released model's: judge, by which both were measured, is another; evaluate the released"
            " model by the new one, or remove the metric from gate.metrics",
        ),
        Judged(
            "m.json:y",
            0.25,
            None,
            Verdict.MISSING,
            "the new model has no such metric; if there is no such model, remove it from gate.metrics",
        ),
    )


def test_a_bound_comes_before_the_instrument_and_a_figure_is_read_as_dvc_yaml_states_it() -> None:
    stated = {"m.json": MetricMeta(measured_with={"x": "judge"}, absent_value=-1)}
    gate = Gate.model_validate({"release": "model", "metrics": {"m.json:x": {"at_most": 0.5}}})
    then, now = {"m.json": {"x": 0.5, "judge": "aa"}}, {"m.json": {"x": 0.75, "judge": "bb"}}
    assert judge_metrics(gate, now, then, stated=stated).metrics[0].verdict is Verdict.OUT_OF_BOUNDS
    absent = {"m.json": {"x": -1}}
    assert metric_value(absent, "m.json:x", stated) is None
    assert metric_value(absent, "m.json:x") == -1


def test_what_was_compared_picture_by_picture_counts_for_its_own_metric_alone() -> None:
    gate = Gate.model_validate({"release": "model", "metrics": {"m.json:x": {}, "m.json:y": {}}})
    then, now = {"m.json": {"x": 1.0, "y": 1.0}}, {"m.json": {"x": 1.5, "y": 1.5}}
    by = {"m.json:y": Difference(0.5, -0.5, 1.5, "8 pictures", 0.95)}
    verdicts = [one.verdict for one in judge_metrics(gate, now, then, by).metrics]
    assert verdicts == [Verdict.BETTER, Verdict.EQUAL]
