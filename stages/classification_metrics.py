"""How good a classifier is, and how far its confidence can be believed."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from sklearn.metrics import confusion_matrix, f1_score
from torch import Tensor
from torchmetrics.functional.classification import multiclass_calibration_error

Labels = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassificationFigures:
    """Figures of one split."""

    accuracy: float
    """Share of pictures whose most probable class is the right one."""
    macro_f1: float
    """Mean of the classes' F1, every class that is in the split alike."""
    calibration_error: float
    """Expected calibration error: the mean gap between confidence and accuracy (Guo et al. 2017)."""
    accuracy_by_class: dict[str, float]
    """Of each class that is in the split."""


def classification_figures(
    probabilities: Tensor, labels: Labels, classes: list[str], *, bins: int
) -> ClassificationFigures:
    """Figures of probabilities [N, K] against labels [N], indices into the K `classes`."""
    predicted = probabilities.argmax(dim=1).numpy()
    present = np.unique(labels)
    error = multiclass_calibration_error(
        probabilities, torch.from_numpy(labels), num_classes=len(classes), n_bins=bins
    )
    return ClassificationFigures(
        accuracy=float((predicted == labels).mean()),
        macro_f1=float(f1_score(labels, predicted, labels=present, average="macro", zero_division=0)),
        calibration_error=float(error),
        accuracy_by_class={
            classes[label]: float((predicted[labels == label] == label).mean()) for label in present
        },
    )


def confusion(labels: Labels, predicted: Labels, classes: int) -> npt.NDArray[np.int64]:
    """How often pictures of class r were taken for class c: [classes, classes], rows r."""
    counts: npt.NDArray[np.int64] = confusion_matrix(labels, predicted, labels=np.arange(classes))
    return counts


def reliability_table(probabilities: Tensor, labels: Labels, *, bins: int) -> pd.DataFrame:
    """Mean `confidence` and `accuracy` of the `pictures` in each of `bins` equal steps of confidence.

    Steps without a picture are left out. A calibrated classifier's two columns agree.
    """
    confidence, predicted = (part.numpy() for part in probabilities.max(dim=1))
    step = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    rows = pd.DataFrame({"step": step, "confidence": confidence, "accuracy": predicted == labels})
    by_step = rows.astype({"accuracy": float}).groupby("step")
    return by_step.mean().assign(pictures=by_step.size()).reset_index(drop=True)
