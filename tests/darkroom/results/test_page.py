"""The page of `darkroom report`, from what is recorded."""

import io
import re

import pytest
from PIL import Image

from darkroom.repository.recorded.plots import Plot
from darkroom.results.comparison import compare
from darkroom.results.page import Report, page_of, timeline_of
from darkroom.results.sheets import Pair
from darkroom.schedule.history import StageTime
from tests.darkroom.results.test_comparison import recorded


@pytest.mark.parametrize(("seconds", "marks"), [(0.1, 2), (400.0, 5)])
def test_no_time_stands_twice_on_the_axis_of_a_run(seconds: float, marks: int) -> None:
    drawn = timeline_of([StageTime("run", "train", 1.0e9, seconds)])
    assert drawn
    words = [time for _, time in drawn.marks]
    assert len(words) == len({*words}) == marks


def page(then: dict[str, float]) -> str:
    png = io.BytesIO()
    Image.new("RGB", (40, 20), "teal").save(png, "PNG")
    times = [StageTime("run", "preprocess", 1.0e9, 70.0), StageTime("run", "train", 1.0e9 + 70, 300.0)]
    plot = Plot(title="accuracy", template="linear", x="epoch", y="top1", series={"": (("0", 1.0),)})
    return page_of(
        Report(
            title="A report",
            comparison=compare(recorded(then, data="b"), recorded({"accuracy": 0.5}), None),
            times=times,
            plots=[plot],
            pictures=[Pair(path="data/plots/evaluate/worst-losses.png", then=None, now=png.getvalue())],
        )
    )


def test_columns_of_earlier_figures_stand_where_there_are_any() -> None:
    first, later = page({}), page({"accuracy": 0.4})
    assert ">change</th>" not in first
    assert ">new</td>" not in first
    assert ">change</th>" in later


def test_a_picture_has_a_name_and_stands_before_what_differs_in_files() -> None:
    text = page({})
    assert "<strong>Worst losses</strong>" in text
    ids = re.findall(r'<h2 id="(\w+)"', text)
    assert ids.index("pictures") < ids.index("differences")
