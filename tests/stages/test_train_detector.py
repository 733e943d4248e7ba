"""Training the detector through its public doors, on solid squares and bars."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stages.compute import prepare
from stages.datasets import load_detection
from stages.errors import DataError, ParamsError, TrainingError
from stages.models.detector import load_detector
from stages.params import ComputeParams
from stages.train_detector import evaluate, main
from tests.stages.param_files import write_params

NETWORK: dict[str, Any] = {
    "widths": [8, 16, 24, 32],
    "features": 24,
    "anchor_sizes": [12.0, 20.0],
    "anchor_ratios": [0.5, 1.0, 2.0],
    "proposals_train": 40,
    "proposals_test": 20,
    "rpn_batch": 32,
    "roi_batch": 16,
    "roi_positive": 0.5,
    "roi_size": 5,
    "roi_width": 16,
    "roi_hidden": 32,
    "score_min": 0.02,
    "overlap_max": 0.5,
    "detections_max": 10,
}
SMALL: dict[str, Any] = {
    "epochs": 2,
    "batch_size": 4,
    "learning_rate": 0.005,
    "warmup": 0.3,
    "weight_decay": 0.0,
    "average_decay": 0.5,
    "gradient_max": 5.0,
    "validate_every": 2,
    "flip": 0.5,
    "brightness": 0.1,
    "network": NETWORK,
}
SHAPES = {"square": (16, 16), "tall bar": (8, 24), "wide bar": (24, 8)}  # width, height
OUTS = ("model.safetensors", "metrics.json", "history.csv")


def write_data(folder: Path) -> None:
    """Eight scenes of one to three bright shapes on grey; the same ones for train and val."""
    rng = np.random.default_rng(0)
    images = rng.integers(60, 90, (8, 64, 64, 1), dtype=np.uint8)
    annotations = []
    for image_id, image in enumerate(images):
        for corner in range(1 + image_id % 3):
            label = int(rng.integers(len(SHAPES)))
            width, height = list(SHAPES.values())[label]
            x, y = ((corner % 2) * 32 + int(rng.integers(8)), (corner // 2) * 32 + int(rng.integers(8)))
            image[y : y + height, x : x + width] = 220
            box = [x, y, width, height]
            annotations.append({"image_id": image_id, "category_id": label + 1, "bbox": box})
    for split in ("train", "val"):
        (folder / split).mkdir(parents=True)
        np.save(folder / split / "images.npy", images)
        (folder / split / "annotations.json").write_text(json.dumps({"annotations": annotations}))
    (folder / "classes.json").write_text(json.dumps(list(SHAPES)))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_data(tmp_path / "data")
    return tmp_path / "data"


def train(data: Path, out: Path, *, precision: str = "float32", **changed: Any) -> Path:
    """The folder with the outs of a run with `SMALL` and what is `changed` in it."""
    out.mkdir()
    write_params(out / "params.yaml", "train-detector", SMALL | changed, seed=3, precision=precision)
    model, metrics, history = (out / name for name in OUTS)
    main(
        data=data,
        params=out / "params.yaml",
        model=model,
        metrics=metrics,
        history=history,
        checkpoint=out / "checkpoint",
    )
    return out


def test_outs(data, tmp_path, capsys):
    out = train(data, tmp_path / "out")
    val = json.loads((out / "metrics.json").read_text())["val"]
    assert set(val) == {"map", "map50", "map75", "map50_by_class"}
    rows = list(csv.DictReader((out / "history.csv").read_text().splitlines()))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert all(float(row["loss_classifier"]) > 0 for row in rows)
    assert rows[0]["val_map50"] == ""
    assert float(rows[1]["val_map50"]) == pytest.approx(val["map50"], abs=1e-5)
    said = capsys.readouterr()
    assert said.out == ""
    assert "epoch 2/2" in said.err


def test_the_same_seed_gives_the_same_bytes(data, tmp_path):
    first, second = train(data, tmp_path / "first"), train(data, tmp_path / "second")
    for name in OUTS:
        assert (first / name).read_bytes() == (second / name).read_bytes()


def test_the_metrics_are_those_of_the_saved_model(data, tmp_path):
    out = train(data, tmp_path / "out", epochs=1)
    compute = prepare(ComputeParams(seed=3, threads=1, precision="float32", deterministic=True))
    scores = evaluate(
        compute.network(load_detector(out / "model.safetensors")), load_detection(data, "val"), compute, 4
    )
    assert scores.map == pytest.approx(json.loads((out / "metrics.json").read_text())["val"]["map"])


def test_trains_in_bfloat16(data, tmp_path):
    assert (train(data, tmp_path / "out", precision="bfloat16", epochs=1) / "model.safetensors").is_file()


def test_a_loss_that_is_not_finite_ends_training(data, tmp_path):
    with pytest.raises(TrainingError, match=r"epoch \d+, step \d+: the loss is"):
        train(data, tmp_path / "out", learning_rate=1e30, gradient_max=1e30)
    assert not (tmp_path / "out" / "model.safetensors").exists()


def test_val_without_boxes_is_refused(data, tmp_path):
    (data / "val/annotations.json").write_text('{"annotations": []}')
    with pytest.raises(DataError, match="no picture of the split has a box"):
        train(data, tmp_path / "out")


def test_a_misspelt_key_of_the_network_is_named(data, tmp_path):
    with pytest.raises(ParamsError, match=r"train-detector\.network\.roi_sise: unknown key; did you mean"):
        train(data, tmp_path / "out", network=NETWORK | {"roi_sise": 5})


@pytest.mark.slow
def test_it_overfits_eight_scenes(data, tmp_path):
    out = train(
        data, tmp_path / "out", epochs=80, validate_every=80, flip=0.0, brightness=0.0, average_decay=0.8
    )
    assert json.loads((out / "metrics.json").read_text())["val"]["map50"] > 0.95
