"""What a detector says against labelled boxes, one kind after the other."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from stages.evaluate.of_labels.box_labels import BoxDoubt, doubted_boxes, found_scores
from stages.evaluate.of_labels.ranking import ranked

CAT, DOG = 0, 1
LEFT, LEFT_HALF, RIGHT = [0, 0, 10, 10], [0, 5, 10, 15], [50, 50, 60, 60]


def boxes(*edges: list[int]) -> npt.NDArray[np.float32]:
    return np.array(edges, np.float32).reshape(-1, 4)


def doubts(found: list[tuple[list[int], int, float]], given: list[tuple[list[int], int]]) -> list[BoxDoubt]:
    """Of two pictures: one in which a cat and a dog are found by .8 as they are labelled, and another."""
    usual = [(LEFT, CAT, 0.8), (RIGHT, DOG, 0.8)]
    pictures: list[Any] = [usual, found]
    detections = [
        (
            boxes(*(edges for edges, _, _ in one)),
            np.array([label for _, label, _ in one], np.int64),
            np.array([score for _, _, score in one], np.float32),
        )
        for one in pictures
    ]
    labelled: list[Any] = [[(edges, label) for edges, label, _ in usual], given]
    boxes_of = [boxes(*(edges for edges, _ in one)) for one in labelled]
    labels_of = [np.array([label for _, label in one], np.int64) for one in labelled]
    believed = [found_scores(*one) for one in zip(detections, boxes_of, labels_of, strict=True)]
    return doubted_boxes(detections, boxes_of, labels_of, believed)


def test_what_is_found_as_labelled_is_contradicted_no_more_than_usual() -> None:
    usual, doubt = doubts([(LEFT, CAT, 0.8), (LEFT, DOG, 0.1)], [(LEFT, CAT)])
    assert doubt.contradiction == usual.contradiction == 0.5


def test_a_box_is_missing() -> None:
    usual, doubt = doubts([(LEFT, CAT, 0.8), (RIGHT, DOG, 0.7)], [(LEFT, CAT)])
    assert (doubt.kind, doubt.box, doubt.detection) == ("missing", None, 1)
    assert doubt.contradiction == 0.75  # of two: one is less, and the picture itself counts half
    assert usual.contradiction == 0.5


def test_a_part_of_what_is_labelled_is_no_missing_box() -> None:
    _, doubt = doubts([(LEFT, CAT, 0.8), ([0, 0, 10, 4], DOG, 0.9)], [(LEFT, CAT)])  # IoU .4
    assert doubt.kind != "missing"
    assert doubt.contradiction == 0.5


def test_nothing_is_in_a_box() -> None:
    usual, doubt = doubts([(LEFT, CAT, 0.8)], [(LEFT, CAT), (RIGHT, CAT)])
    assert (doubt.kind, doubt.box, doubt.detection) == ("spurious", 1, None)
    assert doubt.contradiction > usual.contradiction


def test_a_box_has_another_class() -> None:
    usual, doubt = doubts([(LEFT, DOG, 0.9), (LEFT, CAT, 0.2)], [(LEFT, CAT)])
    assert (doubt.kind, doubt.box, doubt.detection) == ("another_class", 0, 0)
    assert doubt.contradiction > usual.contradiction


def test_a_box_stands_beside_its_thing() -> None:
    usual, doubt = doubts([(LEFT_HALF, CAT, 0.9)], [(LEFT, CAT)])  # IoU 50 / 150
    assert (doubt.kind, doubt.box, doubt.detection) == ("badly_placed", 0, 0)
    assert doubt.contradiction > usual.contradiction


@pytest.mark.parametrize("given", [[], [(LEFT, CAT)]])
def test_a_picture_in_which_nothing_is_found(given: list[tuple[list[int], int]]) -> None:
    usual, doubt = doubts([], given)
    assert (doubt.contradiction > usual.contradiction) == bool(given)
    assert doubt.kind == ("spurious" if given else None)


def test_how_sure_a_detector_usually_is_changes_no_order() -> None:
    """All scores and probabilities a tenth of what they were."""
    orders = []
    for scale in (1.0, 0.1):
        draw = np.random.default_rng(1)
        detections, given, labels, believed = [], [], [], []
        for _ in range(30):
            found = boxes(LEFT, RIGHT)[: draw.integers(1, 3)]
            scores = draw.random(len(found)).astype(np.float32) * np.float32(scale)
            detections.append((found, np.zeros(len(found), np.int64), scores))
            given.append(boxes(LEFT))
            labels.append(np.zeros(1, np.int64))
            believed.append(draw.random(1) * scale)
        found_doubts = doubted_boxes(detections, given, labels, believed)
        orders.append([one.contradiction for one in found_doubts])
    assert orders[0] == orders[1]


@pytest.mark.slow
def test_planted_errors_stand_first_where_the_detector_is_good_but_not_perfect() -> None:
    """It misses 1 % of the things, takes 1 % for another class, and finds some that there are not."""
    draw = np.random.default_rng(3)
    given, labels, detections, wrong = [], [], [], np.zeros(400, bool)
    for number in range(400):
        true = np.array([[x, x, x + 20, x + 20] for x in (5, 40, 75)], np.float32)
        classes = draw.integers(0, 4, 3)
        told = np.where(draw.random(3) < 0.01, (classes + 1) % 4, classes)
        seen = draw.random(3) >= 0.01
        extra = boxes([5, 70, 25, 90])[: int(draw.random() < 0.15)]
        detections.append(
            (
                np.concatenate([(true + draw.normal(0, 1, true.shape).astype(np.float32))[seen], extra]),
                np.concatenate([told[seen], [0] * len(extra)]).astype(np.int64),
                np.concatenate(
                    [draw.uniform(0.6, 1, seen.sum()), draw.uniform(0.05, 0.6, len(extra))]
                ).astype(np.float32),
            )
        )
        wrong[number] = number < 20
        if number < 20:
            one = number % 3
            true, classes = _spoilt(true, classes, one, ("out", "in", "moved", "class")[number % 4])
        given.append(true)
        labels.append(classes)
    believed = [found_scores(*one) for one in zip(detections, given, labels, strict=True)]
    found = doubted_boxes(detections, given, labels, believed)
    order = ranked({"train": np.array([one.contradiction for one in found])})
    assert sum(wrong[row] for _, row in order[:40]) >= 16


def _spoilt(true: Any, classes: Any, one: int, how: str) -> tuple[Any, Any]:
    if how == "out":
        return np.delete(true, one, axis=0), np.delete(classes, one)
    if how == "in":
        return np.vstack([true, boxes([75, 10, 95, 30])]), np.append(classes, 1)
    true, classes = true.copy(), classes.copy()
    if how == "moved":
        true[one, ::2] += 12
    else:
        classes[one] = (classes[one] + 2) % 4
    return true, classes
