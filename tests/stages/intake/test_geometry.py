import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.intake.geometry import Placement, fit_boxes, fit_picture, place, unfit_boxes


def test_places_worked_out_by_hand():
    # 40 x 20 into 10 x 10: a quarter of it is 10 x 5, half of it 20 x 10
    assert place((40, 20), (10, 10), "stretch") == Placement(x=0, y=0, width=10, height=10)
    assert place((40, 20), (10, 10), "pad") == Placement(x=0, y=2, width=10, height=5)
    assert place((40, 20), (10, 10), "crop") == Placement(x=-5, y=0, width=20, height=10)


@pytest.mark.parametrize(
    ("fit", "wanted"),
    [("stretch", [2, 5, 5, 10]), ("pad", [2, 4.5, 5, 7]), ("crop", [0, 5, 5, 10])],
)
def test_boxes_worked_out_by_hand(fit, wanted):
    boxes = fit_boxes(np.array([[8, 10, 20, 20]], np.float32), (40, 20), (10, 10), fit)
    assert boxes.tolist() == [wanted]


@pytest.mark.parametrize("fit", ["stretch", "pad", "crop"])
@pytest.mark.parametrize("size", [(80, 40), (33, 57), (16, 16)])
def test_boxes_come_back_to_where_they_were(fit, size):
    width, height = size
    middle = np.array([[0.4 * width, 0.4 * height, 0.6 * width, 0.55 * height]], np.float32)
    back = unfit_boxes(fit_boxes(middle, size, (32, 24), fit), size, (32, 24), fit)
    np.testing.assert_allclose(back, middle, atol=1e-4)


SIDES = st.tuples(st.integers(1, 3000), st.integers(1, 3000))
EDGES = st.lists(st.floats(-4000, 4000, width=32), min_size=4, max_size=4)


@settings(max_examples=200, deadline=None)
@given(SIDES, SIDES, EDGES, st.sampled_from(["stretch", "pad", "crop"]))
def test_no_edge_lies_outside_of_the_frame_or_of_the_picture(size, frame, edges, fit):
    box = np.array([edges], np.float32)
    assert ((fit_boxes(box, size, frame, fit) >= 0) & (fit_boxes(box, size, frame, fit) <= frame * 2)).all()
    back = unfit_boxes(box, size, frame, fit)
    assert ((back >= 0) & (back <= size * 2)).all()


def test_a_box_beside_a_padded_picture_comes_back_empty():
    # 40 x 20 lies in rows 2 to 6 of 10 x 10
    back = unfit_boxes(np.array([[0, 0, 10, 1], [0, 0, 10, 10]], np.float32), (40, 20), (10, 10), "pad")
    assert back.tolist() == [[0, 0, 40, 0], [0, 0, 40, 20]]


@pytest.mark.parametrize("fit", ["stretch", "pad", "crop"])
@pytest.mark.parametrize("size", [(80, 40), (33, 57), (16, 16)])
def test_a_box_stays_on_its_bright_spot(fit, size):
    width, height = size
    image = np.zeros((height, width, 1), np.uint8)
    x1, y1, x2, y2 = width // 4, height // 4, 3 * width // 4, 3 * height // 4
    image[y1:y2, x1:x2] = 255
    frame = (32, 24)
    packed = fit_picture(image, place(size, frame, fit), frame, ground=0)
    assert packed.shape == (24, 32, 1)
    rows, columns = np.nonzero(packed[..., 0] > 127)
    found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    box = fit_boxes(np.array([[x1, y1, x2, y2]], np.float32), size, frame, fit)[0]
    assert np.abs(box - found).max() <= 1


def test_padding_has_the_ground_and_the_picture_is_whole():
    packed = fit_picture(np.full((10, 20, 3), 9, np.uint8), place((20, 10), (8, 8), "pad"), (8, 8), ground=77)
    assert (packed[2:6] == 9).all()
    assert (packed[:2] == 77).all()
    assert (packed[6:] == 77).all()


def steps(height, width, channels=1):
    """A picture whose pixels all differ from their neighbours, and along rows other than along columns."""
    down, across = np.indices((height, width))
    shades = [(37 * down + 11 * across + 50 * channel) % 200 + 20 for channel in range(channels)]
    return np.stack(shades, axis=2).astype(np.uint8)


def resized(image, width, height, interpolation):
    made = cv2.resize(image, (width, height), interpolation=interpolation)
    return made.reshape(height, width, image.shape[2])


def test_a_cropped_picture_shows_its_middle_untouched():
    wide, tall = steps(4, 8, 3), steps(9, 4, 3)
    assert (fit_picture(wide, place((8, 4), (4, 4), "crop"), (4, 4), 0) == wide[:, 2:6]).all()
    assert (fit_picture(tall, place((4, 9), (4, 4), "crop"), (4, 4), 0) == tall[3:7]).all()
    assert place((4, 9), (4, 4), "crop") == Placement(x=0, y=-3, width=4, height=9)


@pytest.mark.parametrize(
    ("width", "height", "way"),
    [
        (4, 3, cv2.INTER_AREA),  # both shrink
        (16, 3, cv2.INTER_AREA),  # one shrinks
        (4, 12, cv2.INTER_AREA),
        (8, 3, cv2.INTER_AREA),  # one stays
        (8, 18, cv2.INTER_LINEAR),
        (24, 6, cv2.INTER_LINEAR),
        (20, 15, cv2.INTER_LINEAR),
    ],
)
def test_a_picture_that_shrinks_either_way_is_averaged_and_another_interpolated(width, height, way):
    picture = steps(6, 8, 3)
    packed = fit_picture(picture, place((8, 6), (width, height), "stretch"), (width, height), 0)
    assert (packed == resized(picture, width, height, way)).all()


def test_a_picture_of_the_frames_own_size_stays_as_it_is():
    picture = steps(6, 8, 3)
    for fit in ("stretch", "pad", "crop"):
        assert (fit_picture(picture, place((8, 6), (8, 6), fit), (8, 6), 0) == picture).all()


@pytest.mark.parametrize(
    ("size", "frame"),
    [((2, 40), (8, 12)), ((40, 2), (12, 8)), ((3, 50), (12, 12)), ((51, 4), (20, 12)), ((60, 3), (20, 9))],
)
def test_of_a_picture_much_larger_than_its_frame_the_part_that_is_seen_is_the_same(size, frame):
    """Enlarged as a whole it would have more than four times the pixels of the frame."""
    width, height = size
    picture, placed = steps(height, width, 3), place(size, frame, "crop")
    assert placed.width * placed.height > 4 * frame[0] * frame[1]
    whole = resized(picture, placed.width, placed.height, cv2.INTER_LINEAR)
    wanted = whole[-placed.y : -placed.y + frame[1], -placed.x : -placed.x + frame[0]]
    assert (fit_picture(picture, placed, frame, 0) == wanted).all()


def test_a_picture_as_thin_as_a_hair_keeps_a_pixel():
    assert place((100, 1), (10, 10), "pad") == Placement(x=0, y=4, width=10, height=1)
    assert place((1, 100), (10, 10), "pad") == Placement(x=4, y=0, width=1, height=10)


def test_a_picture_beside_the_ground_stands_where_it_is_placed():
    picture = steps(3, 2, 1)
    packed = fit_picture(picture, Placement(x=1, y=2, width=2, height=3), (5, 6), 9)
    assert (packed[2:5, 1:3] == picture).all()
    assert (packed == 9).sum() == 30 - 6


def test_boxes_are_cut_to_the_frame_and_to_the_picture_on_all_sides():
    beyond = np.array([[-5, -5, 90, 90]], np.float32)
    assert fit_boxes(beyond, (40, 20), (10, 10), "stretch").tolist() == [[0, 0, 10, 10]]
    assert unfit_boxes(beyond, (40, 20), (10, 10), "stretch").tolist() == [[0, 0, 40, 20]]
    for moved in (fit_boxes, unfit_boxes):
        assert moved(beyond, (40, 20), (10, 8), "stretch").dtype == np.float32
    # 40 x 20 in a frame of 10 x 8 is 10 x 5, a row below the upper edge
    assert unfit_boxes(np.array([[1, 2, 5, 4]], np.float32), (40, 20), (10, 8), "pad").tolist() == [
        [4, 4, 20, 12]
    ]


@pytest.mark.parametrize(
    ("size", "frame"),
    [
        ((5, 15), (8, 8)),  # 1.6 times as large, with the pixels of three frames
        ((5, 20), (8, 8)),  # of exactly four
        ((15, 400), (10, 10)),  # two thirds as large
        ((400, 15), (10, 10)),
    ],
)
def test_any_other_picture_is_resized_as_a_whole(size, frame):
    width, height = size
    picture, placed = steps(height, width, 3), place(size, frame, "crop")
    way = cv2.INTER_AREA if placed.width < width else cv2.INTER_LINEAR
    whole = resized(picture, placed.width, placed.height, way)
    wanted = whole[-placed.y : -placed.y + frame[1], -placed.x : -placed.x + frame[0]]
    packed = fit_picture(picture, placed, frame, 0)
    assert (packed == wanted).all()
    assert packed.dtype == np.uint8


@pytest.mark.parametrize("size", [(1, 1_000_000), (1_000_000, 1)])
def test_of_a_picture_as_long_as_a_thread_no_more_is_made_than_is_seen(size):
    """As a whole it would have a million million pixels."""
    picture = np.full((*size[::-1], 1), 7, np.uint8)
    frame = (1000, 10) if size[0] == 1 else (10, 1000)
    assert (fit_picture(picture, place(size, frame, "crop"), frame, 0) == 7).all()
