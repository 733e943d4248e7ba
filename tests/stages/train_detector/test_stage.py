"""Training the detector through its public doors, on solid squares and bars."""

import csv
import itertools
import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from stages.classifier.network import build_classifier
from stages.core.errors import DataError, ParamsError, TrainingError
from stages.core.packed import load_detection
from stages.core.params import ComputeParams
from stages.detector.network import detect, load_detector
from stages.networks.calibration import LogisticCalibration
from stages.networks.compute import prepare
from stages.networks.model_files import save_model
from stages.train_detector.stage import main
from stages.train_detector.validation import Held, evaluate
from stages.training.loop import finite
from tests.stages.detector.detector_networks import CHOICES, COMPACT, FASTER, NETWORKS
from tests.stages.param_files import write_params

SMALL: dict[str, Any] = {
    "epochs": 2,
    "epoch_pictures": None,
    "batch_size": 4,
    "learning_rate": 0.005,
    "warmup": 0.3,
    "weight_decay": 0.0,
    "average_decay": 0.5,
    "gradient_max": 5.0,
    "validate_every": 2,
    **CHOICES,
    "augmentations": [{"HorizontalFlip": {"p": 0.5}}, {"RandomBrightnessContrast": {"p": 0.5}}],
    "network": FASTER,
}
SHAPES = {"square": (16, 16), "tall bar": (8, 24), "wide bar": (24, 8)}  # width, height
OUTS = ("model.safetensors", "metrics.json", "history.csv", "samples.safetensors")


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


def train(
    data: Path, out: Path, *, precision: str = "float32", seconds: float = 3600, **changed: Any
) -> Path:
    """The folder with the outs of a run with `SMALL` and what is `changed` in it."""
    out.mkdir(exist_ok=True)
    params = out / "params.yaml"
    write_params(params, "train-detector", SMALL | changed, seconds=seconds, seed=3, precision=precision)
    model, metrics, history, samples = (out / name for name in OUTS)
    main(
        data=data,
        params=out / "params.yaml",
        model=model,
        metrics=metrics,
        history=history,
        samples=samples,
        checkpoint=out / "checkpoint",
    )
    return out


class CrashError(Exception):
    pass


@pytest.mark.slow
def test_outs(data, tmp_path, capsys):
    out = train(data, tmp_path / "out")
    val = json.loads((out / "metrics.json").read_text())["val"]
    assert {"map", "map50", "recall_100", "by_class"} <= set(val)
    rows = list(csv.DictReader((out / "history.csv").read_text().splitlines()))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert all(float(row["loss_classifier"]) > 0 for row in rows)
    assert rows[0]["val_map50"] == rows[0]["val_loss"] == ""
    assert float(rows[1]["val_map50"]) == pytest.approx(val["map50"], abs=1e-5)
    assert float(rows[1]["val_loss"]) > 0
    said = capsys.readouterr()
    assert said.out.splitlines() == [
        "8 pictures: 2 epochs in batches of 4",
        "anchors: 12, 20 px, height over width 0.5, 1, 2",
    ]
    assert "epoch 2/2" in said.err


@pytest.mark.slow
@pytest.mark.parametrize("model", NETWORKS)
def test_left_at_a_step_every_model_ends_in_the_same_bytes(data, tmp_path, monkeypatch, model):
    """With everything that draws: augmentation, scales, validation, the samplers of the losses."""
    changed = {"network": NETWORKS[model], "scales": [0.75, 1.0], "validate_every": 1, "frozen": 1}
    alone = train(data, tmp_path / "alone", **changed)
    steps = itertools.count()

    def crashing(*arguments: Any, **named: Any) -> float:
        if next(steps) == 3:  # in the second epoch, which has two
            raise CrashError
        return finite(*arguments, **named)

    monkeypatch.setattr("stages.train_detector.trainer.finite", crashing)
    with pytest.raises(CrashError):
        train(data, tmp_path / "left", seconds=0, **changed)
    monkeypatch.undo()
    left = train(data, tmp_path / "left", seconds=0, **changed)
    for name in OUTS:
        assert (left / name).read_bytes() == (alone / name).read_bytes()


@pytest.mark.slow
def test_validating_draws_nothing_of_training(data, tmp_path):
    often = train(data, tmp_path / "often", validate_every=1)
    seldom = train(data, tmp_path / "seldom", validate_every=2)
    losses = [
        [row["loss_classifier"] for row in csv.DictReader((out / "history.csv").read_text().splitlines())]
        for out in (often, seldom)
    ]
    assert losses[0] == losses[1]


@pytest.mark.slow
def test_the_metrics_are_those_of_the_saved_model(data, tmp_path):
    out = train(data, tmp_path / "out", epochs=1)
    compute = prepare(ComputeParams(seed=3, threads=1, precision="float32", deterministic=True))
    network = compute.network(load_detector(out / "model.safetensors"))
    scores = evaluate(network, Held(split=load_detection(data, "val"), proposals=None), compute, 4)
    assert scores.map == pytest.approx(json.loads((out / "metrics.json").read_text())["val"]["map"])


@pytest.mark.slow
def test_trains_in_bfloat16(data, tmp_path):
    assert (train(data, tmp_path / "out", precision="bfloat16", epochs=1) / "model.safetensors").is_file()


@pytest.mark.slow
def test_a_loss_that_is_not_finite_ends_training(data, tmp_path):
    with pytest.raises(TrainingError, match=r"epoch \d+, step \d+: the loss is"):
        train(data, tmp_path / "out", learning_rate=1e30, gradient_max=1e30)
    assert not (tmp_path / "out" / "model.safetensors").exists()


@pytest.mark.slow
def test_val_without_boxes_is_refused(data, tmp_path):
    (data / "val/annotations.json").write_text('{"annotations": []}')
    with pytest.raises(DataError, match="no picture of the split has a box"):
        train(data, tmp_path / "out")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"network": FASTER | {"roi_sise": 5}}, r"detector\.network\.roi_sise: unknown key; did you mean"),
        ({"network": FASTER | {"model": "yolo"}}, r"train-detector\.network"),
        ({"augmentations": [{"HorizontalFlop": {}}]}, "has no transform 'HorizontalFlop'; did you mean"),
        ({"augmentations": [{"Resize": {"height": 9, "width": 9}}]}, r"augmentations\.0: Resize gives"),
        ({"augmentations": [{"ElasticTransform": {"alpha": "much"}}]}, r"ElasticTransform: alpha"),
    ],
)
def test_params_that_do_not_fit_are_named(data, tmp_path, changed, said):
    with pytest.raises(ParamsError, match=said):
        train(data, tmp_path / "out", **changed)


@pytest.mark.slow
def test_training_stops_where_val_gets_no_better(data, tmp_path):
    # A learning rate this small changes nothing from one validation to the next.
    out = train(data, tmp_path / "out", epochs=6, validate_every=1, learning_rate=1e-12, patience=2)
    assert len((out / "history.csv").read_text().splitlines()) == 1 + 3


ADAM = {"name": "adam", "learning_rate": 0.005, "beta1": 0.9, "beta2": 0.999, "weight_decay": 0.0}
SGD = {"name": "sgd", "learning_rate": 0.01, "momentum": 0.9, "weight_decay": 0.0005}
UNSAID = {"learning_rate": None, "weight_decay": None, "warmup": None}


@pytest.mark.slow
def test_adam_and_one_cycle_in_so_many_words_give_the_same_bytes(data, tmp_path):
    short = train(data, tmp_path / "short")
    schedule = {"name": "one-cycle", "warmup": 0.3}
    long = train(data, tmp_path / "long", **UNSAID, optimizer=ADAM, schedule=schedule)
    for name in OUTS:
        assert (short / name).read_bytes() == (long / name).read_bytes()


@pytest.mark.slow
def test_another_optimizer_and_schedule(data, tmp_path):
    schedule = {"name": "cosine", "warmup": 0.25}
    out = train(data, tmp_path / "out", **UNSAID, optimizer=SGD, schedule=schedule)
    rows = list(csv.DictReader((out / "history.csv").read_text().splitlines()))
    # Of the four steps one rises from a tenth; the last one is after two thirds of the fall.
    assert [float(row["learning_rate"]) for row in rows] == pytest.approx([0.01, 0.0025], rel=1e-4)


@pytest.mark.parametrize("changed", [{"optimizer": ADAM}, {"learning_rate": None}])
def test_an_optimizer_beside_the_keys_that_stand_for_it_is_refused(data, tmp_path, changed):
    said = "train-detector: optimizer is wanted, or learning_rate and weight_decay in its place, not both$"
    with pytest.raises(ParamsError, match=said):
        train(data, tmp_path / "out", **changed)


@pytest.mark.slow
def test_frozen_parts_keep_what_they_began_with(data, tmp_path):
    first = train(data, tmp_path / "first", epochs=1)
    weights = {"file": str(first / OUTS[0]), "sha256": sha256((first / OUTS[0]).read_bytes()).hexdigest()}
    second = train(data, tmp_path / "second", epochs=1, weights=weights, frozen=2)
    before, after = (load_file(out / OUTS[0]) for out in (first, second))
    kept = ("backbone.stem.", "backbone.stages.0.")
    for name in before:
        if name.startswith(kept):
            assert torch.equal(before[name], after[name])
    assert not torch.equal(
        before["backbone.stages.1.0.first.0.weight"], after["backbone.stages.1.0.first.0.weight"]
    )


@pytest.mark.slow
def test_proposals_of_a_file(data, tmp_path):
    rows = [
        {"image_id": row["image_id"], "bbox": row["bbox"]}
        for row in json.loads((data / "val/annotations.json").read_text())["annotations"]
    ]
    file = tmp_path / "proposals.json"
    file.write_text(json.dumps({"train": rows, "val": rows}))
    given = {"source": "file", "file": str(file), "count": 5, "sha256": sha256(file.read_bytes()).hexdigest()}
    out = train(data, tmp_path / "out", network=NETWORKS["fast-rcnn"] | {"proposals": given})
    assert (out / "model.safetensors").is_file()
    rows[0]["image_id"] = 8
    file.write_text(json.dumps({"train": rows, "val": rows}))
    given |= {"sha256": sha256(file.read_bytes()).hexdigest()}
    with pytest.raises(DataError, match="train has no picture 8, only 0 to 7"):
        train(data, tmp_path / "other", network=NETWORKS["fast-rcnn"] | {"proposals": given})


@pytest.mark.slow
def test_proposals_of_a_trained_detector(data, tmp_path):
    first = train(data, tmp_path / "first", epochs=1)
    content = (first / OUTS[0]).read_bytes()
    given = {"source": "detector", "file": str(first / OUTS[0]), "sha256": sha256(content).hexdigest()}
    network = NETWORKS["fast-rcnn"] | {"proposals": given | {"count": 10}}
    second = train(data, tmp_path / "second", network=network)
    before, after = load_file(first / OUTS[0]), load_file(second / OUTS[0])
    # The model has the proposals' network in it, as it was.
    assert torch.equal(before["rpn.head.cls_logits.weight"], after["rpn.method.rpn.head.cls_logits.weight"])
    (first / OUTS[0]).unlink()
    load_detector(second / OUTS[0])


@pytest.mark.slow
def test_r_cnn_by_the_trained_classifier(data, tmp_path):
    config = {
        "classes": ["a", "b"],
        "mean": [0.4],
        "std": [0.2],
        "size": [16, 16],
        "network": COMPACT,
        "views": 1,
    }
    classifier, path = build_classifier(config), tmp_path / "classifier.safetensors"
    save_model(path, classifier, kind="classifier", config=config)
    trained = {"source": "trained", "file": str(path), "sha256": sha256(path.read_bytes()).hexdigest()}
    network = NETWORKS["r-cnn"] | {"classifier": trained}
    state = load_file(train(data, tmp_path / "as-it-is", network=network, frozen=3) / OUTS[0])
    tuned = load_file(train(data, tmp_path / "tuned", network=network, frozen=1) / OUTS[0])
    first, neck = "roi_heads.box_head.classifier.stages.0.0.weight", "features_of.2.weight"
    assert torch.equal(state[first], load_file(path)["stages.0.0.weight"])
    assert torch.equal(state[f"roi_heads.box_head.classifier.{neck}"], load_file(path)[neck])
    assert torch.equal(tuned[first], load_file(path)["stages.0.0.weight"])
    assert not torch.equal(tuned[f"roi_heads.box_head.classifier.{neck}"], load_file(path)[neck])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "epochs", "least"),
    [("faster-rcnn", 80, 0.95), ("ssd", 80, 0.95), ("fast-rcnn", 40, 0.7), ("r-cnn", 40, 0.7)],
)
def test_it_overfits_eight_scenes(data, tmp_path, model, epochs, least):
    out = train(
        data,
        tmp_path / "out",
        epochs=epochs,
        validate_every=epochs,
        augmentations=[],
        average_decay=0.8,
        network=NETWORKS[model],
    )
    assert json.loads((out / "metrics.json").read_text())["val"]["map50"] > least


@pytest.mark.slow
def test_scores_are_calibrated_on_val_and_their_order_stays(data: Path, tmp_path: Path) -> None:
    split = load_detection(data, "val")
    compute = prepare(ComputeParams(seed=3, threads=1, precision="float32", deterministic=True))
    plain, calibrated = (
        load_detector(
            train(data, tmp_path / str(wanted), calibrate=wanted, epochs=12, augmentations=[])
            / "model.safetensors"
        )
        for wanted in (False, True)
    )
    calibration = LogisticCalibration(**calibrated.config["calibration"])
    assert calibration != LogisticCalibration()
    for before, after in zip(
        *(detect(network, split.images, compute, 4) for network in (plain, calibrated)), strict=True
    ):
        assert np.array_equal(before[0], after[0])
        assert np.array_equal(calibration(before[2]), after[2])
