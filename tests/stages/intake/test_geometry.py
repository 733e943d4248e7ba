import numpy as np
import pytest

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
