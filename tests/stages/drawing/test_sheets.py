import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from stages.drawing.sheets import RIGHT, WRONG, colour_of, draw_boxes, image_grid, save_png, shrunk


def test_grid_shows_every_pixel_enlarged_without_smoothing():
    images = np.arange(4 * 3 * 3, dtype=np.uint8).reshape(4, 3, 3, 1) * 5
    sheet = np.asarray(image_grid(images, columns=2, scale=2))
    step = 3 * 2 + 4  # a picture and the gap
    for number, image in enumerate(images):
        y, x = 4 + number // 2 * step, 4 + number % 2 * step
        shown = sheet[y : y + 6, x : x + 6]
        assert (shown[::2, ::2] == image).all()
        assert (shown[1::2, 1::2] == image).all()


def test_grid_takes_colour_pictures_of_different_sizes():
    red = np.zeros((2, 2, 3), np.uint8) + np.array([255, 0, 0], np.uint8)
    grey = np.full((5, 3, 1), 7, np.uint8)
    sheet = np.asarray(image_grid([red, grey], columns=2))
    assert tuple(sheet[4, 4]) == (255, 0, 0)
    assert (sheet == 7).all(axis=2).sum() == 5 * 3


def test_titles_and_rows_add_paper_with_ink_beside_the_pictures():
    images = np.zeros((3, 20, 20, 1), np.uint8)
    bare = image_grid(images, columns=2)
    titled = image_grid(
        images, columns=2, titles=["a", "a title far too long to fit", ""], rows=["one", "two"]
    )
    assert titled.height > bare.height
    assert titled.width > bare.width


def test_note_stands_above_all():
    images = np.zeros((2, 20, 20, 1), np.uint8)
    bare, noted = (np.asarray(image_grid(images, columns=1, note=note)) for note in ("", "what is left out"))
    line = len(noted) - len(bare)
    assert (noted[line + 4 :, : bare.shape[1]] == bare[4:]).all()  # the pictures stand 4 pixels from the edge
    assert noted[:line].min() < 100


@pytest.mark.parametrize(
    "wrong",
    [
        {"titles": ["only one"]},
        {"rows": ["one", "two", "three"]},
        {"columns": 0},
    ],
)
def test_grid_refuses_captions_of_another_number(wrong):
    arguments = {"columns": 2, **wrong}
    with pytest.raises(ValueError, match=r"row labels|titles|columns"):
        image_grid(np.zeros((3, 4, 4, 1), np.uint8), **arguments)


@pytest.mark.parametrize("shape", [(4, 4), (4, 4, 2)])
def test_grid_refuses_what_is_no_picture(shape):
    with pytest.raises(ValueError, match="no picture"):
        image_grid([np.zeros(shape, np.uint8)], columns=1)


def test_box_is_drawn_along_its_edges_in_enlarged_pixels():
    drawn = draw_boxes(np.zeros((10, 10, 1), np.uint8), np.array([[2.0, 3.0, 8.0, 9.0]]), [""], [0], scale=4)
    inked = np.argwhere(np.asarray(drawn).any(axis=2))
    assert inked.min(axis=0).tolist() == [3 * 4, 2 * 4]
    assert inked.max(axis=0).tolist() == [9 * 4 - 1, 8 * 4 - 1]


def test_a_box_without_area_or_beyond_the_frame_is_drawn_too():
    boxes = np.array([[3.0, 3.0, 3.0, 3.0], [-5.0, -5.0, 50.0, 50.0]])
    assert draw_boxes(np.zeros((9, 9, 3), np.uint8), boxes, ["point", "all"], [0, 1]).size == (9, 9)


def test_one_class_has_one_colour():
    boxes = np.array([[0.0, 0.0, 4.0, 4.0], [5.0, 0.0, 9.0, 4.0], [0.0, 5.0, 4.0, 9.0]])
    drawn = draw_boxes(np.zeros((9, 9, 3), np.uint8), boxes, ["", "", ""], np.array([2, 0, 2]))
    first, second, third = (drawn.getpixel((int(x), int(y))) for x, y, _, _ in boxes)
    assert first == third != second


def test_boxes_and_labels_must_be_as_many():
    with pytest.raises(ValueError, match="shorter"):
        draw_boxes(np.zeros((9, 9, 3), np.uint8), np.zeros((2, 4)), ["one"], [0])


@pytest.mark.parametrize("side", [8, 1500])  # larger ones are written another way
def test_png_holds_the_picture_and_the_same_bytes_twice(tmp_path, side):
    picture = np.arange(side * side).astype(np.uint8).reshape(1, side, side, 1)
    sheet = image_grid(picture, columns=1, titles=["caption"])
    sheet.info["Creation Time"] = "never written"
    for name in ("first.png", "second.png"):
        save_png(tmp_path / "new" / name, sheet)
    first, second = ((tmp_path / "new" / name).read_bytes() for name in ("first.png", "second.png"))
    assert first == second
    assert b"never written" not in first
    with Image.open(tmp_path / "new" / "first.png") as reread:
        assert (np.asarray(reread) == np.asarray(sheet)).all()


def test_a_title_stands_above_in_lines_as_wide_as_the_sheet():
    images = np.zeros((1, 400, 400, 1), np.uint8)
    bare, titled, longer = (
        np.asarray(image_grid(images, columns=1, titles=["caption"], title=title))
        for title in ("", "one line", "a title that takes more than one line " * 3)
    )
    assert titled.shape[1] == longer.shape[1] == bare.shape[1]
    assert (titled[-len(bare) :] == bare).all()
    assert (longer[-len(bare) :] == bare).all()
    line = len(titled) - len(bare)
    assert len(longer) - len(bare) > 2 * (line - 4)
    assert titled[:line].min() < 100


def test_frames_stand_around_pictures_and_hide_nothing_of_them():
    images = np.zeros((3, 10, 10, 1), np.uint8)
    sheet = np.asarray(image_grid(images, columns=3, frames=[RIGHT, None, WRONG]))
    assert tuple(sheet[3, 8]) == RIGHT
    assert tuple(sheet[3, 22]) == (255, 255, 255)
    assert tuple(sheet[3, 36]) == WRONG
    assert (sheet == 0).all(axis=2).sum() == 3 * 100


def test_each_class_has_a_colour_of_its_own_however_many_there_are():
    assert len({colour_of(label) for label in range(1000)}) == 1000


def test_captions_hide_neither_each_other_nor_the_box_where_there_is_room():
    picture = np.zeros((200, 200, 3), np.uint8)
    boxes = np.array([[50.0, 80.0, 110.0, 120.0]] * 3)
    bare = np.asarray(draw_boxes(picture, boxes, ["", "", ""], [0, 1, 2]))
    drawn = np.asarray(draw_boxes(picture, boxes, ["first", "second", "third"], [0, 1, 2]))
    assert (drawn[80:120, 50:110] == bare[80:120, 50:110]).all()
    areas = [
        int((np.asarray(draw_boxes(picture, boxes[n : n + 1], [text], [n])) == colour_of(n)).all(2).sum())
        for n, text in enumerate(("first", "second", "third"))
    ]
    together = [int((drawn == colour_of(n)).all(2).sum()) for n in range(3)]
    frames = [int((bare == colour_of(n)).all(2).sum()) for n in range(3)]
    alone = [
        int((np.asarray(draw_boxes(picture, boxes[n : n + 1], [""], [n])) == colour_of(n)).all(2).sum())
        for n in range(3)
    ]
    assert [t - f for t, f in zip(together, frames, strict=True)] == [
        a - b for a, b in zip(areas, alone, strict=True)
    ]  # as much of each caption as where it is the only one


def test_a_caption_without_room_is_left_out():
    picture, boxes = np.zeros((16, 60, 3), np.uint8), np.array([[0.0, 0.0, 60.0, 16.0]] * 2)
    one = np.asarray(draw_boxes(picture, boxes, ["a caption", ""], [0, 0]))
    two = np.asarray(draw_boxes(picture, boxes, ["a caption", "another"], [0, 0]))
    assert (one == two).all()


def test_a_dashed_box_has_its_ends_and_gaps():
    boxes = np.array([[10.0, 10.0, 50.0, 40.0]])
    whole, dashed = (
        (np.asarray(draw_boxes(np.zeros((60, 60, 3), np.uint8), boxes, [""], [0], dashed=[dashed])) > 0).any(
            2
        )
        for dashed in (False, True)
    )
    assert 0 < (whole & dashed).sum() == dashed.sum() < 0.7 * whole.sum()


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 100))
def test_a_box_round_a_picture_is_round_the_shrunk_one_too(height, width, side):
    small, ratio = shrunk(np.zeros((height, width, 1), np.uint8), side)
    assert max(small.shape[:2]) == min(side, max(height, width))
    np.testing.assert_allclose([0, 0, width, height] * ratio, [0, 0, small.shape[1], small.shape[0]])
