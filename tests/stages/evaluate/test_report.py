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


def test_the_page_holds_figures_then_classes_then_curves_then_sheets(tmp_path: Path) -> None:
    """Jinja2 fills it in: another version of it that changed a byte would show here."""
    (tmp_path / "sheet.png").write_bytes(b"png")
    figures = {
        "accuracy": 0.5,
        "size": {"parameters": 1234},
        "network": "R&D",
        "by_class": {"T-shirt/top": {"f1": 0.25, "pictures": 7}},
        "intervals": {"accuracy": {"low": 0.4, "high": 0.61}},
    }
    curve = Curve(title="c", x="recall", y="precision", points=[(0.0, 1.0), (0.5, 0.25)])
    section = Section(title="A", figures=figures, curves=[curve], sheets={"Seen": tmp_path / "sheet.png"})
    page = report_page("Title", [section, Section(title="B", figures={}, curves=[], sheets={})])
    assert page.startswith(
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Title</title>'
    )
    marks = "".join(
        f'<line class="grid" x1="0" y1="{240 - at}" x2="240" y2="{240 - at}"/>'
        f'<line class="grid" x1="{at}" y1="0" x2="{at}" y2="240"/>'
        f'<text x="-6" y="{244 - at}" text-anchor="end">{words}</text>'
        f'<text x="{at}" y="256" text-anchor="middle">{words}</text>'
        for at, words in ((0, "0"), (48, "0.2"), (96, "0.4"), (144, "0.6"), (192, "0.8"), (240, "1"))
    )
    assert page[page.index("<body>") :] == BODY.replace("{MARKS}", marks)


BODY = """\
<body>
<h1>Title</h1>
<h2>A</h2>
<div class="scroll"><table>
<tr><th></th><th>value</th><th>95 % interval</th></tr>
<tr><td>accuracy</td><td>0.5000</td><td>0.4000 to 0.6100</td></tr>
<tr><td>size.parameters</td><td>1,234</td><td></td></tr>
<tr><td>network</td><td>R&amp;D</td><td></td></tr>
</table></div>
<div class="scroll"><table>
<tr><th>class</th><th>f1</th><th>pictures</th></tr>
<tr><td>T-shirt/top</td><td>0.2500</td><td>7</td></tr>
</table></div>
<figure class="curve"><figcaption>c</figcaption>\
<svg viewBox="-48 -12 300 300" role="img" aria-label="precision by recall">{MARKS}\
<rect class="frame" width="240" height="240"/><text x="120" y="278" text-anchor="middle">recall</text>\
<text transform="translate(-36 120) rotate(-90)" text-anchor="middle">precision</text>\
<polyline points="0.0,0.0 120.0,180.0"/></svg></figure>
<figure><figcaption>Seen</figcaption><img alt="Seen" src="data:image/png;base64,cG5n"></figure>
<h2>B</h2>
<div class="scroll"><table>
<tr><th></th><th>value</th><th></th></tr>
</table></div>
</body></html>
"""


def test_a_curve_of_one_point_is_seen() -> None:
    section = Section(
        title="t", figures={}, curves=[Curve(title="c", x="x", y="y", points=[(1.0, 0.5)])], sheets={}
    )
    assert '<circle cx="240.0" cy="120.0"' in report_page("t", [section])


def test_a_diagonal_is_drawn_below_a_curve_that_asks_for_one() -> None:
    """From the lower left corner to the upper right one."""
    curve = {"x": "confidence", "y": "accuracy", "points": [(0.2, 0.1), (0.9, 0.8)]}
    curves = [Curve(title="with", **curve, diagonal=True), Curve(title="without", **curve)]
    page = report_page("t", [Section(title="s", figures={}, curves=curves, sheets={})])
    line = '<line class="diagonal" x1="0" y1="240" x2="240" y2="0"/><polyline'
    assert page.count('<line class="diagonal"') == page.count(line) == 1
    assert page.index("with") < page.index(line) < page.index("without")
