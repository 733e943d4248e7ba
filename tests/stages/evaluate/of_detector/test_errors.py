import numpy as np
import pytest

from stages.evaluate.of_detector.errors import (
    KINDS,
    DetectionErrors,
    detection_errors,
    detection_outcomes,
    matched,
    score_calibration,
    score_reliability,
)

# A cat of 10 x 10 pixels at the left, a dog of the same size at the right.
BOXES = [np.array([[0, 0, 10, 10], [50, 0, 60, 10]], np.float32)]
LABELS = [np.array([0, 1])]
CAT, DOG = BOXES[0].tolist()
NEAR_CAT = [5, 0, 15, 10]  # IoU 1/3
NOWHERE = [20, 20, 30, 30]


def judged(*found, boxes=BOXES, labels=LABELS, score_min=0.3):
    """Detections (box, label, score) of one picture."""
    arrays = (
        np.array([box for box, _, _ in found], np.float32).reshape(-1, 4),
        np.array([label for _, label, _ in found], np.int64),
        np.array([score for _, _, score in found], np.float32),
    )
    return detection_outcomes([arrays], boxes, labels, classes=2, score_min=score_min)


@pytest.mark.parametrize(
    ("box", "label", "kind", "missed"),
    [
        (CAT, 0, "right", 1),
        (CAT, 1, "wrong_class", 1),
        (NEAR_CAT, 0, "badly_placed", 1),
        (NEAR_CAT, 1, "wrong_class_and_place", 1),
        (NOWHERE, 0, "background", 2),
    ],
)
def test_a_detection_is_one_of_the_kinds(box, label, kind, missed):
    found = judged((box, label, 0.9))
    assert [KINDS[k] for k in found.kinds] == [kind]
    assert found.missed == missed


def test_the_second_on_one_item_is_double_however_well_it_is_placed():
    errors = detection_errors(judged(([0, 0, 10, 8], 0, 0.9), (CAT, 0, 0.8)))
    assert (errors.right, errors.double, errors.missed) == (1, 1, 1)


def test_kinds_add_up_to_the_detections_that_are_sure_enough():
    found = judged((CAT, 0, 0.9), (CAT, 0, 0.8), (DOG, 0, 0.7), (NOWHERE, 1, 0.3), (DOG, 1, 0.29))
    assert len(found.kinds) == 4
    errors = detection_errors(found)
    assert errors.right + errors.double + errors.wrong_class + errors.background == 4
    assert errors.missed == 0  # of the dog it is said that it is a cat


def test_an_item_found_right_is_not_missed_for_a_wrong_one_beside():
    assert judged((DOG, 1, 0.9), (DOG, 0, 0.8), (CAT, 0, 0.7)).missed == 0


def test_confusion_says_what_was_taken_for_what():
    found = judged((CAT, 0, 0.9), (DOG, 0, 0.8), (NOWHERE, 1, 0.7), (CAT, 0, 0.6), (NEAR_CAT, 0, 0.5))
    # rows: cat, dog, ground; the fourth is a double, the fifth is badly placed
    assert found.confusion.tolist() == [[1, 0, 0], [1, 0, 0], [0, 1, 0]]
    assert judged((CAT, 1, 0.9), (CAT, 0, 0.5)).confusion.tolist() == [[1, 1, 0], [0, 0, 1], [0, 0, 0]]


@pytest.mark.parametrize("seed", range(20))
def test_confusion_adds_up_to_the_figures_beside_it(seed):
    rng = np.random.default_rng(seed)

    def drawn(count):
        corner = rng.uniform(0, 30, (count, 2))
        return np.concatenate([corner, corner + rng.uniform(5, 20, (count, 2))], axis=1).astype(np.float32)

    boxes, labels = drawn(8), rng.integers(0, 2, 8)
    near = boxes[rng.integers(0, 8, 25)] + rng.normal(0, 2, (25, 4)).astype(np.float32)
    found = [*zip(near.tolist(), rng.integers(0, 2, 25), rng.random(25), strict=True)]
    outcomes = judged(*found, boxes=[boxes], labels=[labels], score_min=0.0)
    errors, confusion = detection_errors(outcomes), outcomes.confusion
    items = confusion[:2, :2]
    assert items.trace() == errors.right
    assert items.sum() - items.trace() == errors.wrong_class
    assert (confusion[2, :2].sum(), confusion[:2, 2].sum()) == (errors.background, errors.missed)


def test_each_item_is_taken_once_by_the_surest():
    overlap = np.array([[0.6, 0.7], [0.9, 0.8], [0.9, 0.8]])
    assert matched(overlap, np.ones((3, 2), bool)).tolist() == [1, 0, -1]


@pytest.mark.parametrize("boxes", [BOXES, [np.zeros((0, 4), np.float32)]])
@pytest.mark.parametrize("found", [[], [(NOWHERE, 0, 0.9)]])
def test_nothing_found_and_nothing_there(boxes, found):
    labels = [np.zeros(len(boxes[0]), np.int64)]
    errors = detection_errors(judged(*found, boxes=boxes, labels=labels))
    assert (errors.background, errors.missed) == (len(found), len(boxes[0]))
    steps = score_reliability(judged(*found, boxes=boxes, labels=labels), bins=5)
    assert score_calibration(steps) == pytest.approx(0.9 * len(found))


def test_calibration_is_the_mean_gap_between_score_and_share_that_is_right():
    found = judged((CAT, 0, 0.9), (DOG, 1, 0.5), (NOWHERE, 0, 0.5))
    steps = score_reliability(found, bins=2)
    # up to .5: two with a mean score of .5, one right; above: one of .9, right
    assert steps["count"].tolist() == [2, 1]
    assert steps["accuracy"].tolist() == [0.5, 1.0]
    assert score_calibration(steps) == pytest.approx((2 * 0.0 + 1 * 0.1) / 3)


def test_detections_and_truth_that_differ_in_number_are_refused():
    with pytest.raises(ValueError, match="zip"):
        judged((CAT, 0, 0.9), boxes=BOXES * 2, labels=LABELS * 2)
    with pytest.raises(ValueError, match="zip"):
        judged((CAT, 0, 0.9), labels=LABELS * 2)


# 10 x 10 pixels against 10 x 5 of them, which is an IoU of .5, and against one of them
HALF_A_CAT, TENTH_OF_A_CAT = [0, 0, 10, 5], [0, 0, 10, 1]


@pytest.mark.parametrize(
    ("box", "label", "kind"),
    [
        (HALF_A_CAT, 0, "right"),
        (HALF_A_CAT, 1, "wrong_class"),
        ([0, 0, 10, 4.99], 0, "badly_placed"),
        ([0, 0, 10, 4.99], 1, "wrong_class_and_place"),
        ([0, 0, 10, 1.01], 0, "badly_placed"),
        ([0, 0, 10, 1.01], 1, "wrong_class_and_place"),
        ([0, 0, 10, 0.99], 0, "background"),
        ([0, 0, 10, 0.99], 1, "background"),
    ],
)
def test_a_half_is_on_an_item_and_a_tenth_is_near_it(box, label, kind):
    assert [KINDS[k] for k in judged((box, label, 0.9)).kinds] == [kind]


def test_of_two_doubts_the_first_kind_holds():
    """A box over the cat's half and the dog's, of the class of one: taken items are doubles, others not."""
    boxes, labels = [np.array([[0, 0, 10, 10], [0, 5, 10, 15]], np.float32)], [np.array([0, 1])]
    between = [0, 2, 10, 12]  # IoU 2/3 with the cat, 7/13 with the dog
    found = judged((between, 0, 0.9), (between, 0, 0.8), (between, 1, 0.7), boxes=boxes, labels=labels)
    assert [KINDS[k] for k in found.kinds] == ["right", "double", "right"]
    assert found.missed == 0


def test_the_surest_is_judged_first_whatever_their_order_and_equal_ones_as_they_come():
    found = judged((CAT, 0, 0.5), (CAT, 0, 0.9), (NOWHERE, 0, 0.5), (DOG, 1, 0.5))
    assert [KINDS[k] for k in found.kinds] == ["right", "double", "background", "right"]
    assert found.scores.tolist() == pytest.approx([0.9, 0.5, 0.5, 0.5])
    assert found.scores.dtype == np.float64


def test_a_wrong_class_is_counted_for_the_item_that_it_overlaps_most():
    """Over two dogs, said to be a cat: the nearer dog is spoken of, the other one missed."""
    boxes = [np.array([[0, 0, 10, 10], [3, 0, 13, 10], [30, 0, 40, 10]], np.float32)]
    found = judged(([2.5, 0, 12.5, 10], 0, 0.9), boxes=boxes, labels=[np.array([1, 1, 1])])
    assert found.missed == 2
    assert found.confusion.tolist() == [[0, 0, 0], [1, 0, 2], [0, 0, 0]]


@pytest.mark.parametrize(
    ("box", "label"), [(NEAR_CAT, 0), (NEAR_CAT, 1)], ids=["badly placed", "wrong class and place"]
)
def test_an_item_that_a_badly_placed_detection_is_nearest_to_is_not_missed(box, label):
    """Two cats, of which the detection is near both and nearer the second."""
    boxes = [np.array([[9.5, 0, 19.5, 10], [0, 0, 10, 10]], np.float32)]
    found = judged((box, label, 0.9), boxes=boxes, labels=[np.array([0, 0])])
    assert found.missed == 1
    assert found.confusion.sum() == 1  # the missed one alone


def test_pictures_are_counted_one_after_the_other():
    one = (np.array([CAT, NOWHERE], np.float32), np.array([0, 1]), np.array([0.4, 0.8], np.float32))
    two = (np.array([DOG], np.float32), np.array([1]), np.array([0.6], np.float32))
    found = detection_outcomes([one, two], BOXES * 2, LABELS * 2, classes=2, score_min=0.3)
    assert found.scores.tolist() == pytest.approx([0.8, 0.4, 0.6])
    assert [KINDS[k] for k in found.kinds] == ["background", "right", "right"]
    assert found.missed == 2
    assert found.confusion.tolist() == [[1, 0, 1], [0, 1, 1], [0, 1, 0]]
    assert (found.confusion.dtype, found.kinds.dtype) == (np.int64, np.int64)
    assert detection_errors(found) == DetectionErrors(
        right=2, wrong_class=0, badly_placed=0, wrong_class_and_place=0, double=0, background=1, missed=2
    )


def test_a_detection_takes_the_item_that_it_overlaps_most_of_those_it_may():
    overlap = np.array([[0.9, 0.6, 0.7], [0.9, 0.5, 0.49]])
    allowed = np.array([[False, True, True], [True, True, True]])
    assert matched(overlap, allowed).tolist() == [2, 0]
    assert matched(overlap[1:], np.array([[False, True, True]])).tolist() == [1]
    assert matched(overlap[1:], np.array([[False, False, True]])).tolist() == [-1]
    assert matched(np.zeros((2, 0)), np.zeros((2, 0), bool)).tolist() == [-1, -1]
