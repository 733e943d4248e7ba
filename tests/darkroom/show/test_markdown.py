"""What markdown makes of texts, by a parser of the kind that the pages use."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from darkroom.base.escapes import escape
from darkroom.show.markdown import (
    code_block,
    code_span,
    inline_text,
    markdown_picture,
    markdown_table,
    paragraph_text,
)

HOSTILE = (
    "````\n# injected",
    "<img src=x onerror=alert(1)>",
    "![x](http://example.org/x.png)",
    "[x](javascript:alert(1))",
    "a | b",
    "**bold** _it_ ~~no~~ `code`",
    "# heading",
    "- item",
    "12. item",
    "> quote",
    "&lt;b&gt; &#60;",
    "\\`\\|",
    "$x$",
    "</td></tr>",
    "a\u202eb\x1b[2J",
)
parsed = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse


def flat(tokens: list[Token]) -> list[Token]:
    return [inner for token in tokens for inner in (token, *flat(token.children or []))]


def kinds(text: str) -> set[str]:
    return {token.type for token in flat(parsed(text))}


def texts(text: str) -> str:
    return "".join(token.content for token in flat(parsed(text)) if token.type.startswith("text"))


def as_said(text: str) -> str:
    return " ".join(escape(text.replace("\n", " ")).split())


any_text = st.text(
    st.sampled_from("ab1 `*_[]()<>#+-.!|~&;$\\\n\x1b\u202e\"'=:") | st.characters(), max_size=30
)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_text(text: str) -> None:
    assert kinds(paragraph_text(text)) == {"paragraph_open", "inline", "text", "paragraph_close"} | (
        kinds(paragraph_text(text)) & {"text_special"}
    )
    assert texts(paragraph_text(text)) == as_said(text)


@given(any_text)
@example("_a_")
@example("1)x")
def test_no_text_is_markup_and_each_reads_as_it_was(text: str) -> None:
    page = paragraph_text(text)
    assert kinds(page) <= {"paragraph_open", "inline", "text", "text_special", "paragraph_close"}
    assert texts(page) == as_said(text)


@given(any_text, any_text)
@example("a|b", "\\|")
def test_a_table_has_the_cells_that_it_was_given(one: str, two: str) -> None:
    page = markdown_table(("head", one), [(two, "x")])
    tokens = flat(parsed(page))
    assert [token.type for token in tokens].count("td_open") == 2
    assert [token.type for token in tokens].count("th_open") == 2
    cells = [texts_of(token) for token in tokens if token.type == "inline"]
    assert cells == ["head", as_said(one), as_said(two), "x"]


def texts_of(token: Token) -> str:
    assert {inner.type for inner in token.children or []} <= {"text", "text_special"}
    return "".join(inner.content for inner in token.children or [])


@given(any_text.filter(str.strip))
@example("``")
@example("`")
def test_code_is_closed_by_nothing_in_it(text: str) -> None:
    tokens = flat(parsed(f"before {code_span(text)} after"))
    (found,) = [token for token in tokens if token.type == "code_inline"]
    assert found.content.strip() == escape(text).strip()


@given(st.lists(any_text.map(lambda text: text.replace("\n", "")), max_size=4))
@example(["````", "# injected"])
@example(["~~~", "`" * 20])
def test_a_block_of_code_is_closed_by_nothing_in_it(lines: list[str]) -> None:
    block, after = parsed(f"{code_block(lines)}\n\nafter")[0], parsed(f"{code_block(lines)}\n\nafter")[1]
    assert (block.type, block.content) == ("fence", "".join(f"{escape(line)}\n" for line in lines))
    assert after.type == "paragraph_open"


def test_what_is_no_markup_is_not_disfigured() -> None:
    plain = "train_gan: dep data/in.txt: modified, +0.25 (a & b), 5 > 3"
    assert inline_text(plain) == plain
    assert markdown_picture("a]b.png", "data:,") == "![a\\]b.png](data:,)"
