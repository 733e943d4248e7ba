import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from stages.core.packed import DetectionSplit
from stages.train_detector.batches import build_detector_batches, samples_of

FLIP = [{"HorizontalFlip": {"p": 1.0}}]


@pytest.fixture
def split():
    """Four pictures 32 x 48, each with one bright box that its annotation names."""
    images = np.zeros((4, 32, 48, 1), np.uint8)
    boxes = []
    for number, image in enumerate(images):
        x, y = 4 + 6 * number, 4 + 2 * number
        image[y : y + 12, x : x + 16] = 255
        boxes.append(np.array([[x, y, x + 16, y + 12]], np.float32))
    labels = [np.array([number % 2]) for number in range(4)]
    return DetectionSplit(images=images, boxes=boxes, labels=labels, classes=["a", "b"])


def batches_of(split, **changed):
    plain = {"size": 2, "seed": 1, "scales": [1.0], "transforms": [], "visible_min": 0.3}
    return build_detector_batches(split, **(plain | changed))


def assert_boxes_are_where_it_is_bright(shown):
    for image, (box,) in zip(shown.images[:, 0], shown.boxes, strict=True):
        x0, y0, x1, y1 = box.round().astype(int).tolist()
        assert image[y0 + 1 : y1 - 1, x0 + 1 : x1 - 1].min() > 0.9
        assert image.sum().item() == pytest.approx((x1 - x0) * (y1 - y0), rel=0.1)


@pytest.mark.parametrize("scale", [0.5, 1.0, 1.5])
@pytest.mark.parametrize("transforms", [[], FLIP])
def test_boxes_go_with_the_picture(split, transforms, scale):
    for shown in batches_of(split, transforms=transforms, scales=[scale]).epoch(1):
        assert tuple(shown.images.shape) == (2, 1, round(32 * scale), round(48 * scale))
        assert_boxes_are_where_it_is_bright(shown)


@hypothesis.settings(max_examples=60, deadline=None)
@hypothesis.given(st.integers(3, 130), st.integers(3, 130), st.floats(0.3, 2.5))
def test_boxes_stay_in_the_picture_whatever_its_scale(height, width, scale):
    whole = [np.array([[0, 0, width, height]], np.float32)]
    images = np.zeros((1, height, width, 1), np.uint8)
    split = DetectionSplit(images=images, boxes=whole, labels=[np.array([0])], classes=["a"])
    (shown,) = batches_of(split, scales=[scale], proposals=whole).epoch(1)
    rows, columns = shown.images.shape[-2:]
    for (box,) in (*shown.boxes, *shown.proposals):
        np.testing.assert_allclose(box, [0, 0, columns, rows], rtol=1e-6)
        assert (box <= [columns, rows, columns, rows]).all()


def test_given_proposals_go_with_it_too(split):
    proposals = [np.array([[0, 0, 10, 10], [10, 10, 30, 20]], np.float32)] * 4
    shown = batches_of(split, transforms=FLIP, proposals=proposals).show([0, 1])
    for boxes, labels, given in zip(shown.boxes, shown.labels, shown.proposals, strict=True):
        assert boxes.shape == (1, 4)
        assert labels.shape == (1,)
        np.testing.assert_allclose(given, [[38, 0, 48, 10], [18, 10, 38, 20]], atol=1e-4)


def test_a_box_that_is_cropped_away_is_dropped(split):
    crop = [{"Crop": {"x_min": 0, "y_min": 0, "x_max": 8, "y_max": 32}}]
    shown = batches_of(split, transforms=crop).show([0, 3])
    assert [len(boxes) for boxes in shown.boxes] == [0, 0]  # 4 of 16 columns are less than .3 of the box
    assert [len(labels) for labels in shown.labels] == [0, 0]


def test_scales_are_drawn_for_each_batch_and_do_not_depend_on_the_start(split):
    batches = batches_of(split, size=1, scales=[0.5, 1.0, 2.0])
    shapes = [tuple(shown.images.shape) for epoch in range(1, 7) for shown in batches.epoch(epoch)]
    assert len(set(shapes)) == 3
    whole = [shown.images.shape for shown in batches.epoch(3)]
    assert [shown.images.shape for shown in batches.epoch(3, done=2)] == whole[2:]


def test_epochs_of_a_few_pictures_go_on_where_the_one_before_ended(split):
    """Four pictures by one, three in an epoch: the same order as in epochs of all four, cut otherwise."""

    def shown(epochs, **changed):
        batches = batches_of(split, size=1, **changed)
        return [batch.boxes[0].tolist() for epoch in range(1, epochs + 1) for batch in batches.epoch(epoch)]

    whole, short = shown(3), shown(4, epoch_pictures=3)
    assert short == whole
    assert sorted(short[:4]) == sorted(short[4:8]) != short[4:8]
    few = batches_of(split, size=1, epoch_pictures=3)
    assert few.steps == 3
    assert [batch.boxes[0].tolist() for batch in few.epoch(2, done=2)] == short[5:6]
    assert batches_of(split, epoch_pictures=100).steps == batches_of(split).steps == 2


def test_samples_are_pictures_as_they_are_and_as_they_are_shown(split):
    samples = samples_of(batches_of(split, transforms=FLIP), columns=3, rows=2)
    assert samples.pictures.shape == (2, 3, 32, 48, 1)
    np.testing.assert_array_equal(samples.pictures[:, 0], split.images[:2])
    np.testing.assert_array_equal(samples.pictures[:, 1:], split.images[:2, None, :, ::-1].repeat(2, axis=1))
    assert samples.box_counts.tolist() == [[1, 1, 1]] * 2
    assert samples.labels.tolist() == [0, 0, 0, 1, 1, 1]
    np.testing.assert_allclose(samples.boxes[:3], [[4, 4, 20, 16], [28, 4, 44, 16], [28, 4, 44, 16]])
