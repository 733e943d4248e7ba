"""What is done about findings, and where too many of them stop the stage."""

import pytest

from stages.core.errors import DataError
from stages.sources.params import Policy
from stages.sources.policy import Findings, refuse_too_many


def refused(number: int, *, most: float) -> Findings:
    """So many findings of two kinds that are refused, and more of one that is kept."""
    found = Findings(Policy(max_refused=most, unknown_class="refuse", truncated="refuse", stray_file="keep"))
    for row in range(2 * number):
        found.add("stray_file", f"stray {row}", "no name of a picture")
    found.add("unknown_class", "row 1", "owl is no class")
    for row in range(2, number + 1):
        found.add("truncated", f"row {row}", "ends early")
    return found


def test_a_finding_is_noted_and_what_is_done_about_it_is_told() -> None:
    found = Findings(Policy(truncated="refuse", cmyk="mend", bad_row="stop"))
    assert found.add("truncated", "a.png", "ends early") == "refuse"
    assert found.add("cmyk", "b.png", "four channels") == "mend"
    assert found.add("truncated", "c.png", "ends early") == "refuse"
    said = r"^a\.csv, row 2: bad_row: no number: mend it, or let preprocess\.policy\.bad_row go on$"
    with pytest.raises(DataError, match=said):
        found.add("bad_row", "a.csv, row 2", "no number")
    assert [(one.kind, one.where, one.what) for one in found.all] == [
        ("truncated", "a.png", "ends early"),
        ("cmyk", "b.png", "four channels"),
        ("truncated", "c.png", "ends early"),
        ("bad_row", "a.csv, row 2", "no number"),
    ]
    assert list(found.counts().items()) == [
        ("bad_row", {"count": 1, "action": "stop"}),
        ("cmyk", {"count": 1, "action": "mend"}),
        ("truncated", {"count": 2, "action": "refuse"}),
    ]


def test_one_alone_may_be_refused_and_otherwise_the_share_of_the_policy() -> None:
    refuse_too_many(1, 5, "classification", refused(1, most=0.0))
    refuse_too_many(4, 40, "classification", refused(4, most=0.1))
    with pytest.raises(DataError):
        refuse_too_many(2, 5, "classification", refused(2, most=0.1))
    with pytest.raises(DataError):
        refuse_too_many(5, 40, "classification", refused(5, most=0.1))


def test_too_many_are_refused_in_a_line_with_the_commonest_reason_and_a_share_that_is_enough() -> None:
    with pytest.raises(DataError) as raised:
        refuse_too_many(6, 50, "classification", refused(6, most=0.1))
    assert str(raised.value) == (
        "classification: 6 of 50 pictures refused, preprocess.policy.max_refused is 0.1; 5 times truncated, "
        "first row 2: ends early: mend them, or raise max_refused to 0.12"
    )


def test_a_share_that_is_enough_is_never_above_one() -> None:
    """A picture may lose more boxes than rows are counted."""
    with pytest.raises(DataError, match=r"^detection: 30 of 20 boxes refused, .* raise max_refused to 1$"):
        refuse_too_many(30, 20, "detection", refused(30, most=0.1), "boxes")
