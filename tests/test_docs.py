"""The documents: every link leads somewhere, every command is one, every test that a promise names exists."""

from __future__ import annotations

import ast
import itertools
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import click
import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from darkroom.cli.main import app
from stages.by_hand import data, fuse, generate, predict
from tests.places import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("benchmarks/**/results/*.md")])
PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
MARKDOWN = MarkdownIt("commonmark").enable("table")
BY_HAND = {
    "classify": predict.classify,
    "data": data.command,
    "detect": predict.detect,
    "fuse": fuse.command,
    "generate": generate.command,
}
"""Commands that pass their words on to the stages."""
TEST = re.compile(r"\]\((?P<file>[^)]+\.py)\): `(?P<test>test_\w+)`")


def tokens_of(page: Path) -> Iterator[Token]:
    for token in MARKDOWN.parse(page.read_text(encoding="utf-8")):
        yield token
        yield from token.children or ()


def links_of(page: Path) -> list[str]:
    found = [token.attrGet("href") or token.attrGet("src") for token in tokens_of(page)]
    return [str(link) for link in found if link]


@cache
def anchors_of(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub names them."""
    tokens = MARKDOWN.parse(page.read_text(encoding="utf-8"))
    pairs = itertools.pairwise(tokens)
    titles = [then.content for token, then in pairs if token.type == "heading_open"]
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def commands_of(page: Path) -> list[list[str]]:
    """What the page shows of the command `darkroom`: the words after it, without comments."""
    kinds = {"code_inline", "code_block", "fence"}
    code = [token.content for token in tokens_of(page) if token.type in kinds]
    lines = [line for text in code for line in text.replace("\\\n", " ").splitlines()]
    shown = [re.sub(r"\s#.*", "", line.removeprefix("$ ").strip()) for line in lines]
    return [shlex.split(line)[1:] for line in shown if re.match(r"darkroom [a-z]", line)]


@PAGE
def test_links_lead_to_what_is_there(page: Path) -> None:
    for link in links_of(page):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{link}: there is no {path}"
        if anchor:
            assert anchor in anchors_of(target), f"{link}: no such heading"


@PAGE
def test_commands_and_their_options_exist(page: Path) -> None:
    for words in commands_of(page):
        command = BY_HAND.get(words[0]) or app.get_command(click.Context(app), words[0])
        assert command is not None, f"darkroom {words[0]}: no such command"
        known = {name for option in command.params for name in (*option.opts, *option.secondary_opts)}
        options = {word.partition("=")[0] for word in words[1:] if re.match(r"--?[a-zA-Z]", word)}
        assert options <= known | {"--help"}, f"darkroom {' '.join(words)}"


def test_pages_show_commands() -> None:
    shown = {words[0] for page in PAGES for words in commands_of(page)}
    assert shown >= {"plan", "run", "up", "status", "down", "ui", "gc", "doctor", "sweep", "rollback"}


def test_tests_that_a_promise_names_exist() -> None:
    page = ROOT / "docs/promises.md"
    named = TEST.findall(page.read_text(encoding="utf-8"))
    assert len(named) >= 10
    for file, test in named:
        tree = ast.parse((page.parent / file).read_text(encoding="utf-8"))
        tests = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        assert test in tests, f"{file}: {test}"
