"""YAML that needs no escapes, anchors or folded lines: nearly every entry of a dvc.lock.

DVC's YAML writer is written in Python and takes 0.2 ms a value. This module writes the same bytes faster.
Everything that it cannot write is left to DVC's writer.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

LONGEST_LINE = 79
"""Characters; DVC's writer may break a longer line at a space."""

_TEXT = re.compile(r"(?:[A-Za-z_/]|\.\.?/)(?: ?[\w./@+=,()\[\]{}<>|&$*!%^~;\"'-])*", re.ASCII)
_HASH = re.compile(r"(?=.*[acdf])[0-9a-f]{32}(?:\.dir)?")
_NUMBER = re.compile(r"\d+(?:\.\d+)?", re.ASCII)
_WORDS = frozenset(("true", "false", "null", "yes", "no", "on", "off", "y", "n"))
"""That some version of YAML reads as a value."""


class _NotPlainError(Exception):
    """Something that DVC's writer is left to write."""


def plain_yaml(data: Any) -> str | None:
    """A mapping's YAML, as DVC dumps it; None: it is not so simple."""
    try:
        return "".join(_mapping(data, "", set()))
    except _NotPlainError:
        return None


def _mapping(data: Any, indent: str, seen: set[int], first: str | None = None) -> Iterator[str]:
    """The lines; `first` stands before the first one instead of `indent`."""
    if type(data) not in (dict, OrderedDict):
        raise _NotPlainError
    _see(data, seen)
    start = indent if first is None else first
    for key, value in data.items():
        name = f"{start}{_text(key)}:"
        start = indent
        if type(value) is list:
            yield _line(name)
            yield from _list(value, indent, seen)
        elif isinstance(value, dict):
            yield _line(name)
            yield from _mapping(value, f"{indent}  ", seen)
        else:
            yield _line(f"{name} {_scalar(value)}")


def _list(items: list[Any], indent: str, seen: set[int]) -> Iterator[str]:
    _see(items, seen)
    for item in items:
        if isinstance(item, dict):
            yield from _mapping(item, f"{indent}  ", seen, f"{indent}- ")
        else:
            yield _line(f"{indent}- {_scalar(item)}")


def _see(data: Any, seen: set[int]) -> None:
    """Refuse empty collections, which have signs of their own, and repeated ones, which get an anchor."""
    if not data or id(data) in seen:
        raise _NotPlainError
    seen.add(id(data))


def _line(text: str) -> str:
    if len(text) > LONGEST_LINE:
        raise _NotPlainError
    return f"{text}\n"


def _scalar(value: Any) -> str:
    kind = type(value)
    if kind is bool:
        return "true" if value else "false"
    if kind is int:
        return str(value)
    if kind is float and (text := repr(value)).count(".") == 1 and "e" not in text:
        return text
    return _text(value)


def _text(value: Any) -> str:
    if type(value) is str and _NUMBER.fullmatch(value):
        return f"'{value}'"
    plain = type(value) is str and (_HASH.fullmatch(value) or _TEXT.fullmatch(value))
    if not plain or value.lower() in _WORDS:
        raise _NotPlainError
    return str(value)
