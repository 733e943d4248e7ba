"""What a model says of pictures, and what is taken where nothing else is asked for."""

from dataclasses import dataclass
from pathlib import Path

BATCH = 32
PARAMS = Path("params.yaml")


@dataclass(frozen=True, kw_only=True, slots=True)
class Unread:
    """A picture that cannot be read."""

    picture: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Classified:
    """What a classifier says of a picture."""

    picture: str
    """The path as it was given; of an array its number, such as `#3`."""
    width: int
    height: int
    label: str
    probability: float
    """Of the label, calibrated on the validation split."""
    probabilities: dict[str, float]
    """Of every class, the greatest first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Box:
    """An item that a detector has found; the corners are in pixels of the picture, from its upper left."""

    label: str
    score: float
    """The probability that there is one, calibrated on the validation split."""
    x1: float
    y1: float
    x2: float
    y2: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Detected:
    """What a detector finds in a picture."""

    picture: str
    """The path as it was given; of an array its number, such as `#3`."""
    width: int
    height: int
    boxes: tuple[Box, ...]
    """The surest first."""
