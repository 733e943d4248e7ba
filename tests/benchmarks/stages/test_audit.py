"""The independent computations of the audit agree with the product, and notice where it is wrong."""

from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from benchmarks.stages.audit.classifier import audit_classifier
from benchmarks.stages.audit.detector import audit_detector
from benchmarks.stages.audit.fusion import METHODS, audit_photographs
from benchmarks.stages.audit.generator import distances
from benchmarks.stages.audit.table import Row, greatest, table
from stages.core.packed import DetectionSplit
from stages.detector.average_precision import average_precision, precision
from stages.evaluate.of_generator.metrics import frechet_distance, kernel_distance
from stages.generator.overlap import manifold_overlap


def test_the_table_tells_the_difference() -> None:
    rows = [Row(figure="a", product=0.5, independent=0.25, by="hand")]
    assert table(rows)[-1] == "| a | 0.5 | 0.25 | 2.5e-01 | hand |"
    assert greatest(rows) == "1 figures; the greatest difference is 2.5e-01, in a.\n"


def test_the_generators_distances_are_the_products() -> None:
    random = np.random.default_rng(0)
    real, generated = random.normal(size=(80, 4)), random.normal(0.3, 0.9, (80, 4))
    product = {
        "frechet_distance": frechet_distance(real, generated),
        "kernel_distance": kernel_distance(real, generated),
        **asdict(manifold_overlap(real, generated, neighbours=5)),
    }
    assert distances(real, generated, 5) == pytest.approx(product, abs=1e-6)


def test_the_detectors_precision_is_the_products() -> None:
    random = np.random.default_rng(1)
    boxes, labels, found = [], [], []
    for _ in range(12):
        corners = random.uniform(0, 60, (3, 2))
        boxes.append(np.hstack([corners, corners + random.uniform(10, 30, (3, 2))]).astype(np.float32))
        labels.append(random.integers(2, size=3))
        moved = np.vstack([boxes[-1], boxes[-1][:1]]) + random.normal(0, 2, (4, 4))
        scores = random.random(4).astype(np.float32)
        found.append((moved.astype(np.float32), np.append(labels[-1], 0), scores))
    test = DetectionSplit(
        images=np.zeros((12, 96, 96, 1), np.uint8), boxes=boxes, labels=labels, classes=["cat", "dog"]
    )
    figures = asdict(average_precision(precision(found, boxes, labels, test.classes)))
    rows = audit_detector(figures, found, test)
    assert len(rows) == 4 + 2 * 3
    assert max(row.difference for row in rows) < 1e-6


def test_a_wrong_figure_is_noticed(tmp_path: Path) -> None:
    frame = {"actual": ["a", "b"], "predicted": ["a", "a"], "confidence": [0.9, 0.6], "rank": [1, 2]}
    pd.DataFrame(frame).to_csv(tmp_path / "p.csv", index=False)
    of_a, of_b = {"precision": 0.5, "recall": 1.0, "f1": 2 / 3}, {"precision": 0.0, "recall": 0.0, "f1": 0.0}
    figures = {
        "accuracy": 0.75,  # it is a half
        "top5_accuracy": 1.0,
        "macro_f1": 1 / 3,
        "calibration_error": (0.1 + 0.6) / 2,
        "by_class": {"a": of_a, "b": of_b},
    }
    rows = audit_classifier(figures, tmp_path / "p.csv", bins=10)
    assert [row.figure for row in rows if row.difference > 1e-6] == ["classifier.accuracy"]


@pytest.mark.slow
def test_methods_of_fusion_are_those_of_their_papers(tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    rough = random.integers(0, 256, (12, 14, 3), dtype=np.uint8)
    picture = cv2.resize(rough, (300, 260), interpolation=cv2.INTER_CUBIC)
    cv2.imwrite(str(tmp_path / "cloud.png"), picture)
    rows = audit_photographs(tmp_path)
    deep = {row.figure: row.difference for row in rows if METHODS in row.figure and "16 bits" in row.figure}
    assert len(deep) == 2 * 6
    deep.pop("cloud, light, 16 bits: exposure, mean difference")  # burnt out: weighed by rounding alone
    assert max(deep.values()) < 0.05  # grey levels
    assert max(row.difference for row in rows if METHODS not in row.figure) < 1e-3
