"""Counts of the packed data, and the validation figures of trained models, from the files that are left."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file
from sklearn.metrics import accuracy_score

from benchmarks.stages.audit.table import Row, compared
from stages.classifier.network import Classifier, predict
from stages.core.packed import ClassificationSplit, load_classification, load_detection
from stages.core.splits import SPLITS
from stages.networks.compute import Compute

NO_PARAMETERS = ("running_mean", "running_var", "num_batches_tracked", "mean", "std", "temperature")
"""How names of tensors end that are kept with a network and that no training changes by gradients."""


def audit_counts(figures: Mapping[str, Any], prepared: Path) -> list[Row]:
    """Compare the counts of preprocess.json with those of the packed labels."""
    rows = []
    for task, unit in (("classification", "by_class"), ("detection", "boxes_by_class")):
        if task not in figures:
            continue
        load = load_classification if task == "classification" else load_detection
        counts = {}
        for split in SPLITS:
            data = load(prepared / task, split)
            labels = np.concatenate([np.zeros(0, np.int64), *map(np.atleast_1d, data.labels)])
            counts[split] = {name: int((labels == label).sum()) for label, name in enumerate(data.classes)}
            prefix = f"preprocess.{task}.{split}"
            rows += compared(prefix, figures[task][split], {"images": len(data.images)}, "NumPy")
            rows += compared(f"{prefix}.{unit}", figures[task][split][unit], counts[split], "NumPy")
        of_train = counts["train"].values()
        balance = {"balance": min(of_train) / max(of_train) if max(of_train) else 0.0}
        rows += compared(f"preprocess.{task}", figures[task], balance, "NumPy")
    return rows


def audit_size(prefix: str, size: Mapping[str, Any], model: Path) -> list[Row]:
    """Compare a network's size with that of the tensors in its file."""
    tensors = load_file(model)
    learnt = [value.size for name, value in tensors.items() if name.split(".")[-1] not in NO_PARAMETERS]
    megabytes = sum(value.nbytes for value in tensors.values()) / 1e6
    return compared(
        prefix,
        size,
        {"parameters": sum(learnt), "megabytes": megabytes},
        "the tensors in the model's file",
    )


def audit_training(
    figures: Mapping[str, Any], network: Classifier, val: ClassificationSplit, compute: Compute
) -> list[Row]:
    """Compare what the classifier's training says of its network with the network on the val split."""
    found = predict(network, val.images, compute=compute).argmax(dim=1).numpy()
    independent = {
        "val_accuracy": float(accuracy_score(val.labels, found)),
        "parameters": float(sum(np.prod(value.shape) for value in network.parameters())),
    }
    return compared("train-classifier", figures, independent, "scikit-learn, NumPy")
