"""Edits dvc.yaml as text: comments, order and layout of everything that stays are kept."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

import yaml


def names_of(text: str, section: str) -> list[str]:
    """The names of the entries of a section, such as `stages`."""
    return [name for name, _, _ in _entries(text, section)]


def without_entries(text: str, section: str, names: Collection[str]) -> str:
    """The text without these entries of a section."""
    lines = text.split("\n")
    for name, start, end in reversed(_entries(text, section)):
        if name in names:
            del lines[start:end]
    return "\n".join(lines)


def without_lines(text: str, words: Iterable[str]) -> str:
    """The text without the items of lists that begin with one of these words, and what is indented below."""
    begins = "|".join(map(re.escape, words))
    return re.sub(rf"^( *)- (?:{begins})\b.*\n(?:\1 .*\n)*", "", text, flags=re.MULTILINE) if begins else text


def without_plots(text: str, paths: Collection[str]) -> str:
    """The text whose own `plots`, those of no stage, do not name these files."""
    head, plots, tail = text.partition("\nplots:\n")
    return head + plots + without_lines(tail, paths)


def without_options(text: str, options: Collection[str]) -> str:
    """The text with commands that lack these options and their values; no line becomes empty."""
    given = re.compile(rf"--(?:{'|'.join(map(re.escape, options))}) +\S+ ?")
    lines = [(line, given.sub("", line) if given.search(line) else line) for line in text.split("\n")]
    return "\n".join(
        left.rstrip() if left != line else line for line, left in lines if left.strip() or not line
    )


def without_figures(text: str, model: str) -> str:
    """The text whose stages say nothing of a model's figures."""
    text = re.sub(rf"^ +(?:- )?{re.escape(model)}\.\S+(?:: .*)?\n", "", text, flags=re.MULTILINE)
    return re.sub(r"^( +)measured_with:.*\n(?!\1 )", "", text, flags=re.MULTILINE)


def with_stage(text: str, entry: str) -> str:
    """The text with one more stage, after the others; `entry` begins with its name, indented by two."""
    found = _entries(text, "stages")
    if not found:  # no such section yet, or an empty one
        kept = re.sub(r"^stages:[^\S\n]*(?:\{\}|null|~)?[^\S\n]*(?:#.*)?\n?", "", text, flags=re.MULTILINE)
        return f"{kept.rstrip()}\n\nstages:\n{entry}".lstrip("\n")
    lines = text.rstrip("\n").split("\n")
    end = found[-1][2]
    while end and not lines[min(end, len(lines)) - 1].strip():  # before the empty lines that follow
        end -= 1
    return "\n".join([*lines[:end], "", *entry.rstrip("\n").split("\n"), *lines[end:], ""])


def _entries(text: str, section: str) -> list[tuple[str, int, int]]:
    """Entries of a section: the name, its line, and the line after its last one with what follows it."""
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    tops = [key.start_mark.line for key, _ in pairs]
    for key, value in pairs:
        if key.value == section and isinstance(value, yaml.MappingNode) and not value.flow_style:
            starts = [name.start_mark.line for name, _ in value.value]
            later = min((top for top in tops if top > key.start_mark.line), default=text.count("\n") + 1)
            ends = [*starts[1:], _before_comments(text, later)]
            return [(name.value, s, e) for (name, _), s, e in zip(value.value, starts, ends, strict=True)]
    return []


def _before_comments(text: str, line: int) -> int:
    """The line up to which the text before `line` belongs to what stands before: comments are the next's."""
    lines = text.split("\n")
    while line and lines[line - 1].startswith("#"):
        line -= 1
    return line
