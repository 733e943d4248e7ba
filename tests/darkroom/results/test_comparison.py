import math
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darkroom.base.meta import MetricMeta
from darkroom.releases.gate import Bound, Gate
from darkroom.releases.paired import Difference
from darkroom.repository.recorded.revisions import FileKind, MetricsFile, Recorded, RecordedFile
from darkroom.results.comparison import (
    SHOWN_A_GROUP,
    Comparison,
    Figure,
    Standing,
    compare,
    main_figures,
)
from darkroom.results.intervals import Interval, interval_of, interval_of_change

META = MetricMeta(("*accuracy", "map*"), ("*loss",), -1.0, {"distance": "features"})


def recorded(
    held: Mapping[str, Any],
    params: Mapping[str, Any] = {},
    *,
    data: str = "a",
    stage: str = "train",
    files: Mapping[str, RecordedFile] = {},
) -> Recorded:
    return Recorded(
        name="r",
        commit=None,
        subject="",
        when=None,
        metrics={"m.json": MetricsFile(stage, META, held, frozenset({"raw"}))},
        params={"params.yaml": params},
        files={"raw": RecordedFile(FileKind.DATA, data, 10, None), **files},
        unreadable=(),
    )


def standings(one: Comparison) -> dict[str, Standing]:
    return {figure.name: figure.standing for figure in one.figures}


def test_a_figure_is_better_by_its_direction_and_only_as_far_as_the_two_can_be_compared() -> None:
    then = {
        "accuracy": 0.5,
        "loss": 1.0,
        "n": 3,
        "old_loss": 1,
        "map_large": -1.0,
        "features": "x",
        "distance": 2,
    }
    now = {
        "accuracy": 0.6,
        "loss": 1.5,
        "n": 4,
        "new_loss": 1,
        "map_large": 0.5,
        "features": "y",
        "distance": 1,
    }
    assert standings(compare(recorded(then), recorded(now), None)) == {
        "accuracy": Standing.BETTER,
        "loss": Standing.WORSE,
        "n": Standing.CHANGED,
        "old_loss": Standing.GONE,
        "new_loss": Standing.NEW,
        "map_large": Standing.NEW,  # -1: there was none
        "features": Standing.CHANGED,
        "distance": Standing.OTHER_INSTRUMENT,
    }


def test_figures_on_other_data_are_neither_better_nor_worse() -> None:
    found = compare(recorded({"accuracy": 0.5}), recorded({"accuracy": 0.6}, data="b"), None)
    assert standings(found) == {"accuracy": Standing.OTHER_DATA}
    assert [one.path for one in found.files] == ["raw"]


def test_the_gate_knows_what_is_noise_and_compares_picture_by_picture() -> None:
    gate = Gate(release="a-model", metrics={"m.json:accuracy": Bound(equal_within=0.01), "m.json:n": Bound()})
    then, now = recorded({"accuracy": 0.5, "n": 1}), recorded({"accuracy": 0.509, "n": 2})
    assert standings(compare(then, now, gate)) == {"accuracy": Standing.UNCLEAR, "n": Standing.BETTER}
    paired = {"m.json:n": Difference(1.0, -0.5, 2.5, "9 pictures", 0.95)}
    unclear = compare(then, now, gate, paired)
    assert standings(unclear)["n"] is Standing.UNCLEAR
    assert unclear.figures[1].change == Interval(-0.5, 2.5)
    on_other_data = compare(
        then, recorded({"n": 2}, data="b"), gate, {"m.json:n": Difference(1, 0.5, 1.5, "", 0.95)}
    )
    assert standings(on_other_data)["n"] is Standing.BETTER  # the test pictures are the same


def test_a_difference_within_the_intervals_is_no_clear_change() -> None:
    def held(value: float) -> dict[str, Any]:
        return {"accuracy": value, "intervals": {"accuracy": {"low": value - 0.1, "high": value + 0.1}}}

    for by, standing in ((0.05, Standing.UNCLEAR), (0.3, Standing.BETTER), (-0.3, Standing.WORSE)):
        found = compare(recorded(held(0.5)), recorded(held(0.5 + by)), None)
        assert standings(found) == {"accuracy": standing}
        assert found.figures[0].interval == pytest.approx((0.4 + by, 0.6 + by))


def test_another_processor_s_last_digits_are_no_clear_change_and_are_not_shown() -> None:
    found = compare(recorded({"accuracy": 0.5}), recorded({"accuracy": 0.5 + 1e-9}), None)
    assert standings(found) == {"accuracy": Standing.UNCLEAR}
    assert list(main_figures(found.figures, changed=True)) == []


def test_what_matters_most_comes_first_and_a_group_shows_few() -> None:
    held = (
        {f"n{i}": i for i in range(9)} | {"accuracy": 1.0} | {"by_class": {f"c{i}_loss": 1 for i in range(9)}}
    )
    gate = Gate(release="a-model", metrics={"m.json:n8": Bound()})
    found = compare(recorded(held), recorded(held), gate)
    assert [figure.name for figure in found.figures][:3] == ["n8", "accuracy", "n0"]
    shown = [figure.name for figure in main_figures(found.figures)]
    assert shown == ["n8", "accuracy", "n0", "n1", "n2", "n3", *(f"by_class.c{i}_loss" for i in range(6))]
    assert len(shown) == 2 * SHOWN_A_GROUP


def test_parameters_and_files_that_differ_are_told_with_what_they_were() -> None:
    then = recorded({}, {"lr": 0.1, "gone": {"a": None}, "sizes": [1, 2]})
    code = {"train.py": RecordedFile(FileKind.READ, "x", 1, None)}
    now = recorded({}, {"lr": 0.2, "new": True, "sizes": [1, 2]}, files=code)
    found = compare(then, now, None)
    assert [(one.name, one.then, one.now) for one in found.params] == [
        ("lr", 0.1, 0.2),
        ("new", None, True),
        ("gone.a", None, None),
    ]
    assert [(one.path, one.then, one.now) for one in found.files] == [("train.py", None, code["train.py"])]
    assert found.to_json()["files"] == [{"path": "train.py", "kind": "read", "then": None, "now": "x"}]


def test_an_interval_stands_under_the_top_or_beside_its_figure() -> None:
    flat = {
        "intervals.a.b.low": 1,
        "intervals.a.b.high": 2,
        "c.intervals.d.low": 3.0,
        "c.intervals.d.high": 4,
    }
    assert interval_of(flat, "a.b") == (1, 2)
    assert interval_of(flat, "c.d") == (3, 4)
    assert interval_of(flat, "d") is None


figures = st.floats(-1e3, 1e3)
reaches = st.floats(0, 1e2)


@given(figures, reaches, reaches, figures, reaches, reaches)
def test_the_interval_of_a_change_holds_it_and_turns_around_with_it(
    then: float, below: float, above: float, now: float, less: float, more: float
) -> None:
    one, other = Interval(then - below, then + above), Interval(now - less, now + more)
    there, back = interval_of_change(then, one, now, other), interval_of_change(now, other, then, one)
    assert there
    assert back
    assert there.low - 1e-6 <= now - then <= there.high + 1e-6
    assert math.isclose(there.low, -back.high, abs_tol=1e-6)
    assert math.isclose(there.high, -back.low, abs_tol=1e-6)


def test_a_figure_without_a_number_has_no_interval_of_change() -> None:
    assert interval_of_change("a", Interval(0, 1), 1, Interval(0, 1)) is None
    assert interval_of_change(1, None, 1, Interval(0, 1)) is None


def test_a_figure_is_named_within_its_group() -> None:
    (figure,) = compare(recorded({"a": {"b": {"c": 1}}}), recorded({}), None).figures
    assert isinstance(figure, Figure)
    assert (figure.group, figure.short_name) == (("train", "a"), "b.c")
