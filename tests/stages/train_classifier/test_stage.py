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
import torch.nn.functional as F

from stages.classifier.network import load_classifier, predict
from stages.core.errors import DataError, ParamsError, TrainingError
from stages.core.packed import load_classification
from stages.core.params import ComputeParams
from stages.networks.compute import prepare
from stages.train_classifier.stage import main
from stages.training.samples import ClassifierSamples, read_samples
from tests.places import ROOT
from tests.stages.param_files import write_params

SMALL: dict[str, Any] = {
    "network": {"model": "compact", "widths": [[8], [16]], "grid": 2, "features": 16},
    "epochs": 2,
    "batch_size": 32,
    "optimizer": {"name": "sgd", "learning_rate": 0.1, "momentum": 0.9, "weight_decay": 0.0005},
    "schedule": {"name": "one-cycle", "warmup": 0.3},
    "average_decay": None,
    "patience": None,
    "label_smoothing": 0.1,
    "balance": "none",
    "mirror": True,
    "shift": 1,
    "augmentations": [],
    "views": 2,
    "calibrate": True,
    "range_test": {"lowest": 0.001, "highest": 10.0, "steps": 12},
    "sheet_columns": 4,
}
OUTS = ("model.safetensors", "metrics.json", "history.csv", "rates.csv", "samples.safetensors")


def write_data(
    folder: Path, *, height: int = 16, width: int = 12, channels: int = 1, train: int = 240, val: int = 60
) -> None:
    """Three classes that a glance tells apart: a bright bar at the top, in the middle, at the bottom."""
    rng = np.random.default_rng(0)
    for split, count in {"train": train, "val": val}.items():
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
    model, metrics, history, rates, samples = (out / name for name in OUTS)
    return {
        "data": data,
        "params": out / "params.yaml",
        "model": model,
        "metrics": metrics,
        "history": history,
        "rates": rates,
        "samples": samples,
        "checkpoint": out / "checkpoint",
    }


@pytest.mark.slow
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
    assert float(rows[-1]["learning_rate"]) < 0.01 * SMALL["optimizer"]["learning_rate"]
    assert float(rows[-1]["train_loss"]) < float(rows[0]["train_loss"])
    assert network.config["classes"] == ["top", "middle", "bottom"]


@pytest.mark.slow
def test_learns_classes_that_can_be_told_apart(data: Path, tmp_path: Path) -> None:
    main(**arguments(data, tmp_path / "out", epochs=6))
    assert json.loads((tmp_path / "out/metrics.json").read_text())["val_accuracy"] > 0.95


def test_colour_pictures_of_another_size(tmp_path: Path) -> None:
    write_data(tmp_path / "data", height=13, width=22, channels=3)
    main(**arguments(tmp_path / "data", tmp_path / "out", epochs=1))
    network = load_classifier(tmp_path / "out/model.safetensors")
    assert len(network.config["mean"]) == 3
    assert network(torch.rand(2, 3, 13, 22)).shape == (2, 3)


@pytest.mark.slow
def test_fewer_pictures_than_a_batch(data: Path, tmp_path: Path) -> None:
    main(**arguments(data, tmp_path / "out", batch_size=1000))
    assert (tmp_path / "out/model.safetensors").is_file()


@pytest.mark.slow
def test_trains_in_bfloat16(data: Path, tmp_path: Path) -> None:
    main(**arguments(data, tmp_path / "out", precision="bfloat16"))
    assert (tmp_path / "out/model.safetensors").is_file()
    assert not (tmp_path / "out/checkpoint").exists()


def test_a_loss_that_is_not_finite_stops_with_epoch_and_step(data: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"epoch \d, step \d+: the loss is (nan|inf)"):
        main(**arguments(data, tmp_path / "out", optimizer=SMALL["optimizer"] | {"learning_rate": 1e30}))
    assert not (tmp_path / "out/model.safetensors").exists()


def test_more_stages_than_the_pictures_can_be_halved(data: Path, tmp_path: Path) -> None:
    with pytest.raises(
        ParamsError, match=r"widths: so many stages need pictures of at least 16 px.* have 16 x 12"
    ):
        main(**arguments(data, tmp_path / "out", network=SMALL["network"] | {"widths": [[4]] * 4}))


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


ADAM = {"name": "adam", "learning_rate": 0.01, "beta1": 0.9, "beta2": 0.99, "weight_decay": 0.01}
SIMPLE = {"model": "simple-cnn", "widths": [8, 16], "dense": 16, "dropout": 0.2}
RESNET = {"model": "resnet", "depth": 18, "stem": "small", "weights": None}
TIMM = {"model": "timm", "name": "resnet10t", "weights": None}


@pytest.mark.slow
@pytest.mark.parametrize(
    "changed",
    [
        {"network": SIMPLE, "optimizer": ADAM, "schedule": {"name": "cosine", "warmup": 0.1}},
        {"average_decay": 0.7, "balance": "class-weights"},
        {"balance": "sampler", "augmentations": [{"Rotate": {"limit": [-5, 5]}}]},
    ],
    ids=["simple-cnn", "average", "balance"],
)
def test_learns_with_other_settings(data: Path, tmp_path: Path, changed: dict[str, Any]) -> None:
    main(**arguments(data, tmp_path / "out", **({"epochs": 4} | changed)))
    assert json.loads((tmp_path / "out/metrics.json").read_text())["val_accuracy"] > 0.8


@pytest.mark.slow
@pytest.mark.parametrize("network", [RESNET, TIMM], ids=["resnet", "timm"])
def test_trains_a_network_of_others(tmp_path: Path, network: dict[str, Any]) -> None:
    write_data(tmp_path / "data", train=16, val=4)
    brief = {"epochs": 1, "batch_size": 8, "range_test": SMALL["range_test"] | {"steps": 2}}
    main(**arguments(tmp_path / "data", tmp_path / "out", network=network, **brief))
    trained = load_classifier(tmp_path / "out/model.safetensors")
    assert trained(torch.rand(2, 1, 16, 12)).shape == (2, 3)


def test_early_stop_takes_the_best_epoch_s_weights(data: Path, tmp_path: Path) -> None:
    main(**arguments(data, tmp_path / "out", epochs=30, patience=2, views=1))
    metrics = json.loads((tmp_path / "out/metrics.json").read_text())
    with (tmp_path / "out/history.csv").open() as table:
        accuracies = [float(row["val_accuracy"]) for row in csv.DictReader(table)]
    assert metrics["epochs"] == len(accuracies) < 30
    assert max(accuracies[-2:]) <= max(accuracies[:-2])
    assert metrics["val_accuracy"] == pytest.approx(max(accuracies), abs=1e-6)


def test_range_test_and_samples_show_what_is_coming(data: Path, tmp_path: Path) -> None:
    main(**arguments(data, tmp_path / "out"))
    with (tmp_path / "out/rates.csv").open() as table:
        rates = [float(row["log10_learning_rate"]) for row in csv.DictReader(table)]
    assert rates[0] == -3
    assert np.diff(rates) == pytest.approx(4 / 11, abs=1e-4)
    samples = read_samples(tmp_path / "out/samples.safetensors", ClassifierSamples)
    assert samples.pictures.shape == (3, SMALL["sheet_columns"], 16, 12, 1)
    split = load_classification(data, "train")
    for pictures, label in zip(samples.pictures, samples.labels, strict=True):
        assert (pictures[0] == split.images[int(np.argmax(split.labels == label))]).all()
        assert (pictures[1] != pictures[2]).any()  # mirrored in one of them


@pytest.mark.parametrize(
    ("augmentation", "said"),
    [
        ({"Rotat": {}}, "augmentations.0: albumentations has no transform 'Rotat'; did you mean 'Rotate'?"),
        (
            {"Rotate": {"limits": 3}},
            "augmentations.0: albumentations' Rotate takes no argument 'limits'; did you mean 'limit'?",
        ),
        ({"Resize": {"height": 8, "width": 8}}, r"augmentations.0: Resize gives uint8 [8, 8, 1]"),
    ],
)
def test_wrong_augmentations_are_named(
    data: Path, tmp_path: Path, augmentation: dict[str, Any], said: str
) -> None:
    with pytest.raises(ParamsError) as raised:
        main(**arguments(data, tmp_path / "out", augmentations=[augmentation]))
    assert f"train-classifier.{said}" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_timm_that_is_not_installed_is_one_line(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ParamsError, match=r"train-classifier.network.model: timm is not installed; "):
        main(**arguments(data, tmp_path / "out", network=TIMM))


@pytest.mark.slow
def test_probabilities_are_calibrated_on_val_and_no_prediction_changes(data: Path, tmp_path: Path) -> None:
    split = load_classification(data, "val")
    compute = prepare(ComputeParams(seed=3, threads=1, precision="float32", deterministic=True))
    told = [arguments(data, tmp_path / str(wanted), calibrate=wanted) for wanted in (False, True)]
    for each in told:
        main(**each)
    plain, calibrated = (load_classifier(each["model"]) for each in told)
    assert "temperature" not in plain.config
    assert calibrated.config["temperature"] != 1
    before, after = (predict(network, split.images, compute=compute) for network in (plain, calibrated))
    assert torch.equal(before.argmax(dim=1), after.argmax(dim=1))
    labels = torch.from_numpy(split.labels)
    assert F.nll_loss(after.log(), labels) < F.nll_loss(before.log(), labels)
