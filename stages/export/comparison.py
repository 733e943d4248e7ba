"""Whether an exported network gives the same answers as the trained one, on the same pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stages.core.errors import ModelError
from stages.detector.network import Detection
from stages.export.formats import Answers

PROBABILITY_TOLERANCE = 1e-4
"""How much a probability or score may differ: additions in another order are rounded differently."""
PIXEL_TOLERANCE = 0.05
"""How much a box may differ, in pixels."""
UNSURE = 1e-3
"""A detection whose score is no further than this from the least one may be there or not."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AnswerComparison:
    """The greatest differences over the pictures that were compared."""

    pictures: int
    probability: float
    """The greatest difference of probabilities or scores."""
    pixels: float | None = None
    """The greatest difference of boxes; None: there are none to compare."""
    unlike: int = 0
    """The pictures with another label, or with other detections."""

    def __str__(self) -> str:
        boxes = f", boxes by {self.pixels:.2g} px" if self.pixels is not None else ""
        return (
            f"compared on {self.pictures} pictures: probabilities differ by at most {self.probability:.2g}"
            f"{boxes}; {self.unlike} pictures have another answer"
        )

    def require(self) -> None:
        """Look whether the differences are those of rounding.

        Raises:
            ModelError: They are greater.

        """
        within = self.probability <= PROBABILITY_TOLERANCE and (self.pixels or 0.0) <= PIXEL_TOLERANCE
        if not within or self.unlike:
            raise ModelError(f"the exported network is not the trained one: {self}; nothing is written")


def compare_classified(
    expected: Sequence[npt.NDArray[np.float32]], answers: Answers, outputs: Sequence[str] = ("probabilities",)
) -> AnswerComparison:
    """Probabilities of the network against the export's, [N, K] or [N, A] for each of the `outputs`.

    A picture has another answer where another class is the most probable; attributes have no such rank.
    """
    unlike = 0
    for name, mine, found in zip(outputs, expected, answers, strict=True):
        if name == "probabilities" and mine.shape[1] > 1:
            near = np.abs(np.sort(mine)[:, -1] - np.sort(mine)[:, -2]) < 2 * PROBABILITY_TOLERANCE
            unlike += int(((mine.argmax(axis=1) != found.argmax(axis=1)) & ~near).sum())
    differences = [float(np.abs(a - b).max(initial=0)) for a, b in zip(expected, answers, strict=True)]
    return AnswerComparison(pictures=len(expected[0]), probability=max(differences), unlike=unlike)


def compare_detected(expected: Sequence[Detection], answers: Answers, least: float) -> AnswerComparison:
    """Detections of the network against those of the export; `least` is the least score of one."""
    probability, pixels, unlike = 0.0, 0.0, 0
    for detection, boxes, labels, scores in zip(expected, *answers, strict=True):
        there = scores > 0
        other = boxes[there], labels[there], scores[there]
        pairs = list(_pairs(detection, other))
        for mine, theirs in pairs:
            probability = max(probability, abs(float(detection[2][mine] - other[2][theirs])))
            pixels = max(pixels, float(np.abs(detection[0][mine] - other[0][theirs]).max()))
        # The last of as many as are kept may be another one of equal score.
        last = max(least, float(scores.min(initial=1))) + UNSURE
        single = np.concatenate(
            [
                np.delete(detection[2], [mine for mine, _ in pairs]),
                np.delete(other[2], [theirs for _, theirs in pairs]),
            ]
        )
        unlike += int((single > last).any())
    return AnswerComparison(pictures=len(expected), probability=probability, pixels=pixels, unlike=unlike)


def _pairs(one: Detection, other: Detection) -> Iterator[tuple[int, int]]:
    """The places of the same detection in both: of one label, and with its corners within a pixel."""
    left = list(range(len(other[0])))
    for place, (box, label) in enumerate(zip(one[0], one[1], strict=True)):
        near = [at for at in left if other[1][at] == label and np.abs(other[0][at] - box).max() <= 1]
        if near:
            nearest = min(near, key=lambda at: float(np.abs(other[0][at] - box).max()))
            left.remove(nearest)
            yield place, nearest
