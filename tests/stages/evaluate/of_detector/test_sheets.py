import numpy as np

from stages.core.packed import DetectionSplit
from stages.evaluate.of_detector.sheets import detections_sheet, found_rightly

BOX, FAR = [0.0, 0.0, 10.0, 10.0], [50.0, 50.0, 60.0, 60.0]


def found(
    boxes: list[list[float]], labels: list[int], true: list[list[float]], truth: list[int]
) -> list[bool]:
    edges = (np.array(some, np.float32).reshape(-1, 4) for some in (boxes, true))
    return found_rightly(next(edges), np.array(labels, int), next(edges), np.array(truth, int))


def test_a_box_is_right_on_an_item_of_its_class_that_no_surer_one_is_on():
    assert found([BOX, BOX, FAR], [1, 1, 1], [BOX, FAR], [1, 2]) == [True, False, False]
    assert found([BOX, BOX], [1, 1], [BOX, BOX], [1, 1]) == [True, True]


def test_nothing_is_right_where_there_is_nothing():
    assert found([BOX], [0], [], []) == [False]
    assert found([], [], [BOX], [0]) == []


def test_a_sheet_of_photographs_is_no_larger_than_a_screen() -> None:
    box, label = np.array([[40.0, 40, 600, 440]], np.float32), np.zeros(1, np.int64)
    test = DetectionSplit(
        images=np.full((12, 480, 640, 3), 200, np.uint8),
        boxes=[box] * 12,
        labels=[label] * 12,
        classes=["car"],
    )
    found = [(box, label, np.ones(1, np.float32))] * 12
    sheet = detections_sheet(test, found, scenes=12, score_min=0.5, most=200)
    assert 1000 < max(sheet.size) < 1700
