import numpy as np

from stages.evaluate.of_detector.sheets import found_rightly

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
