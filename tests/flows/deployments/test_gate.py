from pathlib import Path
from typing import Any

import pytest

from flows.deployments.gate import Gate, Judgement, Verdict, judge, read
from flows.errors import UsageError

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
) -> tuple[Judgement, list[Verdict]]:
    def held(accuracy: float, loss: float) -> dict[str, Any]:
        return {"m.json": {"val": {"accuracy": accuracy}, "loss": loss}}

    found = judge(GATE, held(accuracy, loss), held(*then) if then else None)
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
    found = judge(GATE, {"m.json": {"loss": 1.0}}, None)
    assert [one.verdict for one in found.failed] == [Verdict.MISSING]


def test_the_gate_is_read_from_the_params(tmp_path: Path) -> None:
    assert read(tmp_path) is None
    params = tmp_path / "params.yaml"
    params.write_text("train: {lr: 1}\n")
    assert read(tmp_path) is None
    params.write_text("gate: {release: model, metrics: {'m.json:x': {at_least: 1}}}\n")
    gate = read(tmp_path)
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
        read(tmp_path)
    assert "\n" not in str(error.value)
