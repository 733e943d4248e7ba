import math
import xml.etree.ElementTree as ET
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from darkroom.repository.recorded.plots import Plot
from darkroom.results.charts import TABLE_CLASSES, chart_svg, confusion_of, number_of, round_marks


def plot(template: str = "linear", **series: list[tuple[object, object]]) -> Plot:
    lines = {name: tuple(points) for name, points in series.items()}
    return Plot(title="a plot", template=template, x="recall & more", y="precision", series=lines)


def test_a_chart_names_its_axes_and_runs_no_script() -> None:
    drawn = chart_svg(plot(one=[("0", "1"), ("0.5", "0.25")], other=[("0", "")]), "plot0")
    assert drawn
    root = ET.fromstring(drawn)
    texts = {element.text for element in root.iter() if element.tag.endswith("text")}
    assert {"recall & more", "precision", "0.2"} <= texts
    assert not any(element.tag.endswith("script") for element in root.iter())
    assert drawn == chart_svg(plot(one=[("0", "1"), ("0.5", "0.25")], other=[("0", "")]), "plot0")


def test_without_a_number_there_is_no_chart() -> None:
    assert chart_svg(plot(one=[("a", "b"), (1, math.nan), (2, "inf")]), "plot0") is None
    assert chart_svg(plot(one=[("a", 3.0)]), "plot0")  # a single point, whose place is a word


@example([5e-324])
@example([0.0, 5e-324])
@given(st.lists(st.floats(-1e12, 1e12).map(lambda value: float(f"{value:.6g}")), min_size=1))
def test_the_marks_of_an_axis_are_few_evenly_spaced_and_around_all_values(values: list[float]) -> None:
    marks = round_marks(values)
    assert 2 <= len(marks) <= 8
    step = marks[1] - marks[0]
    assert marks[0] <= min(values) + step * 1e-6
    assert marks[-1] >= max(values) - step * 1e-6
    assert [b - a for a, b in pairwise(marks)] == pytest.approx([step] * (len(marks) - 1))


def test_the_axis_of_a_single_share_ends_at_one_and_begins_at_zero_or_above() -> None:
    assert round_marks([1.0, 1.0])[-1] == 1.0
    assert round_marks([0.0])[0] == 0.0


def test_a_table_of_confusions_counts_by_true_class() -> None:
    found = confusion_of(
        plot("confusion", one=[("cat", "cat"), ("cat", "dog"), ("dog", "dog"), ("cat", "dog")])
    )
    assert found
    assert (found.classes, found.counts) == (("cat", "dog"), ((1, 2), (0, 1)))
    assert found.share(0, 1) == pytest.approx(2 / 3)
    assert confusion_of(plot("linear", one=[("cat", "dog")])) is None
    many = [(f"class {i}", f"class {i}") for i in range(TABLE_CLASSES + 1)]
    assert confusion_of(plot("confusion", one=many)) is None


def test_numbers_are_read_from_a_table_s_texts() -> None:
    read = [number_of(value) for value in ("0.5", 2, "", None, "nan", "-inf", [1])]
    assert read == [0.5, 2.0, None, None, None, None, None]
