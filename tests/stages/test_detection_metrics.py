import numpy as np
import pytest

from stages.detection_metrics import average_precision, precision, precision_by_recall
from stages.errors import DataError

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


NOTHING = detection([], [], [])
PERFECT = [detection(BOXES[0], [0, 1], [0.9, 0.8]), detection(BOXES[1], [0], [0.7])]


def test_perfect_detections():
    scores = average_precision(precision(PERFECT, BOXES, LABELS, CLASSES))
    assert scores.map == scores.map50 == scores.map75 == pytest.approx(1.0)
    assert scores.map50_by_class == pytest.approx({"cat": 1.0, "dog": 1.0})


def test_no_detections():
    scores = average_precision(precision([NOTHING, NOTHING], BOXES, LABELS, CLASSES))
    assert scores.map == scores.map50 == scores.map75 == 0.0
    assert scores.map50_by_class == {"cat": 0.0, "dog": 0.0}


def test_half_of_the_cats():
    # Recall stops at 1 of 2 with precision 1: of COCO's 101 recall points, 0 to .50 count, which are 51.
    scores = average_precision(
        precision([detection(BOXES[0][:1], [0], [0.9]), NOTHING], BOXES, LABELS, CLASSES)
    )
    assert scores.map50_by_class == pytest.approx({"cat": 51 / 101, "dog": 0.0})


def test_a_false_alarm_above_the_truth_halves_precision():
    alarmed = detection([[60, 60, 70, 70], BOXES[0][1]], [1, 1], [0.9, 0.8])
    scores = average_precision(precision([alarmed, NOTHING], BOXES, LABELS, CLASSES))
    assert scores.map50_by_class["dog"] == pytest.approx(0.5)


def test_the_overlap_decides_at_which_thresholds_a_box_counts():
    # 20 x 20 against its lower 20 x 13: IoU .65 counts at .50, .55, .60 and .65
    loose = detection([[20, 27, 40, 40]], [1], [0.9])
    scores = average_precision(precision([loose], BOXES[:1], [np.array([0, 1])], CLASSES))
    assert scores.map50_by_class["dog"] == pytest.approx(1.0)
    assert scores.map75 == 0.0
    assert scores.map == pytest.approx((4 / 10 + 0) / 2)


def test_a_class_without_boxes_is_left_out_of_the_mean():
    scores = average_precision(precision(PERFECT[1:], BOXES[1:], LABELS[1:], CLASSES))
    assert scores.map50_by_class == pytest.approx({"cat": 1.0})
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
    assert curve == pytest.approx([0.5] * 51 + [0.0] * 50)


@pytest.mark.parametrize("found", [PERFECT, [NOTHING, NOTHING], [PERFECT[0], NOTHING]])
def test_the_mean_of_precision_by_recall_is_map50(found):
    curve = precision_by_recall(precision(found, BOXES, LABELS, CLASSES))
    assert curve.mean() == pytest.approx(average_precision(precision(found, BOXES, LABELS, CLASSES)).map50)
