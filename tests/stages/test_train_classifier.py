"""Training the classifier through its public doors, on made-up pictures."""

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stages.augment import mirror, shift
from stages.errors import DataError, ParamsError, TrainingError
from stages.models.classifier import load_classifier
from stages.train_classifier import channel_statistics, main, mirrored_in, shifts_in
from stages.training import shuffled_batches
from tests.stages.param_files import write_params

ROOT = Path(__file__).parents[2]
SMALL: dict[str, Any] = {
    "epochs": 2,
    "batch_size": 32,
    "widths": [[8], [16]],
    "grid": 2,
    "features": 16,
    "learning_rate": 0.1,
    "warmup": 0.3,
    "momentum": 0.9,
    "weight_decay": 0.0005,
    "label_smoothing": 0.1,
    "mirror": True,
    "shift": 1,
    "views": 2,
}
OUTS = ("model.safetensors", "metrics.json", "history.csv")


def write_data(folder: Path, *, height: int = 16, width: int = 12, channels: int = 1) -> None:
    """Three classes that a glance tells apart: a bright bar at the top, in the middle, at the bottom."""
    rng = np.random.default_rng(0)
    for split, count in {"train": 240, "val": 60}.items():
        labels = rng.integers(0, 3, count)
        images = rng.integers(0, 120, (count, height, width, channels), dtype=np.uint8)
        for image, label in zip(images, labels, strict=True):
            image[label * height // 3 : label * height // 3 + height // 4] += 120
        (folder / split).mkdir(parents=True)
        np.save(folder / split / "images.npy", images)
        np.save(folder / split / "labels.npy", labels)
    (folder / "classes.json").write_text('["top", "middle", "bottom"]')


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_data(tmp_path / "data")
    return tmp_path / "data"


def arguments(data: Path, out: Path, *, precision: str = "float32", **changed: Any) -> dict[str, Path]:
    """The stage's arguments, with a params file of `SMALL` and what is `changed` in it."""
    out.mkdir(exist_ok=True)
    write_params(out / "params.yaml", "train-classifier", SMALL | changed, seed=3, precision=precision)
    model, metrics, history = (out / name for name in OUTS)
    return {
        "data": data,
        "params": out / "params.yaml",
        "model": model,
        "metrics": metrics,
        "history": history,
        "checkpoint": out / "checkpoint",
    }


def test_the_same_seed_gives_the_same_bytes(data: Path, tmp_path: Path) -> None:
    for run in ("first", "second"):
        main(**arguments(data, tmp_path / run))
    for name in OUTS:
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()


def test_metrics_and_history_tell_the_training(data: Path, tmp_path: Path) -> None:
    main(**arguments(data, tmp_path / "out"))
    metrics = json.loads((tmp_path / "out/metrics.json").read_text())
    rows = list(csv.DictReader((tmp_path / "out/history.csv").read_text().splitlines()))
    network = load_classifier(tmp_path / "out/model.safetensors")
    assert list(metrics) == ["val_loss", "val_accuracy", "epochs", "parameters"]
    assert metrics["epochs"] == 2
    assert metrics["parameters"] == sum(p.numel() for p in network.parameters())
    assert list(rows[0]) == ["epoch", "train_loss", "val_loss", "val_accuracy", "learning_rate"]
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert float(rows[-1]["learning_rate"]) < 0.01 * SMALL["learning_rate"]
    assert float(rows[-1]["train_loss"]) < float(rows[0]["train_loss"])
    assert network.config["classes"] == ["top", "middle", "bottom"]


def test_learns_classes_that_can_be_told_apart(data: Path, tmp_path: Path) -> None:
    main(**arguments(data, tmp_path / "out", epochs=6))
    assert json.loads((tmp_path / "out/metrics.json").read_text())["val_accuracy"] > 0.95


def test_colour_pictures_of_another_size(tmp_path: Path) -> None:
    write_data(tmp_path / "data", height=13, width=22, channels=3)
    main(**arguments(tmp_path / "data", tmp_path / "out", epochs=1))
    network = load_classifier(tmp_path / "out/model.safetensors")
    assert len(network.config["mean"]) == 3
    assert network(torch.rand(2, 3, 13, 22)).shape == (2, 3)


def test_fewer_pictures_than_a_batch(data: Path, tmp_path: Path) -> None:
    main(**arguments(data, tmp_path / "out", batch_size=1000))
    assert (tmp_path / "out/model.safetensors").is_file()


def test_trains_in_bfloat16(data: Path, tmp_path: Path) -> None:
    main(**arguments(data, tmp_path / "out", precision="bfloat16"))
    assert (tmp_path / "out/model.safetensors").is_file()
    assert not (tmp_path / "out/checkpoint").exists()


def test_a_loss_that_is_not_finite_stops_with_epoch_and_step(data: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"epoch \d, step \d+: the loss is (nan|inf)"):
        main(**arguments(data, tmp_path / "out", learning_rate=1e30))
    assert not (tmp_path / "out/model.safetensors").exists()


def test_more_stages_than_the_pictures_can_be_halved(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=r"widths: 4 stages need pictures of at least 16 px.* have 16 x 12"):
        main(**arguments(data, tmp_path / "out", widths=[[4], [4], [4], [4]]))


def test_missing_pictures_are_named(data: Path, tmp_path: Path) -> None:
    (data / "val/images.npy").unlink()
    with pytest.raises(DataError, match=r"val/images.npy: no such file"):
        main(**arguments(data, tmp_path / "out"))


@pytest.mark.slow
def test_an_unknown_key_is_one_line_and_exit_code_2(data: Path, tmp_path: Path) -> None:
    paths = arguments(data, tmp_path / "out", epoch=3)
    options = [part for name, path in paths.items() for part in (f"--{name}", str(path))]
    command = [sys.executable, "-m", "stages.train_classifier", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        f"error: {paths['params']}: train-classifier.epoch: unknown key; did you mean 'epochs'?"
    ]


def test_channel_statistics_by_hand() -> None:
    images = np.array([[[[0, 7]], [[255, 7]]]], dtype=np.uint8)  # one picture, 2 x 1 pixels, 2 channels
    mean, std = channel_statistics(images)
    assert mean == pytest.approx([0.5, 7 / 255])
    assert std == pytest.approx([0.5, 1 / 255])  # the second never changes: one grey level


def test_every_picture_once_an_epoch_in_another_order_each() -> None:
    first, again, second = (
        torch.cat(list(shuffled_batches(10, 5, seed=1, epoch=epoch))).tolist() for epoch in (1, 1, 2)
    )
    assert first == again != second
    assert sorted(first) == sorted(second) == list(range(10))
    assert [len(batch) for batch in shuffled_batches(10, 4, seed=1, epoch=1)] == [4, 4]
    assert [len(batch) for batch in shuffled_batches(3, 4, seed=1, epoch=1)] == [3]
    assert torch.cat(list(shuffled_batches(10, 2, seed=1, epoch=1, done=3))).tolist() == first[6:]


def test_each_picture_is_mirrored_in_every_second_epoch() -> None:
    first, second, third = (mirrored_in(epoch, 1000, seed=5) for epoch in (1, 2, 3))
    assert torch.equal(first, ~second)
    assert torch.equal(first, third)
    assert 400 < int(first.sum()) < 600


def test_mirror_touches_the_chosen_alone() -> None:
    images = torch.arange(6.0).view(2, 1, 1, 3)
    assert mirror(images, torch.tensor([False, True])).flatten().tolist() == [0, 1, 2, 5, 4, 3]


def test_shift_moves_each_picture_whole() -> None:
    images = torch.zeros(64, 2, 9, 7)
    images[:, :, 4, 3] = 1
    by = shifts_in(1, 64, 2, seed=0)
    shifted = shift(images, by)
    assert shifted.shape == images.shape
    assert torch.equal(shifted.sum(dim=(2, 3)), torch.ones(64, 2))  # no picture lost its point
    _, rows, columns = shifted[:, 0].nonzero(as_tuple=True)
    assert torch.equal(rows, 4 + by[0])
    assert torch.equal(columns, 3 + by[1])
    assert set(by.flatten().tolist()) == {-2, -1, 0, 1, 2}
    assert torch.equal(shift(images, torch.zeros_like(by)), images)
