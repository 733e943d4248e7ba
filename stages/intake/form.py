"""The form that pictures are brought to, what may be odd about one, and what decoding gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from stages.intake.geometry import Fit, Pixels  # OpenCV, which params.yaml is read without

Oddity = Literal[
    "unreadable",
    "truncated",
    "damaged",
    "animated",
    "cmyk",
    "sixteen_bit",
    "alpha",
    "rotated",
    "bomb",
    "missing_picture",
]
ODDITIES: frozenset[str] = frozenset(get_args(Oddity))

Crop = tuple[int, int, int, int]
"""x1, y1, x2, y2 in pixels of the upright picture, which it may reach beyond."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Form:
    """The form that pictures are brought to, and which oddities are refused or left as they are."""

    height: int
    width: int
    channels: int
    fit: Fit
    ground: int
    max_pixels: int
    refused: frozenset[str]
    """Oddities for which a picture is refused: its pixels are not decoded."""
    kept: frozenset[str]
    """Oddities that are left as they are: "rotated" and "damaged" can be."""

    @property
    def frame(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.width, self.height

    @property
    def row_bytes(self) -> int:
        """Bytes that the pixels of one picture take."""
        return self.height * self.width * self.channels


@dataclass(frozen=True, kw_only=True, slots=True)
class Decoded:
    """The outcome of decoding one picture."""

    pixels: Pixels | None
    """[h, w, C], or None where an oddity is refused."""
    width: int
    """Width of the upright original in pixels."""
    height: int
    """Height of the upright original in pixels."""
    oddities: tuple[Oddity, ...]
    what: str
    """The picture and its oddities in words, for people who look for the file."""
