"""Boxes of several views, merged: cases worked out by hand."""

import numpy as np
import pytest

from stages.detector.network import Detection
from stages.prediction.merging import fuse_boxes, mirrored, overlaps_of


def found(*items: tuple[list[float], int, float]) -> Detection:
    """A view with these boxes, labels and scores."""
    return (
        np.array([box for box, _, _ in items], dtype=np.float32).reshape(-1, 4),
        np.array([label for _, label, _ in items], dtype=np.int64),
        np.array([score for _, _, score in items], dtype=np.float32),
    )


def test_an_item_of_two_views_lies_nearer_to_the_surer_box() -> None:
    views = [found(([0, 0, 10, 10], 1, 0.9)), found(([2, 0, 12, 10], 1, 0.3))]  # IoU 8 / 12
    boxes, labels, scores = fuse_boxes(views)
    np.testing.assert_allclose(boxes, [[0.5, 0, 10.5, 10]])  # (0.9 * 0 + 0.3 * 2) / 1.2
    assert labels.tolist() == [1]
    assert scores == pytest.approx([0.6])  # the mean: both views have it


def test_what_one_of_four_views_finds_is_a_quarter_as_sure() -> None:
    boxes, _, scores = fuse_boxes([found(), found(([5, 5, 9, 9], 0, 0.8)), found(), found()])
    assert boxes.tolist() == [[5, 5, 9, 9]]
    assert scores == pytest.approx([0.2])


def test_two_boxes_of_one_view_make_nothing_surer_than_its_views() -> None:
    boxes, _, scores = fuse_boxes([found(([0, 0, 10, 10], 0, 0.8), ([0, 0, 10, 9], 0, 0.6))])
    assert len(boxes) == 1
    assert scores == pytest.approx([0.7])


def test_classes_and_places_stay_apart_the_surest_first() -> None:
    one = found(([0, 0, 10, 10], 0, 0.5), ([0, 0, 10, 10], 1, 0.9), ([20, 0, 30, 10], 0, 0.7))
    boxes, labels, scores = fuse_boxes([one, one])
    assert labels.tolist() == [1, 0, 0]
    assert boxes[:, 0].tolist() == [0, 20, 0]
    assert scores == pytest.approx([0.9, 0.7, 0.5])


def test_nothing_found_is_no_box() -> None:
    boxes, labels, scores = fuse_boxes([found(), found()])
    assert boxes.shape == (0, 4)
    assert not len(labels)
    assert not len(scores)


def test_overlap_is_the_common_area_over_that_of_both() -> None:
    ours, theirs = np.array([[0.0, 0, 4, 4], [10, 10, 12, 12]]), np.array([[2.0, 0, 6, 4]])
    np.testing.assert_allclose(overlaps_of(ours, theirs), [[1 / 3], [0]])
    assert overlaps_of(ours, np.zeros((0, 4))).shape == (2, 0)


def test_boxes_without_an_area_overlap_with_nothing() -> None:
    flat = np.array([[3.0, 3, 3, 8]])
    assert overlaps_of(flat, flat).tolist() == [[0]]


def test_mirrored_twice_is_where_it_was() -> None:
    boxes = np.array([[1, 2, 5, 9]], dtype=np.float32)
    assert mirrored(boxes, 20).tolist() == [[15, 2, 19, 9]]
    assert mirrored(mirrored(boxes, 20), 20).tolist() == boxes.tolist()
