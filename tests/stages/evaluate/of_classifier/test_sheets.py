import numpy as np

from stages.core.packed import ClassificationSplit
from stages.drawing.sheets import CLASSES_MOST
from stages.evaluate.of_classifier.metrics import Outcomes
from stages.evaluate.of_classifier.sheets import (
    confusion_sheet,
    most_confused,
    pictures_in,
    predictions_sheet,
    right_and_wrong,
)

BLUE = (0, 114, 178)


def test_classes_that_are_confused_most_come_first():
    counts = np.diag([9, 9, 9, 9])
    counts[3, 1] = 2
    counts[0, 2] = 1
    assert most_confused(counts, 4) == [0, 1, 2, 3]
    assert most_confused(counts, 2) == [1, 3]
    assert most_confused(counts, 3) == [0, 1, 3]


def test_table_of_ten_classes_has_room_for_its_counts():
    sheet = confusion_sheet(np.eye(10, dtype=np.int64) * 7, [str(number) for number in range(10)])
    assert sheet.height - 10 * 44 < 20
    assert (np.asarray(sheet) == BLUE).all(axis=2).sum() > 10 * 40 * 30  # the diagonal


def test_table_of_a_thousand_classes_can_be_opened_and_says_what_it_leaves_out():
    counts = np.eye(1000, dtype=np.int64)
    counts[990, 5] = 1000
    names = [f"class {number}" for number in range(1000)]
    sheet = confusion_sheet(counts, names)
    assert max(sheet.size) < 2400
    # of the row that is confused, one cell is blue: the others of the diagonal hold their whole row too
    assert (np.asarray(sheet) == BLUE).all(axis=2).sum() < 100 * 21 * 21
    all_shown = confusion_sheet(counts[:100, :100], names[:100])
    assert all_shown.height < sheet.height  # by the line that says so


def test_a_row_a_class_up_to_as_many_as_anyone_looks_at():
    labels = np.arange(3 * CLASSES_MOST) % (CLASSES_MOST + 10)
    images = np.zeros((len(labels), 8, 8, 1), np.uint8)
    rank = np.where(labels < 10, 1, 2)  # the first ten are always right
    found = Outcomes(
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
