"""A line of YOLO's labels: a class and a box, a polygon, the corners of a turned box, or a pose."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from stages.sources.documents import number, shown, whole

FARTHEST = 2  # shares of the picture: what lies farther away is in other units


@dataclass(frozen=True, slots=True)
class Thing:
    """What a line says."""

    label: str
    drawn: Literal["box", "polygon"]
    edges: tuple[float, ...]
    """x and y by turns as shares of the picture: two corners of a box, or all of a polygon."""


def read_line(line: str, names: Mapping[int, str], keypoints: int) -> Thing | str:
    """What the line says, or what is wrong with it; `keypoints` are the values of a pose after its box."""
    words = _words(line)
    if words is None:
        return f"{shown(line.strip())}: a comma within a number; write 0.5, not 0,5"
    label = whole(words[0])
    if label is None or label not in names:
        return f"class {shown(words[0])} is not among names"
    values = [number(word) for word in words[1:]]
    count = len(values)
    posed = keypoints and count == 4 + keypoints
    if not posed and count != 4 and (count < 6 or count % 2):
        return f"{len(words)} values, want class, x, y, width, height, or class and three corners or more"
    shares = [one for one in (values[:4] if posed else values) if one is not None and abs(one) <= FARTHEST]
    if len(shares) < (4 if posed else count):
        return f"{shown(words[1:])} are not shares of the picture"
    if len(shares) != 4:
        return Thing(names[label], "polygon", tuple(shares))
    x, y, half_w, half_h = shares[0], shares[1], shares[2] / 2, shares[3] / 2
    return Thing(names[label], "box", (x - half_w, y - half_h, x + half_w, y + half_h))


def _words(line: str) -> list[str] | None:
    """The line cut at spaces and commas; None: a comma stands within a number."""
    words = line.split()
    within = [word for word in words if "," in word.strip(",")]
    if len(words) > 1 and any("." not in word for word in within):
        return None
    return [word for word in re.split(r"[\s,]+", line) if word]
