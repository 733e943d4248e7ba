"""Errors planted among the labels that a model is trained with stand first in the table."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from stages.classifier.network import load_classifier
from stages.core.params import ComputeParams
from stages.detector.network import load_detector
from stages.evaluate.of_labels.evaluation import question_labels
from stages.evaluate.params import EvaluateParams
from stages.networks.compute import prepare
from stages.preprocess.packing import coco, pack_annotations
from stages.train_classifier.stage import main as train_classifier
from stages.train_detector.stage import main as train_detector
from tests.places import ROOT
from tests.stages.detector.detector_networks import FASTER, SSD
from tests.stages.param_files import COMPUTE, write_params

PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text())
CLASSES = ["a", "b", "c", "d"]
NUMBERS = {"train": 280, "val": 40}


@pytest.mark.slow
def test_four_of_five_planted_errors_are_in_the_first_tenth(tmp_path: Path) -> None:
    draw = np.random.default_rng(5)
    looks = draw.integers(0, 200, (len(CLASSES), 16, 16, 1))
    wrong = {}
    for split, number in NUMBERS.items():
        labels = draw.integers(0, len(CLASSES), number)
        images = looks[labels] * 0.4 + draw.normal(60, 30, (number, 16, 16, 1))
        rows = wrong[split] = draw.permutation(number)[: number // 20]
        labels[rows] = (labels[rows] + draw.integers(1, len(CLASSES), len(rows))) % len(CLASSES)
        (tmp_path / split).mkdir()
        np.save(tmp_path / split / "images.npy", images.clip(0, 255).astype(np.uint8))
        np.save(tmp_path / split / "labels.npy", labels)
        lines = [f"raw/labels.csv: row {row + 2}: {split}/{row}.png\n" for row in range(number)]
        (tmp_path / split / "sources.txt").write_text("".join(lines))
    (tmp_path / "classes.json").write_text(json.dumps(CLASSES))
    small = {"model": "compact", "widths": [[8], [16]], "grid": 2, "features": 32}
    section = PARAMS["train-classifier"] | {"network": small, "epochs": 40, "views": 1}
    section["range_test"] = {"steps": 10}
    write_params(tmp_path / "params.yaml", "train-classifier", section)
    names = ("model", "metrics", "history", "rates", "samples", "checkpoint")
    outs = {name: tmp_path / "out" / name for name in names}
    train_classifier(data=tmp_path, params=tmp_path / "params.yaml", **outs)

    network, compute = load_classifier(outs["model"]), prepare(ComputeParams(**COMPUTE))
    values = EvaluateParams.model_validate(PARAMS["evaluate"])
    table = question_labels(network, None, tmp_path, tmp_path, values, compute).tables["label_errors"]
    assert table["rank"].tolist() == list(range(1, 321))
    first = table.head(len(table) // 10)
    found = [first[first["split"] == split]["picture"].isin(rows).sum() for split, rows in wrong.items()]
    assert sum(found) >= 0.8 * sum(map(len, wrong.values()))
    assert first.iloc[0]["source"].endswith(f"/{first.iloc[0]['picture']}.png")


SHAPES = {"square": (16, 16), "tall bar": (8, 24), "wide bar": (24, 8)}  # width, height
PLACES = [(2, 2), (34, 2), (2, 34), (34, 34)]
SCENES = {"train": 240, "val": 40}


def scene(draw: np.random.Generator) -> tuple[Any, Any, Any]:
    """A picture of two or three bright shapes on noise, their boxes and labels."""
    image = draw.integers(60, 90, (64, 64, 1), dtype=np.uint8)
    boxes, labels = [], []
    for place in draw.permutation(len(PLACES))[: draw.integers(2, 4)]:
        label = int(draw.integers(len(SHAPES)))
        (width, height), (left, top) = list(SHAPES.values())[label], PLACES[place]
        x, y = left + int(draw.integers(5)), top + int(draw.integers(5))
        image[y : y + height, x : x + width] = 200
        boxes.append([x, y, x + width, y + height])
        labels.append(label)
    return image, np.array(boxes, np.float32), np.array(labels)


def spoilt(boxes: Any, labels: Any, how: int, draw: np.random.Generator) -> tuple[Any, Any]:
    """With one of four errors: a box taken out, added, moved away, or of another class."""
    boxes, labels, one = boxes.copy(), labels.copy(), int(draw.integers(len(boxes)))
    if how == 0:
        return np.delete(boxes, one, axis=0), np.delete(labels, one)
    if how == 1:
        x, y = draw.integers(0, 48, 2)
        return np.vstack([boxes, [[x, y, x + 16, y + 16]]]).astype(np.float32), np.append(labels, 0)
    if how == 2:
        size = boxes[one, 2:] - boxes[one, :2]
        corner = np.where(
            boxes[one, 2:] + 0.6 * size < 64, boxes[one, :2] + 0.6 * size, boxes[one, :2] - 0.6 * size
        )
        boxes[one] = np.concatenate([corner, corner + size])
    else:
        labels[one] = (labels[one] + draw.integers(1, len(SHAPES))) % len(SHAPES)
    return boxes, labels


@pytest.mark.slow
@pytest.mark.parametrize("network", [FASTER, SSD], ids=["faster-rcnn", "ssd"])
def test_four_of_five_wrong_boxes_are_in_the_first_tenth(tmp_path: Path, network: dict[str, Any]) -> None:
    draw, wrong = np.random.default_rng(11), {}
    for split, number in SCENES.items():
        images, boxes, labels = map(list, zip(*(scene(draw) for _ in range(number)), strict=True))
        rows = wrong[split] = draw.permutation(number)[: number // 20]
        for place, row in enumerate(rows):
            boxes[row], labels[row] = spoilt(boxes[row], labels[row], place % 4, draw)
        (tmp_path / split).mkdir()
        np.save(tmp_path / split / "images.npy", np.stack(images))
        annotations = coco(boxes, labels, list(SHAPES), height=64, width=64)
        pack_annotations(tmp_path / split / "annotations.json", annotations)
        lines = [
            "\t".join([f"{split}/{row}.png", *map(str, range(len(one)))]) for row, one in enumerate(boxes)
        ]
        (tmp_path / split / "sources.txt").write_text("".join(f"{line}\n" for line in lines))
    (tmp_path / "classes.json").write_text(json.dumps(list(SHAPES)))
    section = {"network": network, "epochs": 12, "batch_size": 8, "learning_rate": 0.005, "calibrate": False}
    write_params(tmp_path / "params.yaml", "train-detector", section)
    outs = {
        name: tmp_path / "out" / name for name in ("model", "metrics", "history", "samples", "checkpoint")
    }
    train_detector(data=tmp_path, params=tmp_path / "params.yaml", **outs)

    detector, compute = load_detector(outs["model"]), prepare(ComputeParams(**COMPUTE))
    values = EvaluateParams.model_validate(PARAMS["evaluate"])
    table = question_labels(None, detector, tmp_path, tmp_path, values, compute).tables["box_label_errors"]
    first = table.head(len(table) // 10)
    found = [first[first["split"] == split]["picture"].isin(rows).sum() for split, rows in wrong.items()]
    assert sum(found) >= 0.8 * sum(map(len, wrong.values()))
