"""Figures of attributes, their table and their sheet, worked out by hand."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from stages.drawing.sheets import CLASSES_MOST, RIGHT, WRONG, image_grid
from stages.evaluate.of_classifier.attributes import (
    AttributeOutcomes,
    attribute_figures,
    attribute_sheet,
    attribute_table,
    resampled_attributes,
)

NAN = np.nan
FOUND = AttributeOutcomes(
    names=["shiny", "torn", "unseen"],
    # Of `shiny` the surest is right, the second wrong, the third right; the last picture is unknown.
    probabilities=np.array(
        [[0.9, 0.2, 0.3], [0.7, 0.6, 0.1], [0.5, 0.4, 0.2], [0.1, 0.8, 0.6], [0.95, 0.3, 0.2]]
    ),
    targets=np.array(
        [[1, 0, 0], [0, 1, 0], [1, NAN, 0], [0, 0, NAN], [NAN, NAN, NAN]],
        dtype=np.float32,
    ),
    thresholds=np.array([0.6, 0.5, 0.5]),
)
NOTHING = replace(FOUND, targets=np.full((5, 3), NAN, dtype=np.float32))


def test_figures_of_each_attribute_by_hand() -> None:
    figures = attribute_figures(FOUND, bins=2)
    # shiny: two have it; the first is found at precision 1, the second as the third at 2/3.
    # torn: one has it, and stands second; above the threshold lie it and a wrong one.
    # No picture is known to have the last one.
    assert figures["by_attribute"] == {
        "shiny": {
            "average_precision": pytest.approx(0.5 * 1 + 0.5 * 2 / 3),
            "precision": 0.5,
            "recall": 0.5,
            "f1": 0.5,
            # up to .5: .5 and .1, one right, a gap of .2; above: .9 and .7, one right, a gap of .3
            "calibration_error": pytest.approx((2 * 0.2 + 2 * 0.3) / 4),
            "threshold": 0.6,
            "pictures": 4,
            "share": 0.5,
        },
        "torn": {
            "average_precision": pytest.approx(0.5),
            "precision": 0.5,
            "recall": 1.0,
            "f1": pytest.approx(2 / 3),
            # up to .5: .2, which has it not; above: .6 and .8, one right, a gap of .2
            "calibration_error": pytest.approx((0.2 + 2 * 0.2) / 3),
            "threshold": 0.5,
            "pictures": 3,
            "share": pytest.approx(1 / 3),
        },
    }
    assert figures["attribute_map"] == pytest.approx((5 / 6 + 1 / 2) / 2)
    assert figures["attribute_macro_f1"] == pytest.approx((1 / 2 + 2 / 3) / 2)
    # all known answers: up to .5 six that sum to 1.4, of which one is right; above four that sum to 3.0
    assert figures["attribute_calibration_error"] == pytest.approx((0.4 + 1.0) / 10)


def test_where_no_attribute_is_known_there_are_no_figures() -> None:
    assert attribute_figures(NOTHING, bins=2) == {"by_attribute": {}}


def test_an_attribute_that_nothing_is_found_of_has_figures_of_nought() -> None:
    none = replace(FOUND, thresholds=np.array([0.99, 0.99, 0.99]))
    shiny = attribute_figures(none, bins=2)["by_attribute"]["shiny"]
    assert (shiny["precision"], shiny["recall"], shiny["f1"]) == (0, 0, 0)


def test_figures_of_halves_are_those_of_the_pictures_in_them() -> None:
    drawn = [
        np.array(counts) for counts in ([1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [1, 0, 0, 1, 0], [0, 0, 0, 1, 1])
    ]
    found = resampled_attributes(FOUND, drawn)
    # the second: shiny as before but for the last, torn is right alone
    # the third: of shiny one of one is right, and nobody has torn; the fourth: nobody has any
    assert list(found) == ["attribute_map", "attribute_macro_f1"]
    expected = [(5 / 6 + 1 / 2) / 2, (5 / 6 + 1) / 2, 1, NAN]
    assert found["attribute_map"] == pytest.approx(expected, nan_ok=True)
    assert found["attribute_macro_f1"] == pytest.approx([(1 / 2 + 2 / 3) / 2, 0.75, 1, NAN], nan_ok=True)


def test_the_table_has_a_row_for_each_picture_and_attribute() -> None:
    at_threshold = replace(FOUND, thresholds=np.array([0.7, 0.5, 0.5]))
    table = attribute_table(at_threshold)
    assert list(table.columns) == ["picture", "attribute", "actual", "predicted", "probability"]
    assert table.head(6).to_numpy().tolist() == [
        [0, "shiny", "yes", "yes", 0.9],
        [0, "torn", "no", "no", 0.2],
        [0, "unseen", "no", "no", 0.3],
        [1, "shiny", "no", "yes", 0.7],
        [1, "torn", "yes", "yes", 0.6],
        [1, "unseen", "no", "no", 0.1],
    ]
    assert table.tail(3)["actual"].tolist() == ["", "", ""]
    assert len(table) == 15


SHADES = (20, 60, 100, 140, 180)
IMAGES = np.stack([np.full((60, 60, 1), shade, dtype=np.uint8) for shade in SHADES])
TITLE = (
    "What the classifier said of attributes, surest first: green frames have them and were found, "
    "orange answers are wrong"
)


def sheet_of(rows: dict[str, list[tuple[int | None, str]]], columns: int, note: str = "") -> Image.Image:
    """The sheet with a picture and its caption in each cell, or none: rightly found ones first."""
    cells = [cell for row in rows.values() for cell in row]
    half = columns // 2
    sides = [side for row in rows.values() for side in [RIGHT] * half + [WRONG] * half]
    return image_grid(
        [IMAGES[0] * 0 + 255 if row is None else IMAGES[row] for row, _ in cells],
        columns,
        [caption for _, caption in cells],
        scale=2,
        rows=list(rows),
        note=note,
        title=TITLE,
        frames=[None if row is None else side for (row, _), side in zip(cells, sides, strict=True)],
    )


EMPTY = (None, "")


@pytest.mark.parametrize("columns", [4, 5])
def test_the_sheet_shows_the_surest_that_are_right_and_the_surest_that_are_wrong(columns: int) -> None:
    expected = sheet_of(
        {
            # .7 is .1 above the threshold, .5 is .1 below: both wrong, in their order
            "shiny": [(0, "0.90"), EMPTY, (1, "0.70"), (2, "0.50")],
            "torn": [(1, "0.60"), EMPTY, (3, "0.80"), EMPTY],
        },
        4,
    )
    drawn = attribute_sheet(IMAGES, FOUND, columns)
    assert drawn.size == expected.size
    assert (np.asarray(drawn) == np.asarray(expected)).all()


def test_the_sheet_has_the_surest_first_and_no_more_than_there_is_room_for() -> None:
    all_right = AttributeOutcomes(
        names=["shiny"],
        probabilities=np.array([[0.6], [0.8], [0.7], [0.1], [0.3]]),
        targets=np.array([[1], [1], [1], [1], [1]], dtype=np.float32),
        thresholds=np.array([0.5]),
    )
    expected = sheet_of({"shiny": [(1, "0.80"), (2, "0.70"), (3, "0.10"), (4, "0.30")]}, 4)
    assert (np.asarray(attribute_sheet(IMAGES, all_right, 4)) == np.asarray(expected)).all()


def test_of_many_attributes_the_sheet_shows_the_hardest_in_their_order() -> None:
    """Two more than there is room for; two whose order is perfect, the first and the last, are left out."""
    number = CLASSES_MOST + 2
    wrong = np.tile(np.array([[0.2], [0.9], [0.3], [0.8], [0.1]]), number)
    wrong[:, [0, -1]] = np.array([[0.9], [0.1], [0.2], [0.3], [0.1]])
    many = AttributeOutcomes(
        names=[f"a{place}" for place in range(number)],
        probabilities=wrong,
        targets=np.tile(np.array([[1], [0], [0], [NAN], [0]], dtype=np.float32), number),
        thresholds=np.full(number, 0.5),
    )
    row: list[tuple[int | None, str]] = [EMPTY, (1, "0.90")]
    shown = {f"a{place}": row for place in range(1, number - 1)}
    expected = sheet_of(shown, 2, f"The hardest {CLASSES_MOST} of {number} attributes")
    assert (np.asarray(attribute_sheet(IMAGES, many, 2)) == np.asarray(expected)).all()
