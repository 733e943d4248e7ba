"""Confident learning by hand, and a regression that leaves each picture out."""

import numpy as np
import pytest
import torch.nn.functional as F
from sklearn.linear_model import Ridge

from stages.classifier.network import build_classifier
from stages.core.params import ComputeParams
from stages.evaluate.of_labels.class_labels import doubted_classes
from stages.evaluate.of_labels.left_out import PENALTY, left_out_scores
from stages.evaluate.of_labels.ranking import ranked
from stages.networks.compute import prepare, to_unit
from tests.stages.param_files import COMPUTE


def test_a_label_is_contradicted_by_a_class_that_exceeds_its_usual_score() -> None:
    scores = np.array([[0.9, 0.1], [0.7, 0.3], [0.2, 0.8], [0.6, 0.4]])
    found = doubted_classes(scores, np.array([0, 0, 0, 1]))
    # usual: class 0 (0.9 + 0.7 + 0.2) / 3 = 0.6, class 1 0.4
    assert found.contradiction == pytest.approx([-0.6, -0.2, 0.8, 0.0])
    assert found.suggested.tolist() == [1, 1, 1, 0]
    assert found.doubted.tolist() == [False, False, True, True]


def test_a_class_without_pictures_is_not_suggested_for_little() -> None:
    found = doubted_classes(np.array([[0.6, 0.2, 0.2], [0.1, 0.8, 0.1]]), np.array([0, 1]))
    assert found.suggested.tolist() == [1, 0]
    assert not found.doubted.any()


def test_scores_are_those_of_a_regression_without_the_picture() -> None:
    config = {
        "classes": ["a", "b", "c"],
        "mean": [0.5],
        "std": [0.3],
        "size": [12, 12],
        "network": {"model": "compact", "widths": [[4]], "grid": 2, "features": 8},
        "views": 1,
    }
    network = build_classifier(config).eval()
    draw = np.random.default_rng(0)
    images, labels = draw.integers(0, 256, (40, 12, 12, 1), dtype=np.uint8), draw.integers(0, 3, 40)
    compute = prepare(ComputeParams(**COMPUTE))
    parts = [(images[:25], labels[:25]), (images[25:], labels[25:])]
    scores = left_out_scores(network, parts, compute, batch_size=7)

    maps = network.feature_maps(to_unit(images), 1).detach()
    columns = np.asarray(F.adaptive_avg_pool2d(maps, 3).flatten(1), np.float64)
    columns = (columns - columns.mean(axis=0)) / (columns.std(axis=0) + 1e-6)
    for row in (0, 11, 39):
        rest = np.arange(40) != row
        model = Ridge(alpha=40 * PENALTY).fit(columns[rest], np.eye(3)[labels[rest]])
        assert scores[row] == pytest.approx(model.predict(columns[row : row + 1])[0], abs=2e-6)


def test_each_split_has_its_share_of_every_part_of_the_ranking() -> None:
    order = ranked({"train": np.array([0.1, 0.4, 0.3, 0.2]), "val": np.array([0.9, 0.8])})
    assert order == [("train", 1), ("val", 0), ("train", 2), ("train", 3), ("val", 1), ("train", 0)]
