"""The documents: links lead somewhere, commands and examples work, quoted messages and named tests exist."""

from __future__ import annotations

import ast
import itertools
import re
import shlex
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import click
import numpy as np
import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token
from PIL import Image

from darkroom.cli.main import app
from stages.by_hand import data, export, fuse, generate, params, predict, repair
from tests.conftest import run
from tests.places import ROOT
from tests.tour import fences_of, on_screen, write_quickstart

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("benchmarks/**/results/*.md")])
PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
MARKDOWN = MarkdownIt("commonmark").enable("table")
BY_HAND = {
    "classify": predict.classify,
    "data": data.command,
    "detect": predict.detect,
    "explain": predict.explain,
    "export": export.command,
    "fuse": fuse.command,
    "generate": generate.command,
    "params": params.command,
    "repair": repair.command,
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


def commands_of(page: Path, program: str = "darkroom") -> list[list[str]]:
    """What the page shows of the command: the words after its name, without comments."""
    kinds = {"code_inline", "code_block", "fence"}
    code = [token.content for token in tokens_of(page) if token.type in kinds]
    lines = [line for text in code for line in text.replace("\\\n", " ").splitlines()]
    shown = [re.sub(r"\s#.*", "", line.removeprefix("$ ").strip()) for line in lines]
    return [shlex.split(line)[1:] for line in shown if re.match(rf"{program} [a-z]", line)]


def texts_in_code() -> set[str]:
    """Every text in the code of both halves, with an ellipsis for each value in it."""
    files = [*ROOT.glob("flows/**/*.py"), *ROOT.glob("stages/**/*.py")]
    nodes = itertools.chain.from_iterable(ast.walk(ast.parse(file.read_text())) for file in files)
    found = set()
    for node in nodes:
        if isinstance(node, ast.JoinedStr):
            parts = [part.value if isinstance(part, ast.Constant) else "…" for part in node.values]
            found.add("".join(map(str, parts)))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.add(node.value)
    return found


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


def test_lines_of_the_readme_fit_a_terminal() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if len(line) > 120] == []


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


@PAGE
def test_targets_of_make_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for words in commands_of(page, "make"):
        named = {word for word in words if re.fullmatch(r"[a-z-]+", word)}
        assert named <= targets, f"make {' '.join(words)}"


@pytest.mark.slow
def test_messages_of_the_troubleshooting_page_are_in_the_code() -> None:
    page = (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8")
    ours, _, _ = page.partition("## From DVC")
    messages = re.findall(r"^\| `([^`]+)`", ours, re.MULTILINE)
    assert len(messages) >= 20
    texts = texts_in_code()
    missing = [one for one in messages if not any(one.strip("… ") in text for text in texts)]
    assert not missing, missing


def test_every_page_is_in_the_menu() -> None:
    (menu,) = (
        ast.literal_eval(node.value)
        for node in ast.parse((ROOT / "docs/conf.py").read_text()).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "MENU"
    )
    listed = {(ROOT / "docs" / f"{name}.md").resolve() for pages in menu.values() for name in pages}
    assert {page for page in ROOT.glob("docs/*.md") if page.stem != "index"} <= listed
    assert all(page.exists() for page in listed)


def test_names_that_the_python_examples_import_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asking, fusing = fences_of(ROOT / "docs/python_api.md", "python")
    (imports, *_) = ast.parse(asking).body
    exec(ast.unparse(imports), {})
    for name in ("near.png", "far.png"):
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)).save(
            tmp_path / name
        )
    monkeypatch.chdir(tmp_path)
    exec(fusing, {})
    assert (tmp_path / "sharp.png").exists()


def test_pictures_of_a_terminal_ask_no_other_host_and_show_no_path_of_a_machine() -> None:
    pictures = list(ROOT.glob("docs/terminal-*.svg"))
    assert len(pictures) == 3
    for picture in pictures:
        text = picture.read_text(encoding="utf-8")
        assert not re.search(r"url\(\"|@import|href=|/home/|/tmp/|/root/", text), picture.name


def test_what_a_live_display_erases_is_not_in_a_picture() -> None:
    assert on_screen("a\n\x1b[?25lhalf\nbar\r\x1b[2K\x1b[1A\x1b[2Kdone\n\x1b[?25h") == "a\ndone"


@pytest.mark.slow
def test_the_quickstart_works_as_it_says(tmp_path: Path) -> None:
    page = ROOT / "docs/quickstart.md"
    _, setup, planned, summary, changed = fences_of(page)
    run(tmp_path, "bash", "-ec", setup)
    write_quickstart(tmp_path)

    def lines_of(text: str) -> list[str]:
        """Lines without what differs from run to run: times and width."""
        words = [re.sub(r"\b\d+\.\d s\b", "TIME", line).split() for line in text.splitlines()]
        return [" ".join(line) for line in words if line and line[0] != "$"]

    assert lines_of(run(tmp_path, "darkroom", "plan", check=False).stdout) == lines_of(planned)
    said = lines_of(run(tmp_path, "darkroom", "run").stdout)
    assert set(lines_of(summary)) <= set(said)
    identity = ["-c", "user.name=t", "-c", "user.email=t@t.invalid"]
    run(tmp_path, "git", "add", "-A")
    run(tmp_path, "git", *identity, "commit", "-qm", "First results")
    (edit,) = (line for line in changed.splitlines() if "sed" in line)
    run(tmp_path, "bash", "-ec", edit.removeprefix("$ "))
    assert lines_of(run(tmp_path, "darkroom", "plan", check=False).stdout) == lines_of(changed)


@pytest.mark.slow
def test_the_site_builds_and_every_link_in_it_leads_somewhere(tmp_path: Path) -> None:
    sphinx = [sys.executable, "-m", "sphinx", "--quiet", "--fail-on-warning", "--keep-going"]
    run(ROOT, *sphinx, "-d", str(tmp_path / "doctrees"), "-c", "docs", ".", str(tmp_path / "site"))
    assert (tmp_path / "site/index.html").exists()
    assert "gpus" in (tmp_path / "site/searchindex.js").read_text()
