from pathlib import Path
from xml.etree import ElementTree

from PIL import Image

from stages.evaluate.report import Curve, Section, report_page


def test_names_cannot_break_the_page(tmp_path: Path) -> None:
    evil = '<script>alert("&")</script>'
    Image.new("RGB", (2, 2)).save(tmp_path / "sheet.png")
    section = Section(
        title=evil,
        figures={evil: 0.5, "recall_by_class": {evil: {"recall": 1.0}}, "map_by_class": {evil: 0.25}},
        curves=[Curve(title=evil, x="x", y="y", points=[(0.0, 0.0), (1.0, 1.0)])],
        sheets={evil: tmp_path / "sheet.png"},
    )
    page = report_page(evil, [section])
    assert "<script" not in page
    cells = [line for line in page.splitlines() if line.startswith("<tr><td>")]
    assert [ElementTree.fromstring(line)[1].text for line in cells] == ["0.5000", "1.0000", "0.2500"]
    assert ElementTree.fromstring(cells[0])[0].text == evil
    assert 'points="0.0,240.0 240.0,0.0"' in page
    assert page.count("data:image/png;base64,") == 1


def test_a_curve_of_one_point_is_seen() -> None:
    section = Section(
        title="t", figures={}, curves=[Curve(title="c", x="x", y="y", points=[(1.0, 0.5)])], sheets={}
    )
    assert '<circle cx="240.0" cy="120.0"' in report_page("t", [section])
