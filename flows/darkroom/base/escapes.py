r"""Text from outside as it is shown: names, messages and output may hold what moves a terminal's cursor.

Control characters (the escape sequences of terminals begin with one), marks and overrides of the direction of
writing, line separators, characters without width, and halves of characters (file names that are no UTF-8)
are shown by their escapes, `\x1b`, `\u202e`. All else stays as it is.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Any

_HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
# Letters and marks by their category, but nothing is to be seen of them.
_UNSEEN = {0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, *range(0x180B, 0x1810), 0x3164, 0xFFA0}


class _Escapes(dict[int, int | str]):
    """A table for `str.translate` that remembers each character it has met."""

    def __missing__(self, code: int) -> int | str:
        character = chr(code)
        hidden = unicodedata.category(character) in _HIDDEN or code in _UNSEEN
        self[code] = character.encode("unicode_escape").decode("ascii") if hidden else code
        return self[code]


_IN_A_LINE = _Escapes({ord("\t"): "\t"})
_IN_LINES = _Escapes({ord("\t"): "\t", ord("\n"): "\n"})


def escape(text: str) -> str:
    r"""`text` in one line; a line end in it is shown as `\n`."""
    return text if text.isprintable() else text.translate(_IN_A_LINE)


def escape_lines(text: str) -> str:
    """Escape a text of several lines, which stay lines."""
    return text if text.isprintable() else text.translate(_IN_LINES)


def escape_values(value: Any) -> Any:
    """Escape every text in plain values (mappings, lists), names of keys too."""
    match value:
        case str():
            return escape(value)
        case Mapping():
            return {escape(str(key)): escape_values(inner) for key, inner in value.items()}
        case list() | tuple():
            return [escape_values(inner) for inner in value]
    return value
