"""Anyone's pictures, by params alone: from a folder to models, figures, sheets and fused pictures."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from stages.classifier.network import load_classifier
from stages.core.packed import SPLITS, load_classification, load_detection
from stages.detector.network import load_detector
from stages.generator.network import load_generator
from tests.conftest import run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

COLOURS = {"oak leaf": (30, 200, 60), "red fox": (210, 80, 30), "tern": (60, 90, 230)}
CLASSES = list(COLOURS)
SHAPE = [32, 32, 3]


@pytest.fixture
def done(clone: Callable[[str], Path]) -> Path:
    """A project after one run on a user's folder, for which nothing but params.yaml was changed."""
    folder = clone("own")
    write_pictures(folder / "data/raw/wildlife", each=20)
    run(folder, "dvc", "add", "data/raw/wildlife")
    run(folder, "dvc", "remove", "data/raw/fashion-mnist.dvc")
    change_params(folder / "params.yaml")
    run(folder, "darkroom", "run")
    return folder


def write_pictures(folder: Path, *, each: int) -> None:
    """A spot of its class's colour on a dark ground; every picture of another odd size, JPEG or PNG."""
    draw = np.random.default_rng(0)
    for name, colour in COLOURS.items():
        (folder / name).mkdir(parents=True)
        for number in range(each):
            height, width = 2 * draw.integers(10, 50, 2) + 1
            pixels = draw.integers(0, 20, (height, width, 3))
            top, left = draw.integers(0, [height // 3, width // 3])
            pixels[top : top + height // 2, left : left + width // 2] += colour
            suffix = "png" if number % 3 else "jpg"
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name / f"{name} {number}.{suffix}")


def change_params(path: Path) -> None:
    """As docs/own_pictures.md says."""
    params: dict[str, Any] = yaml.safe_load(path.read_text())
    params["raw"] = "data/raw/wildlife"
    params["preprocess"]["classification"] = {
        "format": "image-folder",
        "folder": ".",
        "classes": None,
        "shape": SHAPE[:2],
        "channels": 3,
        "fit": "stretch",
        "ground": 0,
        "split": {"val": 0.15, "test": 0.2, "group_pattern": None, "near_duplicates": None},
    }
    params["preprocess"]["detection"] |= {"side": 112, "mask_threshold": 40}
    params["train-classifier"] |= {"epochs": 6, "batch_size": 8}
    params["train-detector"]["network"]["anchor_sizes"] = {"fitted": 3}
    params["train-gan"]["augment"] = ["brightness", "translation", "cutout"]
    params["fuse"] |= {"pictures": 200, "methods": ["average", "wavelet", "features"]}  # there are twelve
    path.write_text(yaml.safe_dump(params, sort_keys=False))


def test_a_folder_of_colour_pictures_goes_through_all_stages(done: Path) -> None:
    changed = run(done, "git", "diff", "--name-only").stdout.split()
    assert [name for name in changed if not name.startswith(("data/", "dvc.lock"))] == ["params.yaml"]
    check_data(done / "data/prepared")
    check_models(done / "data/models")
    check_figures(done / "data/metrics", done / "data/predictions")
    check_pictures(done / "data")
    assert "up to date" in run(done, "dvc", "status").stdout


def check_data(prepared: Path) -> None:
    """Three classes and colour in every split, and scenes of them."""
    for split in SPLITS:
        part = load_classification(prepared / "classification", split)
        scenes = load_detection(prepared / "detection", split)
        assert part.classes == scenes.classes == CLASSES
        assert list(part.images.shape[1:]) == SHAPE
        assert scenes.images.shape[1:] == (112, 112, 3)
        assert set(part.labels) == set(np.concatenate(scenes.labels)) == {0, 1, 2}
        for image, label in zip(part.images, part.labels, strict=True):
            colour = COLOURS[CLASSES[label]]
            assert image.mean(axis=(0, 1)).argmax() == np.argmax(colour)


def check_models(models: Path) -> None:
    loaders = {"classifier": load_classifier, "detector": load_detector, "generator": load_generator}
    for kind, load in loaders.items():
        assert load(models / f"{kind}.safetensors").config["classes"] == CLASSES


def check_figures(metrics: Path, predictions: Path) -> None:
    """Of all parts, by class; the classifier has learnt what colours tell."""
    evaluated = json.loads((metrics / "evaluate.json").read_text())
    for part in ("classifier", "detector", "generator"):
        assert list(evaluated[part]["by_class"]) == CLASSES
    assert evaluated["classifier"]["accuracy"] > 0.6
    assert evaluated["generator"]["by_class"]["tern"]["asked"] == 2  # the floor has the other two
    table = pd.read_csv(predictions / "classifier.csv")
    assert sorted(table["actual"]) == sorted(4 * CLASSES)
    fused = json.loads((metrics / "fuse.json").read_text())
    assert {"focus", "exposure", "generated", "scenes", "composites"} == set(fused)
    assert fused["focus"]["truth"]["accuracy"] == evaluated["classifier"]["accuracy"]


def check_pictures(data: Path) -> None:
    """Sheets, fused pictures and the page are there, in colour."""
    for name in (
        "plots/preprocess",
        "plots/training/train-gan/samples",
        "plots/evaluate/grad-cam",
        "plots/fuse/focus",
    ):
        with Image.open(data / f"{name}.png") as sheet:
            pixels = np.asarray(sheet.convert("RGB"), dtype=int)
        assert np.ptp(pixels, axis=2).max() > 20, f"{name} is grey"
    assert list(np.load(data / "fused/focus/wavelet.npy").shape) == [12, *SHAPE]
    page = (data / "reports/evaluate.html").read_text()
    assert (
        page.count('src="data:image/png;base64,') == len(list((data / "plots/evaluate").glob("*.png"))) == 10
    )
    assert all(name in page for name in CLASSES)
