"""What is written quickly has the bytes that DVC's own writer gives."""

from __future__ import annotations

import pytest
from dvc.utils.serialize import dumps_yaml
from hypothesis import example, given
from hypothesis import strategies as st

from darkroom.ledger.plain_yaml import LONGEST_LINE, plain_yaml
from darkroom.workspace.recording import _unfolded

HEX = st.text("0123456789abcdef", min_size=32, max_size=32)
WORDS = st.sampled_from(
    (
        "true",
        "No",
        "null",
        "~",
        "1e5",
        "0x1f",
        ".inf",
        "./a",
        "..",
        "1:30",
        "=",
        "<<",
        "-",
        "a: b",
        "a #b",
        "on",
    )
)
TEXTS = (
    st.text("abzAZ059_./@+=,()[]{}<>|&$*!%^~;\"'- :#\\`?\té", max_size=90)
    | HEX
    | HEX.map(lambda text: f"{text}.dir")
    | st.text("0123456789e.", max_size=32)
    | WORDS
)
VALUES = st.recursive(
    TEXTS | st.integers() | st.booleans() | st.floats() | st.none(),
    lambda inner: (
        st.dictionaries(TEXTS, inner, max_size=3)
        | st.lists(TEXTS | st.dictionaries(TEXTS, TEXTS, max_size=3), max_size=3)
    ),
)


@given(st.dictionaries(TEXTS, VALUES, min_size=1, max_size=2))
@example({"k" * 130: {"a": 1}})
@example({"k" * 130: ["a"]})
def test_it_has_the_bytes_of_dvcs_writer_or_leaves_it_to_that(data: dict[str, object]) -> None:
    plain = plain_yaml(data)
    assert plain is None or plain == dumps_yaml(data) == _unfolded(data)


def test_an_entry_of_a_dvc_lock_is_written_by_it() -> None:
    deps = [{"path": f"made{i}.txt", "hash": "md5", "md5": f"{i:031x}c", "size": i} for i in range(3)]
    outs = [{"path": "out", "hash": "md5", "md5": f"{7:031x}a.dir", "size": 9, "nfiles": 2, "isexec": True}]
    entry = {
        "cmd": "python -m stages.x > out",
        "deps": deps,
        "params": {"p.yaml": {"a.b": 0.5}},
        "outs": outs,
    }
    data = {"schema": "2.0", "stages": {"train@a-1": entry}}
    assert plain_yaml(data) == dumps_yaml(data)


@pytest.mark.parametrize("length", [LONGEST_LINE - 1, LONGEST_LINE, LONGEST_LINE + 1, 200])
def test_lines_that_dvc_may_break_are_left_to_it(length: int) -> None:
    words = "word " * 60
    data = {"cmd": words[: length - len("cmd: ")].rstrip() or "x"}
    plain = plain_yaml(data)
    assert plain is None or plain == dumps_yaml(data)
    assert (plain is None) == (len(f"cmd: {data['cmd']}") > LONGEST_LINE)


def test_what_stands_in_two_places_is_left_to_it() -> None:
    twice = {"a": 1}
    assert plain_yaml({"x": twice, "y": twice}) is None
