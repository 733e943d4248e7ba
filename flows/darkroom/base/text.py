"""Numbers, durations and changes in the words that people read."""

import json
import math
from collections.abc import Sequence
from itertools import zip_longest

SIGNIFICANT = 4
SHOWN_REASONS = 3
SHOWN_LETTERS = 60
"""The most letters of a value that are shown."""
SHOWN_BEFORE = 15
"""The letters that are shown of what two long values have in common, before they differ."""


def format_duration(seconds: float) -> str:
    """A time as people say it: `0.4 s`, `12 s`, `4 min 02 s`, `1 h 05 min`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min"


def format_reasons(reasons: Sequence[str]) -> str:
    """The first few reasons, and how many more there are."""
    more = [f"and {len(reasons) - SHOWN_REASONS} more"] if len(reasons) > SHOWN_REASONS else []
    return "; ".join([*reasons[:SHOWN_REASONS], *more])


def format_count(number: int, noun: str) -> str:
    """`1 stage`, `6 stages`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def format_change(then: object, now: object) -> str:
    """A value before and after: `"1" -> 1`; of long ones the part that differs."""
    one, other = _json_text(then), _json_text(now)
    pairs = zip_longest(one, other)
    alike = next((at for at, (letter, instead) in enumerate(pairs) if letter != instead), len(one))
    start = max(alike - SHOWN_BEFORE, 0) if max(len(one), len(other)) > SHOWN_LETTERS else 0
    return f"{_cut(one, start)} -> {_cut(other, start)}"


def format_json(value: object) -> str:
    """A value as JSON has it, so that its type can be seen: `"1"` is a text, `1` a number."""
    return _cut(_json_text(value), 0)


def _json_text(value: object) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, default=str)
    except (ValueError, TypeError, RecursionError):  # an endless one, thousands of digits, a key that is none
        return f"{type(value).__name__} too large to be shown"


def _cut(text: str, start: int) -> str:
    end = start + SHOWN_LETTERS
    return f"{'...' if start else ''}{text[start:end]}{'...' if end < len(text) else ''}"


def format_figure(value: object) -> str:
    """A metric's value: four significant digits of a fraction, whole numbers as they are."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.{SIGNIFICANT}g}"
    return str(value)


def format_difference(then: object, now: object) -> str:
    """The change of a figure with its sign, empty where one of them is no number or nothing changed."""
    if not (is_number(then) and is_number(now)) or then == now:
        return ""
    delta = now - then  # type: ignore[operator]
    return f"{delta:+d}" if isinstance(delta, int) else f"{delta:+.{SIGNIFICANT - 1}g}"


def is_number(value: object) -> bool:
    """Whether the value is a number that others can be compared with: neither a truth value nor NaN."""
    return isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)
