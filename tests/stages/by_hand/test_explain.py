"""`darkroom explain`, as a user would try it: heat maps of classes and of boxes."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from stages.by_hand.predict import main
from tests.stages.small_models import LABELS, params_for_models, save_models


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with trained models, and two pictures."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data/models").mkdir(parents=True)
    save_models(tmp_path / "data/models")
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params_for_models()))
    draw = np.random.default_rng(0)
    for name in ("photos/b.png", "photos/deep/a.jpg"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 256, (30, 50, 3), dtype=np.uint8)).save(path)
    return tmp_path


@pytest.mark.slow
def test_a_heat_map_stands_beside_each_picture(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "photos/b.png").write_bytes(b"no picture")
    assert main(["explain", "photos", "--out", "why", "--classes", "9"]) == 1
    said, how = capsys.readouterr()
    assert len(said.splitlines()) == 1
    assert "b.png: cannot be read" in how
    with Image.open(folder / "why/photos/deep/a.png") as sheet:
        shown = np.asarray(sheet)
    cell = (shown.shape[1] - 4) // (1 + len(LABELS))
    assert cell >= 128
    assert len(np.unique(shown.reshape(-1, 3), axis=0)) > 100


def test_a_heat_map_stands_beside_each_box_the_same_each_time(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["explain", "photos", "--detector", "--threshold", "0.01", "--masks", "20", "--boxes", "2"]
    for out in ("why", "again"):
        assert main([*words, "--out", out]) == 0
    said, how = capsys.readouterr()
    first, second = said.splitlines()[:2]
    assert first.startswith("photos/b.png: ")
    assert first.endswith(" -> why/photos/b.png")
    assert len(first.split(", ")) == 2
    assert second.endswith(" -> why/photos/deep/a.png")
    assert "2 drawn in why" in how
    for name in ("photos/b.png", "photos/deep/a.png"):
        assert (folder / "why" / name).read_bytes() == (folder / "again" / name).read_bytes()
    with Image.open(folder / "why/photos/b.png") as sheet:
        assert sheet.width > 3 * 256 * 0.75
        assert len(sheet.getcolors(1 << 24) or []) > 100
    assert main([*words, "--out", "other", "--seed", "5"]) == 0
    assert (folder / "other/photos/b.png").read_bytes() != (folder / "why/photos/b.png").read_bytes()


def test_what_is_not_found_needs_no_heat_map(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "photos/b.png", "--detector", "--threshold", "1", "--out", "why"]) == 0
    assert capsys.readouterr().out == "photos/b.png: nothing found -> why/photos/b.png\n"
    with Image.open(folder / "why/photos/b.png") as sheet:
        assert sheet.width < 2 * 256


def test_unreadable_pictures_and_wrong_models_are_a_line_each(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "photos/b.png").write_bytes(b"no picture")
    assert main(["explain", "photos/b.png", "--detector"]) == 1
    assert capsys.readouterr().err.startswith("photos/b.png: cannot be read: ")
    (folder / "data/models/detector.safetensors").unlink()
    assert main(["explain", "photos", "--detector"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: data/models/detector.safetensors: no such model")
