"""Lines are what a terminal would show of them, however the bytes are cut, in bounded memory."""

from __future__ import annotations

import tracemalloc
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darkroom.processes.lines import LineSplitter

LONGEST = 5
PARTS = (b"a", b"bc", b"\r", b"\n", b"\r\n", b"\xc3\xa9", b"   ", b"x" * 9)
OUTPUT = st.lists(st.sampled_from(PARTS), max_size=30).map(b"".join)


def lines_of(*pieces: bytes, longest: int = LONGEST) -> list[bytes]:
    splitter = LineSplitter(longest)
    return [line for piece in pieces for line in splitter.feed(piece)] + splitter.end()


def lines_at_once(output: bytes) -> list[bytes]:
    """The same by the definition: of each line what was written last, and of that the beginning."""
    *ended, rest = (line.rstrip(b"\r").rpartition(b"\r")[2] for line in output.split(b"\n"))
    lines = [*ended, rest] if rest else ended
    more = [f"... [{len(line) - LONGEST:,} bytes more]".encode() for line in lines]
    return [
        line[:LONGEST] + (said if len(line) > LONGEST else b"")
        for line, said in zip(lines, more, strict=True)
    ]


@given(OUTPUT, st.lists(st.integers(0, 60), max_size=8))
def test_however_the_bytes_are_cut_the_lines_are_the_same(output: bytes, cuts: list[int]) -> None:
    places = [0, *sorted(min(cut, len(output)) for cut in cuts), len(output)]
    assert lines_of(*(output[start:end] for start, end in pairwise(places))) == lines_at_once(output)


@pytest.mark.parametrize(
    ("pieces", "lines"),
    [
        ((b"one\ntwo\n",), [b"one", b"two"]),
        ((b"one\r\ntwo",), [b"one", b"two"]),
        ((b"one\r", b"\ntwo"), [b"one", b"two"]),
        ((b"10%\r20%\r", b"99%\r100%\n"), [b"100%"]),
        ((b"\r10%", b"\r20%", b"\n\n"), [b"20%", b""]),
        ((b"a longer line\n",), [b"a lon... [8 bytes more]"]),
        ((b"a lo", b"nger\rnext", b" line"), [b"next ... [4 bytes more]"]),
    ],
)
def test_lines_end_and_begin_anew_as_on_a_terminal(pieces: tuple[bytes, ...], lines: list[bytes]) -> None:
    assert lines_of(*pieces) == lines


def test_the_state_of_a_bar_is_known_before_its_line_ends() -> None:
    splitter = LineSplitter()
    splitter.feed(b"plain")
    assert splitter.redrawn == b""
    splitter.feed(b"\r 10%|#   |")
    assert splitter.redrawn == b" 10%|#   |"
    splitter.feed(b"\r 20%|##  |\r")
    assert splitter.redrawn == b" 20%|##  |"
    assert splitter.feed(b"\nplain") == [b" 20%|##  |"]
    assert splitter.redrawn == b""


@pytest.mark.parametrize("piece", [b"x" * 1000, b"\r" + b"x" * 999, b"\r" * 1000])
def test_an_endless_line_takes_no_more_memory_the_longer_it_gets(piece: bytes) -> None:
    splitter = LineSplitter()
    tracemalloc.start()
    try:
        for _ in range(2000):
            assert splitter.feed(piece) == []
        held, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 100_000
    assert most < 200_000
