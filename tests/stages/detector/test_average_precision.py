import json
from dataclasses import asdict

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from stages.core.errors import DataError
from stages.detector.average_precision import average_precision, precision
from stages.evaluate.of_detector.resampled import precision_by_recall, resampled_precision
from stages.evaluate.resampling import halves

CLASSES = ["cat", "dog"]
# Two pictures: a cat and a dog in the first, a cat in the second.
BOXES = [
    np.array([[0, 0, 10, 10], [20, 20, 40, 40]], dtype=np.float32),
    np.array([[5, 5, 25, 15]], dtype=np.float32),
]
LABELS = [np.array([0, 1]), np.array([0])]


def detection(boxes, labels, scores):
    return (
        np.array(boxes, dtype=np.float32).reshape(-1, 4),
        np.array(labels, dtype=np.int64),
        np.array(scores, dtype=np.float32),
    )


def map50_of(scores):
    return {name: of.map50 for name, of in scores.by_class.items()}


NOTHING = detection([], [], [])
PERFECT = [detection(BOXES[0], [0, 1], [0.9, 0.8]), detection(BOXES[1], [0], [0.7])]


def test_perfect_detections():
    scores = average_precision(precision(PERFECT, BOXES, LABELS, CLASSES))
    assert scores.map == scores.map50 == scores.map75 == pytest.approx(1.0)
    assert map50_of(scores) == pytest.approx({"cat": 1.0, "dog": 1.0})


def test_no_detections():
    scores = average_precision(precision([NOTHING, NOTHING], BOXES, LABELS, CLASSES))
    assert scores.map == scores.map50 == scores.map75 == 0.0
    assert map50_of(scores) == {"cat": 0.0, "dog": 0.0}


def test_half_of_the_cats():
    # Recall stops at 1 of 2 with precision 1: of COCO's 101 recall points, 0 to .50 count, which are 51.
    scores = average_precision(
        precision([detection(BOXES[0][:1], [0], [0.9]), NOTHING], BOXES, LABELS, CLASSES)
    )
    assert map50_of(scores) == pytest.approx({"cat": 51 / 101, "dog": 0.0})


def test_a_false_alarm_above_the_truth_halves_precision():
    alarmed = detection([[60, 60, 70, 70], BOXES[0][1]], [1, 1], [0.9, 0.8])
    scores = average_precision(precision([alarmed, NOTHING], BOXES, LABELS, CLASSES))
    assert scores.by_class["dog"].map50 == pytest.approx(0.5)


def test_the_overlap_decides_at_which_thresholds_a_box_counts():
    # 20 x 20 against its lower 20 x 13: IoU .65 counts at .50, .55, .60 and .65
    loose = detection([[20, 27, 40, 40]], [1], [0.9])
    scores = average_precision(precision([loose], BOXES[:1], [np.array([0, 1])], CLASSES))
    assert scores.by_class["dog"].map50 == pytest.approx(1.0)
    assert scores.map75 == 0.0
    assert scores.map == pytest.approx((4 / 10 + 0) / 2)


def test_a_class_without_boxes_is_left_out_of_the_mean():
    scores = average_precision(precision(PERFECT[1:], BOXES[1:], LABELS[1:], CLASSES))
    assert map50_of(scores) == pytest.approx({"cat": 1.0})
    assert scores.map50 == pytest.approx(1.0)


def test_the_right_box_of_the_wrong_class_does_not_count():
    wrong = [detection(BOXES[0], [1, 0], [0.9, 0.8]), NOTHING]
    assert average_precision(precision(wrong, BOXES, LABELS, CLASSES)).map50 == 0.0


def test_no_boxes_at_all_is_refused():
    empty = [np.zeros((0, 4), dtype=np.float32)]
    with pytest.raises(DataError, match="no picture of the split has a box"):
        average_precision(precision([NOTHING], empty, [np.zeros(0, dtype=np.int64)], CLASSES))


def test_nothing_is_printed(capfd):
    average_precision(precision(PERFECT, BOXES, LABELS, CLASSES))
    assert capfd.readouterr().out == ""


def test_precision_by_recall_of_half_of_the_cats():
    # The cats' precision is 1 up to a recall of .50 and 0 beyond; the dogs' is 0 throughout.
    curve = precision_by_recall(
        precision([detection(BOXES[0][:1], [0], [0.9]), NOTHING], BOXES, LABELS, CLASSES)
    )
    assert curve["recall"] == pytest.approx(np.arange(101) / 100)
    assert curve["precision"] == pytest.approx([0.5] * 51 + [0.0] * 50)
    assert curve["precision of cat"] == pytest.approx([1.0] * 51 + [0.0] * 50)
    assert curve["precision of dog"] == pytest.approx([0.0] * 101)


@pytest.mark.parametrize("found", [PERFECT, [NOTHING, NOTHING], [PERFECT[0], NOTHING]])
def test_the_mean_of_precision_by_recall_is_map50(found):
    curve = precision_by_recall(precision(found, BOXES, LABELS, CLASSES))
    assert curve["precision"].mean() == pytest.approx(
        average_precision(precision(found, BOXES, LABELS, CLASSES)).map50
    )


def drawn(seed, *, images=12, classes=4, absent=(), found=True):
    """Random boxes of every size, and detections near them, beside them, doubled, of other classes."""
    draw = np.random.default_rng(seed)
    boxes, labels, detections = [], [], []
    for _ in range(images):
        count = int(draw.integers(0, 7))
        corners, sides = draw.uniform(0, 150, (count, 2)), draw.choice([8, 20, 60, 140], (count, 2))
        boxes.append(np.hstack([corners, corners + sides]).astype(np.float32))
        labels.append(draw.choice([k for k in range(classes) if k not in absent], count).astype(np.int64))
        copies = np.repeat(np.arange(count), draw.integers(0, 3, count))
        moved = boxes[-1][copies] + draw.normal(0, 3, (len(copies), 4)).astype(np.float32)
        moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2] + 1)
        others = draw.random(len(copies)) < 0.2
        of = np.where(others, draw.integers(0, classes, len(copies)), labels[-1][copies])
        detections.append(detection(moved, of, draw.random(len(copies))) if found else NOTHING)
    return detections, boxes, labels, [f"class {k}" for k in range(classes)]


def summarized(detections, boxes, labels, classes, folder):
    """COCO's twelve figures by pycocotools alone, from files, as its users have them."""
    annotations, results = [], []
    for image, (picture_boxes, picture_labels, (found, of, scores)) in enumerate(
        zip(boxes, labels, detections, strict=True)
    ):
        for (x0, y0, x1, y1), label in zip(picture_boxes.tolist(), picture_labels.tolist(), strict=True):
            box = {"bbox": [x0, y0, x1 - x0, y1 - y0], "area": (x1 - x0) * (y1 - y0), "iscrowd": 0}
            annotations.append(box | {"id": len(annotations) + 1, "image_id": image, "category_id": label})
        for (x0, y0, x1, y1), label, score in zip(found.tolist(), of.tolist(), scores.tolist(), strict=True):
            box = {"bbox": [x0, y0, x1 - x0, y1 - y0], "score": score}
            results.append(box | {"image_id": image, "category_id": label})
    dataset = {
        "images": [{"id": image} for image in range(len(boxes))],
        "annotations": annotations,
        "categories": [{"id": label, "name": name} for label, name in enumerate(classes)],
    }
    (folder / "truth.json").write_text(json.dumps(dataset))
    (folder / "results.json").write_text(json.dumps(results))
    truth = COCO(str(folder / "truth.json"))
    found = truth.loadRes(str(folder / "results.json")) if results else COCO()
    if not results:
        found.dataset = dataset | {"annotations": []}
        found.createIndex()
    evaluation = COCOeval(truth, found, "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return evaluation.stats


@pytest.mark.parametrize(
    "case",
    [{"seed": 0}, {"seed": 1, "absent": (1, 3)}, {"seed": 2, "found": False}, {"seed": 3, "images": 1}],
)
def test_the_twelve_figures_are_cocos(case, tmp_path):
    detections, boxes, labels, classes = drawn(**case)
    scores = average_precision(precision(detections, boxes, labels, classes))
    ours = [value for value in asdict(scores).values() if isinstance(value, float)]
    assert ours == pytest.approx(list(summarized(detections, boxes, labels, classes, tmp_path)), abs=1e-6)


def test_boxes_of_a_class_are_counted_and_there_are_none_of_an_absent_one():
    scores = average_precision(precision(PERFECT[1:], BOXES[1:], LABELS[1:], CLASSES))
    assert scores.by_class["cat"].boxes == 1
    assert scores.map_large == scores.recall_large == -1  # COCO's word for no such box


@pytest.mark.slow
@pytest.mark.parametrize(
    "case",
    [
        {"seed": 4},
        {"seed": 5, "absent": (1, 3)},
        {"seed": 6, "found": False},
        {"seed": 7, "images": 2},
        {"seed": 8, "images": 60},
    ],
)
def test_a_draw_s_precision_is_cocos_of_the_pictures_drawn(case):
    detections, boxes, labels, classes = drawn(**case)
    random, pictures = np.random.default_rng(9), len(boxes)
    taken = [np.bincount(rows, minlength=pictures) for rows in random.integers(pictures, size=(5, pictures))]
    found = resampled_precision(precision(detections, boxes, labels, classes), taken)
    for number, counts in enumerate(taken):
        rows = np.repeat(np.arange(len(boxes)), counts)
        again = [[each[row] for row in rows] for each in (detections, boxes, labels)]
        if any(len(of) for of in again[2]):
            scores = average_precision(precision(*again, classes))
            expected = {"map": scores.map, "map50": scores.map50, "map75": scores.map75}
        else:
            expected = dict.fromkeys(("map", "map50", "map75"), np.nan)
        ours = {name: values[number] for name, values in found.items()}
        assert ours == pytest.approx(expected, abs=1e-6, nan_ok=True)


def test_pictures_that_are_all_found_leave_no_doubt():
    found = resampled_precision(precision(PERFECT, BOXES, LABELS, CLASSES), halves(2, 20))
    assert {name: set(np.round(values, 9)) for name, values in found.items()} == {
        "map": {1.0},
        "map50": {1.0},
        "map75": {1.0},
    }


@pytest.mark.parametrize(
    "broken", [detection([[0, 0, 9, np.nan]], [0], [0.5]), detection([[0, 0, 9, 9]], [0], [np.inf])]
)
def test_detections_that_are_not_finite_are_refused(broken):
    with pytest.raises(DataError, match="picture 1: a box or score found is NaN or infinite"):
        precision([detection([], [], []), broken], BOXES, LABELS, CLASSES)


def test_pictures_boxes_and_labels_that_differ_in_number_are_refused():
    with pytest.raises(ValueError, match="zip"):
        precision(PERFECT, BOXES[:1], LABELS, CLASSES)
    with pytest.raises(ValueError, match="zip"):
        precision(PERFECT, BOXES, [np.array([0]), LABELS[1]], CLASSES)
    with pytest.raises(ValueError, match="zip"):
        precision([detection(BOXES[0], [0, 1], [0.9]), NOTHING], BOXES, LABELS, CLASSES)


def test_what_became_of_each_detection_stands_with_its_picture_and_score():
    """Of cats .9 in the second picture, then .7 right and .4 wrong in the first; of dogs one in each."""
    found = [
        detection([BOXES[0][0], [50, 50, 60, 60], BOXES[0][1]], [0, 0, 1], [0.7, 0.4, 0.8]),
        detection([[5, 5, 25, 13], [60, 60, 70, 70]], [0, 1], [0.9, 0.1]),
    ]
    cats, dogs = precision(found, BOXES, LABELS, CLASSES).found
    assert cats.picture.tolist() == [1, 0, 0]
    assert cats.scores.tolist() == pytest.approx([0.9, 0.7, 0.4])
    # an IoU of .8 counts up to that threshold, the seventh; an exact box at all ten
    assert (
        cats.right.astype(int).tolist() == [[1, 1, 0]] * 6 + [[int(cats.right[6, 0]), 1, 0]] + [[0, 1, 0]] * 3
    )
    assert cats.boxes.tolist() == [1, 1]
    assert dogs.picture.tolist() == [0, 1]
    assert dogs.right.astype(int).tolist() == [[1, 0]] * 10
    assert dogs.boxes.tolist() == [1, 0]
    assert (cats.boxes.dtype, cats.right.dtype) == (np.int64, bool)


def test_of_equal_scores_the_first_picture_comes_first():
    found = [detection(BOXES[0][:1], [0], [0.5]), detection([[0, 0, 3, 3]] * 20, [0] * 20, [0.5] * 20)]
    cats, dogs = precision(found, BOXES, LABELS, CLASSES).found
    assert cats.picture.tolist() == [0] + [1] * 20
    assert (dogs.picture.tolist(), dogs.scores.tolist(), dogs.right.shape) == ([], [], (10, 0))


def test_a_picture_that_has_nothing_of_a_class_takes_no_place_among_its_detections():
    """The first picture has neither a cat nor a detection of one."""
    found = [detection(BOXES[0][1:], [1], [0.9]), detection(BOXES[1], [0], [0.7])]
    cats, dogs = precision(found, [BOXES[0][1:], BOXES[1]], [np.array([1]), np.array([0])], CLASSES).found
    for of_class, picture in ((cats, 1), (dogs, 0)):
        assert of_class.picture.tolist() == [picture]
        assert of_class.right.tolist() == [[True]] * 10
        assert of_class.right.dtype == bool
        assert of_class.boxes.tolist() == [int(picture == 0), int(picture == 1)]


def test_a_class_without_boxes_has_its_number_of_them_too():
    assert precision(PERFECT[1:], BOXES[1:], LABELS[1:], CLASSES).boxes == [1, 0]


def test_the_surest_hundred_detections_count_and_of_recall_the_surest_one_and_ten_by_themselves():
    """One cat, found at last: ten detections of nothing are surer."""
    elsewhere = [[60 + number, 60, 70 + number, 70] for number in range(10)]
    found = [detection([*elsewhere, BOXES[0][0]], [0] * 11, [0.9] * 10 + [0.1])]
    scores = average_precision(precision(found, [BOXES[0][:1]], [np.array([0])], CLASSES))
    assert (scores.recall_1, scores.recall_10, scores.recall_100) == (0, 0, 1)
    assert scores.map50 == pytest.approx(1 / 11)
    assert scores.by_class["cat"].recall == 1


def test_a_class_is_found_at_an_overlap_of_a_half():
    # 20 x 20 against its lower 20 x 10.5: IoU .525 counts at the first of ten thresholds
    loose = detection([[20, 29.5, 40, 40]], [1], [0.9])
    dog = average_precision(precision([loose], BOXES[:1], [np.array([0, 1])], CLASSES)).by_class["dog"]
    assert (dog.map50, dog.map, dog.recall) == pytest.approx((1.0, 0.1, 0.1))


def test_of_many_equal_scores_those_of_the_first_pictures_come_first():
    found = [detection([[number, 0, number + 3, 3] for number in range(60)], [0] * 60, [0.5] * 60)] * 4
    boxes, labels = [BOXES[0][:1]] * 4, [np.array([0])] * 4
    cats, _ = precision(found, boxes, labels, CLASSES).found
    assert cats.picture.tolist() == [picture for picture in range(4) for _ in range(60)]
