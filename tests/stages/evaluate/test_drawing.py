import numpy as np
import pytest

from stages.evaluate.drawing import confusion_sheet, most_confused

BLUE = (0, 114, 178)


def test_classes_that_are_confused_most_come_first():
    counts = np.diag([9, 9, 9, 9])
    counts[3, 1] = 2
    counts[0, 2] = 1
    assert most_confused(counts, 4) == [0, 1, 2, 3]
    assert most_confused(counts, 2) == [1, 3]
    assert most_confused(counts, 3) == [0, 1, 3]


def test_table_of_ten_classes_has_room_for_its_counts():
    sheet = confusion_sheet(np.eye(10, dtype=np.int64) * 7, [str(number) for number in range(10)])
    assert sheet.height - 10 * 44 < 20
    assert (np.asarray(sheet) == BLUE).all(axis=2).sum() > 10 * 40 * 30  # the diagonal


@pytest.mark.slow
def test_table_of_a_thousand_classes_can_be_opened_and_says_what_it_leaves_out():
    counts = np.eye(1000, dtype=np.int64)
    counts[990, 5] = 1000
    names = [f"class {number}" for number in range(1000)]
    sheet = confusion_sheet(counts, names)
    assert max(sheet.size) < 2400
    # of the row that is confused, one cell is blue: the others of the diagonal hold their whole row too
    assert (np.asarray(sheet) == BLUE).all(axis=2).sum() < 100 * 21 * 21
    all_shown = confusion_sheet(counts[:100, :100], names[:100])
    assert all_shown.height < sheet.height  # by the line that says so
