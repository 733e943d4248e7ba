"""Scores that mean what they say: of what is given 0.8, eight in ten are right.

For the classifier C. Guo et al. 2017, "On Calibration of Modern Neural Networks",
https://arxiv.org/abs/1706.04599; for the detector, whose scores are those of single boxes, J. Platt 1999,
"Probabilistic Outputs for Support Vector Machines". Neither changes which score is greater.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit, logit
from torch import Tensor

Floats = npt.NDArray[np.floating]

TEMPERATURES = (0.05, 20.0)
"""Beyond these lie networks that are right, or wrong, about every picture: no temperature is the best one."""
CERTAIN = 1e-6
"""Scores nearer to 0 or 1 count as this near, since their logits are infinite."""


def fitted_temperature(logits: Tensor, labels: npt.NDArray[np.int64]) -> float:
    """By what to divide logits [N, K] so that their softmax is likeliest to give the labels [N]."""
    exact, truth = logits.double(), torch.from_numpy(labels)

    def loss(logarithm: float) -> float:
        return F.cross_entropy(exact / np.exp(logarithm), truth).item()

    found = minimize_scalar(loss, bounds=np.log(TEMPERATURES), method="bounded", options={"xatol": 1e-6})
    return round(float(np.exp(found.x)), 6)


@dataclass(frozen=True, kw_only=True, slots=True)
class LogisticCalibration:
    """A score's logit, times `slope`, plus `offset`, is that of how likely it is right."""

    slope: float = 1.0
    """Above 0."""
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
