"""The rows of all that a pipeline has left in its folder data/."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.stages.audit.classifier import audit_attributes, audit_classifier
from benchmarks.stages.audit.detector import audit_errors, audit_precision
from benchmarks.stages.audit.fusion import audit_fused
from benchmarks.stages.audit.generator import audit_generator
from benchmarks.stages.audit.intervals import audit_intervals
from benchmarks.stages.audit.preparation import audit_counts, audit_size, audit_training
from benchmarks.stages.audit.seen import audit_seen, shown
from benchmarks.stages.audit.table import Row
from stages.classifier.network import Classifier, load_classifier
from stages.core.packed import ClassificationSplit, DetectionSplit, load_classification, load_detection
from stages.core.params import ComputeParams, load_params
from stages.core.splits import Split
from stages.detector.network import Detection, Detector, detect, given_proposals, load_detector
from stages.evaluate.of_generator.evaluation import measuring_with
from stages.evaluate.params import EvaluateParams
from stages.fuse.params import FuseParams
from stages.generator.network import load_generator
from stages.networks.compute import Compute, prepare


@dataclass(frozen=True)
class Pipeline:
    """A folder in the layout of data/, and the params.yaml that it was made with."""

    data: Path
    params: Path

    @property
    def absent(self) -> list[Path]:
        """The files and folders that are not there, whose figures have no rows."""
        metrics = [self.data / f"metrics/{name}.json" for name in ("evaluate", "fuse", "preprocess")]
        models = [self._model(name) for name in ("classifier", "detector", "generator")]
        tables = [self.data / f"predictions/{name}.csv" for name in ("classifier", "resampled")]
        return [path for path in (*metrics, *models, *tables, self.data / "fused") if not path.exists()]

    def rows(self) -> dict[str, list[Row]]:
        """By title; without those of which nothing is left."""
        figures = self._metrics("evaluate")
        parts = {
            "preprocess": self._of_preprocess(),
            "train-classifier": self._of_classifier_training(),
            "train-detector": self._of_detector_training(),
            "classifier": self._of_classifier(figures.get("classifier")),
            "detector": self._of_detector(figures.get("detector")),
            "generator": self._of_generator(figures.get("generator")),
            "fusion": self._of_fusion(),
        }
        return {title: rows for title, rows in parts.items() if rows}

    def _of_preprocess(self) -> list[Row]:
        figures = self._metrics("preprocess")
        return audit_counts(figures, self.data / "prepared") if figures else []

    def _of_classifier_training(self) -> list[Row]:
        figures, val = self._metrics("train-classifier"), self._pictures("val")
        if not figures or val is None or self.classifier is None:
            return []
        return audit_training(figures, self.classifier, val, self.compute)

    def _of_detector_training(self) -> list[Row]:
        figures, val = self._metrics("train-detector"), self._scenes("val")
        if not figures or val is None or self.detector is None:
            return []
        return audit_precision("train-detector.val", figures["val"], self._found(val, "val"), val)

    def _of_classifier(self, figures: dict[str, Any] | None) -> list[Row]:
        if figures is None:
            return []
        rows = audit_size("classifier.size", figures["size"], self._model("classifier"))
        bins, shares = self.values.calibration_bins, {}
        table, answers = (self.data / f"predictions/{name}.csv" for name in ("classifier", "attributes"))
        if "accuracy" in figures and table.exists():
            rows += audit_classifier(figures, table, bins=bins)
            pictures = sum(one["pictures"] for one in figures["by_class"].values())
            shares |= dict.fromkeys(("accuracy", "top5_accuracy", "macro_f1"), pictures)
        if "attribute_map" in figures and answers.exists():
            rows += audit_attributes(figures, answers, bins=bins)
            pictures = pd.read_csv(answers)["picture"].nunique()
            shares |= dict.fromkeys(("attribute_map", "attribute_macro_f1"), pictures)
        return rows + self._intervals("classifier", figures, shares)

    def _of_detector(self, figures: dict[str, Any] | None) -> list[Row]:
        test = self._scenes("test")
        if figures is None or test is None or self.detector is None:
            return []
        found = self._found(test, "test")
        least, bins = self.values.score_min, self.values.calibration_bins
        rows = audit_precision("detector", figures, found, test)
        rows += audit_errors(figures, found, test, score_min=least, bins=bins)
        rows += audit_size("detector.size", figures["size"], self._model("detector"))
        shares = dict.fromkeys(("map", "map50", "map75"), sum(map(len, test.labels)))
        return rows + self._intervals("detector", figures, shares)

    def _of_generator(self, figures: dict[str, Any] | None) -> list[Row]:
        test, train = self._pictures("test"), self._pictures("train")
        path = self._model("generator")
        if figures is None or test is None or train is None or self.classifier is None or not path.exists():
            return []
        measuring = measuring_with(
            self._model("classifier"),
            self.classifier,
            self.values.generation,
            self.compute,
            batch_size=self.values.batch_size,
            seed=self.computing.seed,
        )
        asked = sum(one["asked"] for one in figures["by_class"].values())
        shares = dict.fromkeys(("conditional_accuracy", "precision", "recall", "coverage"), asked)
        shares["accuracy_trained_on_it"] = len(test.labels)
        rows = audit_generator(figures, load_generator(path), test, train, measuring)
        return rows + self._intervals("generator", figures, shares)

    def _of_fusion(self) -> list[Row]:
        figures, folder = self._metrics("fuse"), self.data / "fused"
        if not figures or not folder.exists():
            return []
        kinds = [path.name for path in sorted(folder.iterdir()) if (path / "sources.npy").exists()]
        values = load_params(self.params, "fuse", FuseParams)
        what = shown(self._pictures("test"), self._scenes("test"), values, self.computing.seed)
        rows = audit_fused(figures, folder, kinds, what.truths)
        return rows + audit_seen(figures, folder, what, self.classifier, self.detector, self.compute)

    def _intervals(self, model: str, figures: dict[str, Any], shares: dict[str, int]) -> list[Row]:
        table = self.data / "predictions/resampled.csv"
        return audit_intervals(model, figures, pd.read_csv(table), shares) if table.exists() else []

    def _metrics(self, name: str) -> dict[str, Any]:
        path = self.data / f"metrics/{name}.json"
        found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        return found

    def _model(self, name: str) -> Path:
        return self.data / f"models/{name}.safetensors"

    def _pictures(self, split: Split) -> ClassificationSplit | None:
        folder = self.data / "prepared/classification"
        return load_classification(folder, split) if (folder / split).exists() else None

    def _scenes(self, split: Split) -> DetectionSplit | None:
        folder = self.data / "prepared/detection"
        return load_detection(folder, split) if (folder / split).exists() else None

    def _found(self, scenes: DetectionSplit, split: Split) -> list[Detection]:
        assert self.detector is not None
        proposals = given_proposals(self.detector.config, split, len(scenes.images))
        return detect(self.detector, scenes.images, self.compute, self.values.batch_size, proposals)

    @cached_property
    def classifier(self) -> Classifier | None:
        """On the device; None: its file is not there."""
        path = self._model("classifier")
        return self.compute.network(load_classifier(path)) if path.exists() else None

    @cached_property
    def detector(self) -> Detector | None:
        """On the device; None: its file is not there."""
        path = self._model("detector")
        return self.compute.network(load_detector(path)) if path.exists() else None

    @cached_property
    def computing(self) -> ComputeParams:
        """Section `compute`."""
        return load_params(self.params, "compute", ComputeParams)

    @cached_property
    def compute(self) -> Compute:
        """The device that the networks are on."""
        return prepare(self.computing)

    @cached_property
    def values(self) -> EvaluateParams:
        """Section `evaluate`."""
        return load_params(self.params, "evaluate", EvaluateParams)
