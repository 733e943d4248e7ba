import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from darkroom.base.escapes import escape, escape_lines, escape_values


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Größe 中 ▁ 🙂\t|`<", "Größe 中 ▁ 🙂\t|`<"),
        ("\x1b]52;c;aGk=\x07", r"\x1b]52;c;aGk=\x07"),
        ("\x9b2J\x85\x7f", r"\x9b2J\x85\x7f"),
        ("a\rb\nc", r"a\rb\nc"),
        ("\u202eexe.\u2066txt\u200f", r"\u202eexe.\u2066txt\u200f"),
        ("\u2028\u2029\u200b\ufeff\u00ad\u2060", r"\u2028\u2029\u200b\ufeff\xad\u2060"),
        ("\udcff \U000e0041 \u3164", r"\udcff \U000e0041 \u3164"),
    ],
)
def test_what_moves_a_cursor_or_cannot_be_seen_is_shown_by_its_escape(text: str, expected: str) -> None:
    assert escape(text) == expected


@given(st.text(st.characters(), max_size=40))
@example("\x1b[2J\n\u202e")
def test_no_text_keeps_anything_hidden_and_plain_text_stays_as_it_is(text: str) -> None:
    result = escape(text)
    assert not [c for c in result if c != "\t" and unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")]
    assert escape(result) == result
    assert "\n".join(map(escape, text.split("\n"))) == escape_lines(text)
    if text.isprintable():
        assert result == text


def test_values_are_shown_at_any_depth() -> None:
    held = {"a\x1b": ["\u202e", 1, None, True, {"b": ("\x07",)}]}
    assert escape_values(held) == {r"a\x1b": [r"\u202e", 1, None, True, {"b": [r"\x07"]}]}
