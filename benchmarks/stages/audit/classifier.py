"""The classifier's figures, from the table of its predictions, by scikit-learn and torchmetrics."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    f1_score,
    precision_recall_fscore_support,
)
from torchmetrics.functional.classification import binary_calibration_error

from benchmarks.stages.audit.table import Row, compared

NAMES = dict.fromkeys(("actual", "predicted", "attribute"), str)
"""Columns of names, which may look like numbers."""


def audit_classifier(figures: Mapping[str, Any], predictions: Path, *, bins: int) -> list[Row]:
    """Compare the figures of evaluate.json with those of the table, which has a row a test picture."""
    table = pd.read_csv(predictions, na_filter=False, dtype=NAMES)
    actual, predicted = table["actual"], table["predicted"]
    right = torch.tensor((actual == predicted).to_numpy(), dtype=torch.int64)
    confidence = torch.tensor(table["confidence"].to_numpy())
    present = sorted(actual.unique())
    independent = {
        "accuracy": accuracy_score(actual, predicted),
        "top5_accuracy": float((table["rank"] <= 5).mean()),
        "macro_f1": f1_score(actual, predicted, labels=present, average="macro", zero_division=0),
        # Of "is it right" with the confidence as its probability: both are the same steps and gaps.
        "calibration_error": float(binary_calibration_error(confidence, right, n_bins=bins, norm="l1")),
    }
    rows = compared(
        "classifier",
        figures,
        independent,
        {
            "accuracy": "scikit-learn",
            "top5_accuracy": "its definition",
            "macro_f1": "scikit-learn",
            "calibration_error": "torchmetrics",
        },
    )
    each = precision_recall_fscore_support(actual, predicted, labels=present, zero_division=0)
    for name, *values in zip(present, *each, strict=True):
        of_class = dict(zip(("precision", "recall", "f1", "pictures"), values, strict=True))
        rows += compared(f"classifier.by_class.{name}", figures["by_class"][name], of_class, "scikit-learn")
    return rows


def audit_attributes(figures: Mapping[str, Any], answers: Path, *, bins: int) -> list[Row]:
    """Compare the figures of attributes with those of the table of answers, where these are known."""
    table = pd.read_csv(answers, keep_default_na=False, dtype=NAMES)
    table = table[table["actual"] != ""].assign(truth=lambda known: (known["actual"] == "yes").astype(int))
    rows: list[Row] = []
    by_attribute: dict[str, dict[str, float]] = {}
    for name, of_one in table.groupby("attribute", sort=False):
        truth, said = of_one["truth"], (of_one["predicted"] == "yes").astype(int)
        if not truth.any():
            continue
        precision, recall, f1, _ = precision_recall_fscore_support(
            truth, said, average="binary", zero_division=0
        )
        by_attribute[str(name)] = {
            "average_precision": float(average_precision_score(truth, of_one["probability"])),
            "precision": float(precision),
            "recall": float(recall),
            "f1": float(f1),
            "calibration_error": _gap(of_one, bins),
            "pictures": float(len(truth)),
            "share": float(truth.mean()),
        }
    for name, found in by_attribute.items():
        of_attribute = figures["by_attribute"][name]
        rows += compared(f"classifier.by_attribute.{name}", of_attribute, found, "scikit-learn, torchmetrics")
    means = {
        "attribute_map": np.mean([one["average_precision"] for one in by_attribute.values()]),
        "attribute_macro_f1": np.mean([one["f1"] for one in by_attribute.values()]),
        "attribute_calibration_error": _gap(table, bins),
    }
    return rows + compared("classifier", figures, means, "scikit-learn, torchmetrics")


def _gap(answers: pd.DataFrame, bins: int) -> float:
    probabilities = torch.tensor(answers["probability"].to_numpy())
    truth = torch.tensor(answers["truth"].to_numpy())
    return float(binary_calibration_error(probabilities, truth, n_bins=bins, norm="l1"))
