"""What is passed on of too many lines: the first, those that look like errors, the last; how many lack."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from darkroom.processes.excerpt import Excerpt, telling_lines


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def excerpt(first: int = 4, errors: int = 2, last: int = 3, **options: object) -> Excerpt:
    return Excerpt(first=first, errors=errors, last=last, whole="LOG has them", **options)  # type: ignore[arg-type]


def test_a_short_output_is_passed_on_whole() -> None:
    one = excerpt()
    assert one.take(["a", "b"]) + one.take(["c", "d"]) + one.catch_up() == ["a", "b", "c", "d"]


def test_a_long_one_is_passed_on_in_parts_and_says_what_lacks() -> None:
    one = excerpt()
    lines = [f"line {n}" for n in range(20)]
    lines[10] = "ValueError: no"
    assert one.take(lines) == [*lines[:4], "ValueError: no"]
    assert one.take(["line 20"]) == []
    assert one.catch_up() == [
        "darkroom: 13 lines left out here; LOG has them",
        "line 18",
        "line 19",
        "line 20",
    ]
    assert one.catch_up() == []


def test_errors_have_a_bound_of_their_own() -> None:
    one = excerpt()
    passed = one.take([f"error {n}" for n in range(100)])
    assert passed == [f"error {n}" for n in range(6)]


def test_what_comes_slowly_enough_is_passed_on_for_ever() -> None:
    clock = Clock()
    one = excerpt(per_second=2.0, clock=clock)
    passed = []
    for n in range(100):
        clock.now += 0.5
        passed += one.take([f"line {n}"])
    assert passed == [f"line {n}" for n in range(100)]


def test_after_too_much_it_goes_on_with_a_long_piece() -> None:
    clock = Clock()
    one = excerpt(per_second=2.0, clock=clock)
    assert len(one.take(["x"] * 10)) == 4
    clock.now += 0.5  # there is room for one line
    assert one.take(["y"]) == []
    clock.now += 0.5
    assert one.take(["z"]) == ["darkroom: 7 lines left out here; LOG has them", "z"]


@given(st.lists(st.lists(st.sampled_from(["a line", "an error", ""]), max_size=30), max_size=10))
def test_each_line_is_passed_on_or_counted(batches: list[list[str]]) -> None:
    clock = Clock()
    one = excerpt(errors=5, per_second=3.0, clock=clock)
    passed = []
    for batch in batches:
        clock.now += 0.7
        passed += one.take(batch)
    passed += one.catch_up()
    notes = [line for line in passed if line.startswith("darkroom: ")]
    lacking = sum(int(re.findall(r"\d+", note)[0]) for note in notes)
    assert len(passed) - len(notes) + lacking == sum(map(len, batches))


def test_lines_that_look_like_errors_are_found_among_many() -> None:
    lines = [f"line {n}" for n in range(1000)]
    lines[3], lines[500], lines[999] = "Traceback (most recent call last):", "FATAL: x", "CUDA out of memory"
    assert list(telling_lines(lines)) == [lines[3], lines[500], lines[999]]
