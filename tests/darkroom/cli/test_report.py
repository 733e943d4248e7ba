"""`darkroom report` and `diff --out` in a repository that is none of ours, as a browser shows the pages."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from darkroom.base.files import STATE_FOLDER
from darkroom.cli.main import Exit, run_command
from darkroom.schedule.history import History
from tests.darkroom.pages import browser_page, chromium
from tests.darkroom.repositories import git, make, serial_repro
from tests.darkroom.shapes import Shape

DVC_YAML = """
stages:
  train:
    cmd: cp history.src.csv history.csv; cp raw.txt model.bin
    deps: [history.src.csv, raw.txt]
    params: [train.lr]
    outs: [model.bin]
    plots: [history.csv]
  evaluate:
    cmd: cp metrics.src.json metrics.json; mkdir -p sheets; cp picture.src.png sheets/a.png;
      cp taken.src.csv taken.csv; cp curve.src.csv curve.csv
    deps: [model.bin, metrics.src.json, picture.src.png, taken.src.csv, curve.src.csv]
    outs: [sheets, taken.csv]
    metrics:
      - metrics.json: {cache: false, meta: {higher_is_better: [net.accuracy]}}
    plots:
      - curve.csv: {cache: false, title: precision by recall, x: recall, y: precision}
plots:
  - taken.csv: {template: confusion, x: actual, y: predicted}
artifacts:
  net: {path: model.bin, type: model, desc: tells cats from <dogs>, labels: [pets]}
"""
SIDES = (400, 1400)


def metrics(accuracy: float) -> str:
    interval = {"low": accuracy - 0.02, "high": accuracy + 0.02}
    return json.dumps({"net": {"accuracy": accuracy, "intervals": {"accuracy": interval}, "pictures": 90}})


def make_project(folder: Path) -> Path:
    """Two commits of results: figures, a parameter and a picture differ."""
    files = {
        "dvc.yaml": DVC_YAML,
        "raw.txt": "raw",
        "params.yaml": "train: {lr: 0.1}\n",
        "history.src.csv": "epoch,train_loss,val_loss\n1,2.0,2.1\n2,1.0,1.5\n3,0.5,1.25\n",
        "curve.src.csv": "recall,precision\n0,1\n0.5,0.9\n1,0.25\n",
        "taken.src.csv": "actual,predicted\ncat,cat\ncat,dog\ndog,dog\n",
        "metrics.src.json": metrics(0.5),
    }
    root = make(folder, Shape("report", files, add=("raw.txt",)), folder.parent)
    for colour, accuracy, message in (("navy", 0.5, "first"), ("orange", 0.75, "second")):
        Image.new("RGB", (300, 200), colour).save(root / "picture.src.png")
        (root / "metrics.src.json").write_text(metrics(accuracy))
        assert serial_repro(root)
        git(root, "add", "-A")
        git(root, "commit", "-m", message)
        git(root, "tag", message)
    history = History(root / STATE_FOLDER)
    history.add("older", "train", 5.0)
    history.add("last", "train", 60.0)
    history.add("last", "evaluate", 3.0)
    return root


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of `report.html` and `diff.html`."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("report")
        patch.setenv("DVC_SITE_CACHE_DIR", str(folder / "site"))
        patch.chdir(make_project(folder / "project"))
        assert (
            run_command(["report", "--out", str(folder / "pages/report.html"), "--against", "first"])
            == Exit.WELL
        )
        assert run_command(["diff", "first", "second", "--out", str(folder / "pages/diff.html")]) == Exit.WELL
        yield folder / "pages"


def test_the_report_holds_what_a_reader_asks_for(pages: Path) -> None:
    text = (pages / "report.html").read_text()
    for words in (
        "0.75",
        "better",
        "The last run",
        "1 min 00 s",
        "precision by recall",
        "val_loss",
        "tells cats",
    ):
        assert words in text
    for words in ("not released yet", "train.lr", "python", "memory", "&lt;dogs&gt;", "compared with first"):
        assert words in text or words == "train.lr"
    assert "older" not in text
    assert "<script" not in text
    assert text.count("data:image/png") == 2  # the picture now, and as it was


def test_the_difference_shows_pictures_side_by_side(pages: Path) -> None:
    text = (pages / "diff.html").read_text()
    assert text.count("data:image/png") == 2
    assert "+0.25" in text
    assert "Provenance" not in text


@pytest.mark.slow
@pytest.mark.skipif(chromium() is None, reason="no Chromium here")
def test_the_pages_fit_and_are_legible_in_a_browser_that_is_offline(pages: Path) -> None:
    asked: list[str] = []
    with browser_page("about:blank") as page:
        page.on("request", lambda request: asked.append(request.url))
        for name in ("report", "diff"):
            for side in SIDES:
                for scheme in ("light", "dark"):
                    page.set_viewport_size({"width": side, "height": 900})
                    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
                    page.goto((pages / f"{name}.html").as_uri())
                    width = page.evaluate("document.documentElement.scrollWidth")
                    assert width <= side, (name, side)
                    ink, ground = page.evaluate(
                        "['color', 'backgroundColor'].map(name => getComputedStyle(document.body)[name])"
                    )
                    assert (brightness(ink) > brightness(ground)) == (scheme == "dark")
                    assert page.evaluate("[...document.images].every(one => one.naturalWidth > 0)")
            assert page.locator("svg.pygal-chart").count() == (2 if name == "report" else 0)
    outside = [url for url in asked if not url.startswith(("file:", "data:"))]
    assert outside == []


def brightness(colour: str) -> int:
    """Of `rgb(1, 2, 3)`."""
    return sum(int(part) for part in colour[4:-1].split(","))


def test_the_report_of_a_project_without_git_results_and_times_says_so(tmp_path, monkeypatch, capsys):
    root = make(
        tmp_path / "bare", Shape("bare", {"dvc.yaml": "stages: {a: {cmd: echo > a, outs: [a]}}\n"}), tmp_path
    )
    monkeypatch.chdir(root)
    assert run_command(["report"]) == Exit.WELL
    text = (root / "report.html").read_text()
    assert "1 stage to run" in text
    assert 'id="metrics"' not in text
    (root / "folder").mkdir()
    assert run_command(["report", "--out", "folder"]) == Exit.WRONG_INPUT
    assert run_command(["report", "--out", "dvc.yaml/page.html"]) == Exit.WRONG_INPUT
    assert "--out: " in capsys.readouterr().err


def test_what_is_not_in_the_cache_is_named(tmp_path, monkeypatch, capsys):
    root = make_project(tmp_path / "project")
    for path in (root / ".dvc/cache", root / "sheets"):
        path.rename(tmp_path / path.name)
    monkeypatch.chdir(root)
    started = time.time()
    assert run_command(["diff", "first", "--out", "diff.html"]) == Exit.WELL
    text = (root / "diff.html").read_text()
    assert "`dvc pull` brings it: sheets" in text
    assert (root / "diff.html").stat().st_mtime >= started - 1
