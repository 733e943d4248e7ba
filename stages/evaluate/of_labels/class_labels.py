"""How strongly scores contradict the class that each picture is labelled with: confident learning.

Northcutt, Jiang and Chuang 2021, https://arxiv.org/abs/1911.00068.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassDoubts:
    """What the scores say of the labels of N pictures."""

    contradiction: Floats
    """[N]: above 0 where another class is more convincing than the label, seldom beyond 1."""
    suggested: Labels
    """[N]: the most convincing of the other classes."""
    doubted: npt.NDArray[np.bool_]
    """[N]: whether confident learning counts the label as an error."""


def doubted_classes(scores: Floats, labels: Labels) -> ClassDoubts:
    """Hold scores [N, K], or probabilities, against the labels [N] of the same pictures.

    A class is as convincing as its score exceeds its usual one, which is the mean over the pictures that bear
    its label: a class that is never told surely is believed at less. A label is doubted where another class
    has the highest score of those that reach their usual one.
    """
    rows, classes = np.arange(len(labels)), scores.shape[1]
    counts = np.bincount(labels, minlength=classes)
    usual = np.bincount(labels, scores[rows, labels], minlength=classes) / np.maximum(counts, 1)
    usual[counts == 0] = 1.0  # of a class without pictures nothing is usual
    convincing = scores - usual  # [N, K]
    others = convincing.copy()
    others[rows, labels] = -np.inf
    reached = np.where(convincing >= 0, scores, -np.inf)
    return ClassDoubts(
        contradiction=others.max(axis=1) - convincing[rows, labels],
        suggested=others.argmax(axis=1),
        doubted=np.isfinite(reached.max(axis=1)) & (reached.argmax(axis=1) != labels),
    )
