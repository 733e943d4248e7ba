"""The independent computations of the audit agree with the product, and notice where it is wrong."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
import yaml

from benchmarks.stages.audit.__main__ import off
from benchmarks.stages.audit.classifier import audit_attributes, audit_classifier
from benchmarks.stages.audit.detector import audit_errors, audit_precision, map50
from benchmarks.stages.audit.fusion import METHODS, audit_photographs
from benchmarks.stages.audit.generator import distances
from benchmarks.stages.audit.intervals import audit_intervals
from benchmarks.stages.audit.pipeline import Pipeline
from benchmarks.stages.audit.printed import not_computed, numbers, printed
from benchmarks.stages.audit.table import Row, greatest, table
from stages.core.packed import DetectionSplit
from stages.detector.average_precision import average_precision, precision
from stages.detector.network import Detection
from stages.evaluate.of_classifier.attributes import AttributeOutcomes, attribute_figures, attribute_table
from stages.evaluate.of_detector.errors import (
    detection_errors,
    detection_outcomes,
    score_calibration,
    score_reliability,
)
from stages.evaluate.of_generator.metrics import frechet_distance, kernel_distance
from stages.evaluate.resampling import intervals
from stages.evaluate.stage import main as evaluate
from stages.fuse.stage import main as fuse
from stages.generator.overlap import manifold_overlap
from tests.stages.evaluate.test_stage import EVALUATE, write_classification, write_detection, write_models
from tests.stages.fuse.test_stage import FUSE
from tests.stages.param_files import COMPUTE


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


@pytest.fixture
def scenes() -> DetectionSplit:
    """Twelve scenes of a few boxes of two classes, of every size that COCO tells apart; the last is empty."""
    random = np.random.default_rng(1)
    boxes, labels = [], []
    for number in range(12):
        corners = random.uniform(0, 100, (number % 4 if number < 11 else 0, 2))
        sides = random.choice([20, 60, 150], corners.shape) * random.uniform(0.8, 1.2, corners.shape)
        boxes.append(np.hstack([corners, corners + sides]).astype(np.float32).reshape(-1, 4))
        labels.append(random.integers(2, size=len(corners)))
    classes = ["cat", "dog", "none"]
    return DetectionSplit(
        images=np.zeros((12, 256, 256, 1), np.uint8), boxes=boxes, labels=labels, classes=classes
    )


@pytest.fixture
def found(scenes: DetectionSplit) -> list[Detection]:
    """Of each box one or two detections, some of another class or place, and some on nothing."""
    random = np.random.default_rng(2)
    detections = []
    for boxes, labels in zip(scenes.boxes, scenes.labels, strict=True):
        moved = np.concatenate([boxes, boxes, random.uniform(0, 200, (2, 4))]).astype(np.float32)
        moved += random.normal(0, 5, moved.shape).astype(np.float32)
        moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2] + 1)
        named = np.concatenate([labels, labels, [0, 1]])
        named = np.where(random.random(len(named)) < 0.3, 1 - named, named)
        detections.append((moved, named, random.random(len(named)).astype(np.float32)))
    return detections


def test_the_detectors_precision_is_the_products(scenes: DetectionSplit, found: list[Detection]) -> None:
    figures = asdict(average_precision(precision(found, scenes.boxes, scenes.labels, scenes.classes)))
    rows = audit_precision("detector", figures, found, scenes)
    assert len(rows) == 12 + 2 * 4
    assert max(row.difference for row in rows) < 1e-6
    assert not_computed((f"detector.{name}" for name, _ in numbers(figures)), rows) == []
    assert map50(found, scenes) == pytest.approx(figures["map50"])


def test_the_detectors_errors_are_the_products(scenes: DetectionSplit, found: list[Detection]) -> None:
    outcomes = detection_outcomes(found, scenes.boxes, scenes.labels, classes=3, score_min=0.3)
    figures = {
        "found": asdict(detection_errors(outcomes)),
        "calibration_error": score_calibration(score_reliability(outcomes, bins=7)),
    }
    rows = audit_errors(figures, found, scenes, score_min=0.3, bins=7)
    assert min(figures["found"].values()) > 0  # every kind is there
    assert max(row.difference for row in rows) < 1e-6


def test_the_figures_of_attributes_are_the_products(tmp_path: Path) -> None:
    random = np.random.default_rng(4)
    targets = random.integers(2, size=(40, 3)).astype(np.float32)
    targets[random.random(targets.shape) < 0.1] = np.nan
    found = AttributeOutcomes(
        names=["wet", "old", "red"],
        probabilities=random.random((40, 3)),
        targets=targets,
        thresholds=np.array([0.3, 0.5, 0.7]),
    )
    figures = attribute_figures(found, bins=5)
    attribute_table(found).to_csv(tmp_path / "a.csv", index=False)
    rows = audit_attributes(figures, tmp_path / "a.csv", bins=5)
    assert max(row.difference for row in rows) < 1e-6
    assert not_computed((f"classifier.{name}" for name, _ in numbers(figures)), rows) == []


def test_the_intervals_are_the_products() -> None:
    random = np.random.default_rng(3)
    shares = {"accuracy": 40, "sure": 40, "same": 40}
    figures: dict[str, Any] = {"accuracy": 0.9, "sure": 1.0, "same": 0.5, "density": 1.2}
    figures |= {"frechet_distance": 2.0, "kernel_distance": 0.01}
    halves = {name: value + random.normal(0, 0.1, 60) for name, value in figures.items()}
    halves["same"][:] = 0.5
    halves["accuracy"][3] = np.nan
    found = intervals(figures, halves, shares)
    figures["intervals"] = {name: asdict(interval) for name, interval in found.items()}
    columns = pd.DataFrame({f"a.{name}": values for name, values in halves.items()})
    rows = audit_intervals("a", figures, columns, shares)
    assert len(rows) == 2 * 6
    assert max(row.difference for row in rows) < 1e-6


def test_a_figure_that_nothing_computes_once_more_is_named() -> None:
    names = ["classifier.accuracy", "classifier.sharpness", "generator.floor.accuracy_trained_on_it"]
    rows = [Row(figure="classifier.accuracy", product=0.5, independent=0.5, by="hand")]
    assert not_computed(names, rows) == ["classifier.sharpness"]


@pytest.mark.slow
def test_every_figure_of_a_small_pipeline_is_computed_once_more_and_is_the_same(tmp_path: Path) -> None:
    """What evaluate and fuse print of three untrained models: a new figure needs a row, or a reason."""
    data = small_pipeline(tmp_path)
    pipeline = Pipeline(data, tmp_path / "params.yaml")
    parts = pipeline.rows()
    assert pipeline.absent == [data / "metrics/preprocess.json"]
    assert list(parts) == ["classifier", "detector", "generator", "fusion"]
    rows = [row for part in parts.values() for row in part]
    assert [row for row in rows if off(row, 1e-3)] == []
    assert not_computed(printed(data / "metrics"), rows) == []


def small_pipeline(folder: Path) -> Path:
    """The folder data/ as the pipeline leaves it."""
    data, out = folder / "data", folder / "data/out"
    write_classification(data / "prepared/classification", 3)
    write_detection(data / "prepared/detection", 3)
    (data / "models").mkdir()
    write_models(data / "models", 3)
    document = {
        "compute": COMPUTE,
        "libraries": {},
        "evaluate": EVALUATE,
        "fuse": {**FUSE, "pictures": 2, "scenes": 2, "own": {"manifest": "groups.csv"}},
    }
    (folder / "params.yaml").write_text(yaml.safe_dump(document))
    (folder / "own").mkdir()
    (folder / "own/groups.csv").write_text("group,picture,truth\n")
    models = {name: data / f"models/{name}.safetensors" for name in ("classifier", "detector", "generator")}
    given: dict[str, Path] = {
        "detection": data / "prepared/detection",
        "params": folder / "params.yaml",
        **models,
    }
    evaluate(
        classification=data / "prepared/classification",
        **given,
        metrics=data / "metrics/evaluate.json",
        predictions=data / "predictions/classifier.csv",
        resampled=data / "predictions/resampled.csv",
        reliability=out / "reliability.csv",
        precision_recall=out / "precision-recall.csv",
        detection_reliability=out / "detection-reliability.csv",
        label_errors=out / "label-errors.csv",
        box_label_errors=out / "box-label-errors.csv",
        plots=out / "plots",
        training_plots=out / "training",
        report=out / "report.html",
        reference=data / "predictions/reference.safetensors",
    )
    fuse(
        data=data / "prepared/classification",
        own=folder / "own",
        **given,
        fused=data / "fused",
        metrics=data / "metrics/fuse.json",
        sheets=out / "sheets",
        table=out / "fuse.csv",
    )
    return data


@pytest.mark.parametrize(("first", "second"), [("a", "b"), ("0", "01")])
def test_a_wrong_figure_is_noticed(tmp_path: Path, first: str, second: str) -> None:
    """Of classes whose names look like numbers, too."""
    frame = {
        "actual": [first, second],
        "predicted": [first, first],
        "confidence": [0.9, 0.6],
        "rank": [1, 2],
    }
    pd.DataFrame(frame).to_csv(tmp_path / "p.csv", index=False)
    of_a = {"precision": 0.5, "recall": 1.0, "f1": 2 / 3, "pictures": 1}
    of_b = {"precision": 0.0, "recall": 0.0, "f1": 0.0, "pictures": 1}
    figures = {
        "accuracy": 0.75,  # it is a half
        "top5_accuracy": 1.0,
        "macro_f1": 1 / 3,
        "calibration_error": (0.1 + 0.6) / 2,
        "by_class": {first: of_a, second: of_b},
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
