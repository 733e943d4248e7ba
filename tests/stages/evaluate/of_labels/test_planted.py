"""Errors planted among the labels that a classifier is trained with stand first in the table."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from stages.classifier.network import load_classifier
from stages.core.params import ComputeParams
from stages.evaluate.of_labels.evaluation import question_labels
from stages.evaluate.params import EvaluateParams
from stages.networks.compute import prepare
from stages.train_classifier.stage import main as train_classifier
from tests.places import ROOT
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
