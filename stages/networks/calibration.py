"""Calibrated scores: of all answers with a score of 0.8, eight in ten are right.

For the classifier C. Guo et al. 2017, "On Calibration of Modern Neural Networks",
https://arxiv.org/abs/1706.04599. For the detector, whose scores belong to single boxes, J. Platt 1999,
"Probabilistic Outputs for Support Vector Machines". Neither changes the order of the scores.

Average precision says how well the scores of attributes separate yes from no, and a threshold makes an answer
of each score. Their arrays are [N, A], or [A] for single attributes. A target is 1, 0, or NaN if it is
unknown, and an unknown target does not count. scikit-learn is imported where it is called: it takes a second,
and most callers do without it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit, logit
from torch import Tensor

from stages.core.packed import Targets

Floats = npt.NDArray[np.floating]

TEMPERATURES = (0.05, 20.0)
"""Beyond these lie networks that are right, or wrong, about every picture: no temperature is the best one."""
CERTAIN = 1e-6
"""Scores nearer to 0 or 1 count as this near, since their logits are infinite."""
EVEN = 0.5
"""The threshold of an attribute that no picture of val, or each of them, is known to have."""


def fitted_temperature(logits: Tensor, labels: npt.NDArray[np.int64]) -> float:
    """The divisor of logits [N, K] with which their softmax is likeliest to give the labels [N]."""
    exact, truth = logits.double(), torch.from_numpy(labels)

    return _temperature(lambda divisor: F.cross_entropy(exact / divisor, truth).item())


def fitted_binary_temperature(logits: Tensor, targets: npt.NDArray[np.float32]) -> float:
    """The divisor of logits with which their sigmoid is likeliest to give the targets, of the same shape.

    Targets are 1, 0, or NaN where unknown; it is 1 where all are.
    """
    known = torch.from_numpy(~np.isnan(targets))
    exact, truth = logits.double()[known], torch.from_numpy(targets).double()[known]
    if not len(truth):
        return 1.0
    return _temperature(lambda divisor: F.binary_cross_entropy_with_logits(exact / divisor, truth).item())


def _temperature(loss: Callable[[float], float]) -> float:
    """The temperature of the least loss."""
    found = minimize_scalar(
        lambda logarithm: loss(float(np.exp(logarithm))),
        bounds=np.log(TEMPERATURES),
        method="bounded",
        options={"xatol": 1e-6},
    )
    return round(float(np.exp(found.x)), 6)


@dataclass(frozen=True, kw_only=True, slots=True)
class LogisticCalibration:
    """A score's logit, times `slope`, plus `offset`, is that of how likely it is right."""

    slope: float = 1.0
    """What the logit is multiplied by; above 0."""
    offset: float = 0.0

    def __call__(self, scores: Floats) -> npt.NDArray[np.float32]:
        """How likely what has the scores [D] is to be right: [D]."""
        if self == LogisticCalibration():
            return scores.astype(np.float32)
        sure = self.slope * _logits(scores) + self.offset
        return expit(sure).astype(np.float32)  # type: ignore[no-any-return]  # scipy's stubs say object


def fitted_logistic(scores: Floats, right: npt.NDArray[np.bool_]) -> LogisticCalibration:
    """What makes the scores [D] likeliest to tell what is `right` [D]; nothing where no better can be told.

    That is where all are right or all are wrong, and where the sure ones are wrong more often.
    """
    if right.all() or not right.any():
        return LogisticCalibration()
    inputs = np.stack([_logits(scores), np.ones(len(scores))])  # [2, D]

    def loss(line: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        """The mean cross-entropy, and its gradient."""
        sure = line @ inputs
        gradient: npt.NDArray[np.float64] = inputs @ (expit(sure) - right) / len(right)
        return float(np.mean(np.logaddexp(0, sure) - right * sure)), gradient

    slope, offset = minimize(loss, [1.0, 0.0], jac=True).x.tolist()
    if slope <= 0:
        return LogisticCalibration()
    return LogisticCalibration(slope=round(slope, 6), offset=round(offset, 6))


def _logits(scores: Floats) -> npt.NDArray[np.float64]:
    found: npt.NDArray[np.float64] = logit(np.clip(scores.astype(np.float64), CERTAIN, 1 - CERTAIN))
    return found


def average_precisions(probabilities: Floats, targets: Targets) -> npt.NDArray[np.float64]:
    """The average precision of each attribute [A], as scikit-learn computes it: no interpolation.

    It is NaN where no picture is known to have the attribute. The mean over attributes is called mAP.
    """
    from sklearn.metrics import average_precision_score

    found = np.full(targets.shape[1], np.nan)
    for place, (scores, truth) in enumerate(_known(probabilities, targets)):
        if truth.any():
            found[place] = average_precision_score(truth, scores)
    return found


def best_thresholds(probabilities: Floats, targets: Targets) -> list[float]:
    """The least probability [A] at which each attribute counts as there, so that its F1 is greatest.

    That is half way to the next probability below, so that it does not rest on one picture's last digits. Of
    equal F1 the highest threshold counts. Lipton et al. 2014 ("Thresholding classifiers to maximize F1
    score", https://arxiv.org/abs/1402.1892) say how it differs from one half.
    """
    from sklearn.metrics import precision_recall_curve

    thresholds = []
    for scores, truth in _known(probabilities, targets):
        if truth.all() or not truth.any():
            thresholds.append(EVEN)
            continue
        precision, recall, steps = precision_recall_curve(truth, scores)
        f1 = 2 * precision * recall / np.maximum(precision + recall, np.finfo(float).tiny)
        best = len(steps) - 1 - int(np.argmax(f1[:-1][::-1]))
        below = scores[scores < steps[best]].max(initial=0.0)
        thresholds.append(round(float(steps[best] + below) / 2, 6))
    return thresholds


def counts_at(
    probabilities: Floats, targets: Targets, thresholds: Floats
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Count for each attribute [A] the pictures rightly found, all that are found, and all that have it."""
    known, there = ~np.isnan(targets), targets == 1
    found = (probabilities >= thresholds) & known
    return (found & there).sum(axis=0), found.sum(axis=0), there.sum(axis=0)


def _known(probabilities: Floats, targets: Targets) -> list[tuple[Floats, npt.NDArray[np.bool_]]]:
    """The probabilities of the pictures that each attribute is known of, and whether they have it."""
    known = ~np.isnan(targets)
    return [
        (probabilities[known[:, place], place], targets[known[:, place], place] == 1)
        for place in range(targets.shape[1])
    ]
