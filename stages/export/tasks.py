"""What exporting a classifier and exporting a detector do differently."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from stages.classifier.network import Classifier, ask, attributes_of
from stages.core.packed import (
    ClassificationSplit,
    DetectionSplit,
    Split,
    load_classification,
    load_detection,
    targets_of,
)
from stages.detector.average_precision import average_precision, precision
from stages.detector.network import Detector, detect
from stages.detector.params import network_params
from stages.export.classifier import ExportedClassifier
from stages.export.comparison import AnswerComparison, compare_classified, compare_detected
from stages.export.detector import ExportedDetector
from stages.export.formats import Answers, Pictures
from stages.networks.calibration import LogisticCalibration, average_precisions
from stages.networks.compute import Compute
from stages.prediction.models import TrainedModel

_EXACT = Compute(device=torch.device("cpu"), dtype=torch.float32)
"""Exported networks compute in float32, so that is what they are compared with."""
_BATCH = 20


class Task(Protocol):
    """A trained model that is to be exported, and how its answers are judged."""

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of what the graph gives."""

    @property
    def figure(self) -> str:
        """What `judge` measures."""

    def graph(self) -> nn.Module:
        """Pictures [N, H, W, C] in uint8 to the outputs."""

    def compare(self, pictures: Pictures, answers: Answers) -> AnswerComparison:
        """The answers of an exported network beside those of the trained one."""

    def judge(self, answers: Answers, split: Any) -> float:
        """How good the answers are for the first pictures of a split."""

    def load(self, data: Path, split: Split) -> Any:
        """A split of what preprocess has packed for the task."""


@dataclass(frozen=True, slots=True)
class ClassifierTask:
    """A classifier, judged by its accuracy, or by the mAP of its attributes where it tells them alone."""

    network: Classifier

    @property
    def outputs(self) -> tuple[str, ...]:
        """Probabilities of the classes, and of the attributes."""
        config = self.network.config
        return ("probabilities",) * bool(config["classes"]) + ("attributes",) * bool(attributes_of(config))

    @property
    def figure(self) -> str:
        """Accuracy, if there are classes."""
        return "accuracy" if self.network.config["classes"] else "mAP"

    def graph(self) -> nn.Module:
        """Pictures to probabilities of the classes [N, K], of the attributes [N, A], or of both."""
        return ExportedClassifier(self.network)

    def compare(self, pictures: Pictures, answers: Answers) -> AnswerComparison:
        """Probabilities beside each other."""
        found = ask(self.network, pictures, compute=_EXACT)
        expected = dict(zip(("probabilities", "attributes"), (found.classes, found.attributes), strict=True))
        return compare_classified([expected[name].numpy() for name in self.outputs], answers, self.outputs)

    def judge(self, answers: Answers, split: ClassificationSplit) -> float:
        """The share of right labels, or the mean average precision of the attributes."""
        if not self.network.config["classes"]:
            targets = targets_of(split.attributes, attributes_of(self.network.config), len(split.labels))
            return float(np.nanmean(average_precisions(answers[0], targets[: len(answers[0])])))
        found = answers[0].argmax(axis=1)
        return float((found == np.asarray(split.labels[: len(found)])).mean())

    def load(self, data: Path, split: Split) -> ClassificationSplit:
        """Labelled pictures; those with attributes alone where there are no classes."""
        return load_classification(data, split, unclassed=not self.network.config["classes"])


@dataclass(frozen=True, slots=True)
class DetectorTask:
    """A detector, judged by COCO's mAP."""

    network: Detector
    size: tuple[int, int]
    """Height and width of its pictures."""
    outputs: tuple[str, ...] = ("boxes", "labels", "scores")
    figure: str = "mAP"

    def graph(self) -> nn.Module:
        """Pictures to boxes [N, D, 4], labels [N, D], scores [N, D]."""
        return ExportedDetector(self.network, self.size)

    def compare(self, pictures: Pictures, answers: Answers) -> AnswerComparison:
        """Detections beside each other, however close to the least score."""
        config = self.network.config
        calibration = LogisticCalibration(**config.get("calibration", {}))
        (least,) = calibration(np.array([network_params(config["network"]).score_min]))
        return compare_detected(detect(self.network, pictures, _EXACT, _BATCH), answers, float(least))

    def judge(self, answers: Answers, split: DetectionSplit) -> float:
        """The mAP."""
        found = [
            (boxes[scores > 0], labels[scores > 0], scores[scores > 0])
            for boxes, labels, scores in zip(*answers, strict=True)
        ]
        truth = split.boxes[: len(found)], split.labels[: len(found)]
        return average_precision(precision(found, *truth, split.classes)).map

    def load(self, data: Path, split: Split) -> DetectionSplit:
        """Pictures with boxes."""
        return load_detection(data, split)


def task_of(kind: str, trained: TrainedModel) -> Task:
    """The task of a classifier or a detector (`kind`)."""
    network: Any = _EXACT.network(trained.network)
    if kind == "classifier":
        return ClassifierTask(network)
    return DetectorTask(network, (trained.form.height, trained.form.width))
