"""Markdown around texts from outside: the texts are shown as they are and never become markup."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from darkroom.base.escapes import escape

# An underscore within a word marks nothing; an ampersand does where an entity could begin.
_MARKUP = re.compile(r"[\\`*\[\]~|$]|(?<![^\W_])_|_(?![^\W_])|&(?=[#\w])|<")
_BY_ENTITY = {"<": "&lt;", "&": "&amp;"}
_LONGEST_NUMBER = 9  # of a list's item


def inline_text(text: str) -> str:
    """A text within a line: a cell, a heading, an item."""
    one_line = escape(text.replace("\n", " "))
    escaped = _MARKUP.sub(lambda found: _BY_ENTITY.get(found[0]) or f"\\{found[0]}", one_line)
    return " ".join(escaped.split())


def paragraph_text(text: str) -> str:
    """A text that begins a line, where more has a meaning: `# heading`, `- item`, `1. item`, `> quote`."""
    escaped = inline_text(text)
    number = re.match(rf"\d{{0,{_LONGEST_NUMBER}}}", escaped)
    end = number.end() if number else 0
    marked = escaped[:1] in "#>+-=" if not end else escaped[end : end + 1] in (".", ")")
    return f"{escaped[:end]}\\{escaped[end:]}" if escaped and marked else escaped


def code_span(text: str) -> str:
    """A text within a line, in the letters of code. Not for a table's cells, which a `|` ends even there."""
    fence = "`" * (_longest_run(text) + 1)
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{pad}{escape(text) or ' '}{pad}{fence}"


def code_block(lines: Iterable[str]) -> str:
    """Lines as they are, whatever stands in them."""
    kept = [escape(line) for line in lines]
    fence = "`" * max(3, _longest_run("\n".join(kept)) + 1)
    return "\n".join((f"{fence}text", *kept, fence))


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose cells are shown as they are, never as markup."""
    return table_of_markdown(header, ([inline_text(text) for text in row] for row in rows))


def table_of_markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells that are markdown already."""
    lines = [[inline_text(name) for name in header], ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def markdown_picture(name: str, uri: str) -> str:
    """A picture, and its name for who does not see it."""
    return f"![{inline_text(name)}]({uri})"


def _longest_run(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)
