"""How good a classifier is, how far its confidence can be believed, and how far its figures can."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.metrics import confusion_matrix
from torch import Tensor

from stages.core.errors import DataError
from stages.evaluate.resampling import DrawCounts, Resampled

Labels = npt.NDArray[np.int64]
Counts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

TOP = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassificationOutcomes:
    """What a classifier made of each of N pictures; every array is [N]."""

    labels: Labels
    predicted: Labels
    confidence: Floats
    """The probability of the class predicted."""
    rank: Labels
    """Rank of the right class among all by probability: 1 where it was predicted."""
    loss: Floats
    """Minus the logarithm of the right class's probability."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassFigures:
    """Figures of one class; a class that is never predicted has a precision of 0."""

    precision: float
    recall: float
    f1: float
    pictures: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassificationFigures:
    """Figures of one split."""

    accuracy: float
    """Share of pictures whose most probable class is the right one."""
    top5_accuracy: float
    """Share of pictures whose right class is among the five most probable."""
    macro_f1: float
    """Mean of the classes' F1, every class that is in the split alike."""
    calibration_error: float
    """Expected calibration error: the mean gap between confidence and accuracy (Guo et al. 2017)."""
    by_class: dict[str, ClassFigures]
    """Figures of each class that is in the split, by its name."""


def classification_outcomes(probabilities: Tensor, labels: Labels) -> ClassificationOutcomes:
    """Judge predicted probabilities [N, K] by the labels [N]; of equally probable classes the first counts.

    Raises:
        DataError: No picture at all, or a probability that is not finite.

    """
    if not len(labels):
        raise DataError("no picture to judge the classifier by: the test split is empty; see `preprocess`")
    probable: Floats = probabilities.double().numpy()
    if not (finite := np.isfinite(probable).all(axis=1)).all():
        raise DataError(
            f"{(~finite).sum()} of {len(labels)} pictures have probabilities that are NaN or infinite, "
            f"first number {(~finite).argmax()}: train the classifier again"
        )
    right = probable[np.arange(len(labels)), labels][:, None]
    before = np.arange(probable.shape[1]) < labels[:, None]
    return ClassificationOutcomes(
        labels=labels,
        predicted=probable.argmax(axis=1),
        confidence=probable.max(axis=1),
        rank=1 + ((probable > right) | ((probable == right) & before)).sum(axis=1),
        loss=-np.log(np.maximum(right[:, 0], np.finfo(np.float32).tiny)),
    )


def classification_figures(
    found: ClassificationOutcomes, classes: list[str], *, bins: int
) -> ClassificationFigures:
    """Measure outcomes whose labels are indices into the K `classes`."""
    counts = confusion(found.labels, found.predicted, len(classes))
    steps = reliability_table(found, bins=bins)
    return ClassificationFigures(
        accuracy=float((found.rank == 1).mean()),
        top5_accuracy=float((found.rank <= TOP).mean()),
        macro_f1=macro_f1(counts),
        calibration_error=calibration_error(steps, steps["pictures"]),
        by_class={
            name: ClassFigures(precision=p, recall=r, f1=f, pictures=number)
            for name, p, r, f, number in zip(
                classes, *map(np.ndarray.tolist, _by_class(counts)), counts.sum(axis=1).tolist(), strict=True
            )
            if number
        },
    )


def resampled_figures(
    found: ClassificationOutcomes, drawn: Iterable[DrawCounts], *, classes: int, bins: int
) -> Resampled:
    """Measure the four figures in every draw of the N pictures: [R] each, by name."""
    right, among_five = found.rank == 1, found.rank <= TOP
    cells, steps = found.labels * classes + found.predicted, _steps(found.confidence, bins)
    gaps = found.confidence - right
    rows = [
        (
            counts @ right / counts.sum(),
            counts @ among_five / counts.sum(),
            macro_f1(np.bincount(cells, counts, minlength=classes**2).reshape(classes, classes)),
            np.abs(np.bincount(steps, counts * gaps)).sum() / counts.sum(),
        )
        for counts in drawn
    ]
    names = ("accuracy", "top5_accuracy", "macro_f1", "calibration_error")
    return dict(zip(names, np.array(rows).T, strict=True))


def confusion(labels: Labels, predicted: Labels, classes: int) -> Counts:
    """Count how often pictures of class r were taken for class c: [K, K], r in rows."""
    counts: Counts = confusion_matrix(labels, predicted, labels=np.arange(classes))
    return counts


def macro_f1(counts: npt.NDArray[np.number]) -> float:
    """Mean F1 of the classes that have pictures, from the confusion [K, K]."""
    _, _, f1 = _by_class(counts)
    return float(f1[counts.sum(axis=1) > 0].mean())


def reliability_table(found: ClassificationOutcomes, *, bins: int) -> pd.DataFrame:
    """Mean `confidence` and `accuracy` of the `pictures` in each of `bins` equal steps of confidence.

    A step ends with its upper edge; steps without a picture are left out. A calibrated classifier's two
    columns agree.
    """
    steps = reliability(found.confidence, found.rank == 1, bins=bins)
    return steps.rename(columns={"count": "pictures"})


def reliability(confidence: Floats, right: npt.NDArray[np.bool_], *, bins: int) -> pd.DataFrame:
    """Mean `confidence` [N] and `accuracy`, and the `count`, in each of `bins` steps that is not empty."""
    rows = pd.DataFrame(
        {"step": _steps(confidence, bins), "confidence": confidence, "accuracy": right.astype(float)}
    )
    by_step = rows.groupby("step")
    return by_step.mean().assign(count=by_step.size()).reset_index(drop=True)


def calibration_error(steps: pd.DataFrame, counts: "pd.Series[int]") -> float:
    """The mean gap between confidence and accuracy over steps of `counts` pictures; 0 without pictures."""
    gaps = counts * (steps["confidence"] - steps["accuracy"]).abs()
    return float(gaps.sum() / max(1, counts.sum()))


def outcome_table(found: ClassificationOutcomes, classes: list[str]) -> pd.DataFrame:
    """A row for each picture in the split's order, with the names of its class and of the one predicted."""
    names = np.array(classes)
    return pd.DataFrame(
        {
            "picture": np.arange(len(found.labels)),
            "actual": names[found.labels],
            "predicted": names[found.predicted],
            "confidence": found.confidence,
            "rank": found.rank,
            "loss": found.loss,
        }
    )


def _steps(confidence: Floats, bins: int) -> Labels:
    """The number of the step, of `bins` equal ones, that each value [N] lies in."""
    return np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], confidence)


def _by_class(counts: npt.NDArray[np.number]) -> tuple[Floats, Floats, Floats]:
    """Precision, recall and F1 of each class [K]; 0 where there is nothing to divide by."""
    right, found, there = counts.diagonal(), counts.sum(axis=0), counts.sum(axis=1)
    return (
        right / np.maximum(found, 1),
        right / np.maximum(there, 1),
        2 * right / np.maximum(found + there, 1),
    )
