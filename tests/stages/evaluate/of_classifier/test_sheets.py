import numpy as np
from PIL import Image

from stages.core.packed import ClassificationSplit
from stages.drawing.sheets import CLASSES_MOST, GAP, sentence_sheet
from stages.evaluate.of_classifier.metrics import ClassificationOutcomes
from stages.evaluate.of_classifier.sheets import (
    pictures_in,
    predictions_sheet,
    right_and_wrong,
    worst_sheet,
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
    part = predictions_sheet(test, found, right_and_wrong(found, range(CLASSES_MOST), 4))
    one = predictions_sheet(test, found, few)
    assert part.height < CLASSES_MOST * one.height / 2


def of_four(predicted: list[int], loss: list[float]) -> tuple[ClassificationSplit, ClassificationOutcomes]:
    """Four red pictures [N, H, W, C] of two classes, each of another shade."""
    labels = np.array([0, 0, 1, 1])
    images = np.zeros((4, 100, 100, 3), np.uint8)
    images[..., 0] = np.array([101, 102, 103, 104])[:, None, None]
    found = ClassificationOutcomes(
        labels=labels,
        predicted=np.array(predicted),
        confidence=np.full(4, 0.9),
        rank=np.where(np.array(predicted) == labels, 1, 2),
        loss=np.array(loss),
    )
    return ClassificationSplit(images=images, labels=labels, classes=["bag", "sandal"]), found


def shades_on(sheet: Image.Image) -> set[int]:
    pixels = np.asarray(sheet)
    return {red for red in range(101, 105) if (pixels == [red, 0, 0]).all(axis=2).sum() >= 2500}


def test_worst_are_only_those_that_are_wrong_or_unsure() -> None:
    assert shades_on(worst_sheet(*of_four([0, 1, 1, 1], [0.0, 3.0, 0.5, 0.05]), 4)) == {102, 103}
    none = worst_sheet(*of_four([0, 0, 1, 1], [0.0] * 4), 4)
    said = sentence_sheet("The classifier is right and sure of every test picture")
    assert (np.asarray(none) == np.asarray(said)).all()


def test_there_is_no_room_for_wrong_pictures_where_none_is() -> None:
    test, right = of_four([0, 0, 1, 1], [0.0] * 4)
    _, wrong = of_four([0, 1, 1, 1], [0.0] * 4)
    all_right = predictions_sheet(test, right, right_and_wrong(right, [0, 1], 4))
    one_wrong = predictions_sheet(test, wrong, right_and_wrong(wrong, [0, 1], 4))
    assert shades_on(all_right) == shades_on(one_wrong) == {101, 102, 103, 104}
    assert one_wrong.width - all_right.width == 200 + GAP  # a third column
    assert all_right.width < 3 * 200
