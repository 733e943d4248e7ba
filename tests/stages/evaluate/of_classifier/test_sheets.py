import numpy as np

from stages.core.packed import ClassificationSplit
from stages.drawing.sheets import CLASSES_MOST
from stages.evaluate.of_classifier.metrics import ClassificationOutcomes
from stages.evaluate.of_classifier.sheets import (
    pictures_in,
    predictions_sheet,
    right_and_wrong,
)


def test_a_row_a_class_up_to_as_many_as_anyone_looks_at():
    labels = np.arange(3 * CLASSES_MOST) % (CLASSES_MOST + 10)
    images = np.zeros((len(labels), 8, 8, 1), np.uint8)
    rank = np.where(labels < 10, 1, 2)  # the first ten are always right
    found = ClassificationOutcomes(
        labels=labels,
        predicted=np.where(rank == 1, labels, 0),
        confidence=np.linspace(0, 1, len(labels)),
        rank=rank,
        loss=np.zeros(len(labels)),
    )
    test = ClassificationSplit(
        images=images, labels=labels, classes=[str(n) for n in range(CLASSES_MOST + 10)]
    )
    few = right_and_wrong(found, [3, 20], columns=4)
    assert [labels[row] for row in pictures_in(few)] == [3] * len(few[3][0]) + [20] * len(few[20][1])
    assert list(found.confidence[few[20][1]]) == sorted(found.confidence[few[20][1]], reverse=True)
    part = predictions_sheet(test, found, right_and_wrong(found, range(CLASSES_MOST), 4), 4)
    one = predictions_sheet(test, found, few, 4)
    assert part.height < CLASSES_MOST * one.height / 2
