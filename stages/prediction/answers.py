"""What a model says about pictures, and the default settings of such a request."""

from dataclasses import dataclass, field
from pathlib import Path

BATCH = 32
MASKS = 500
"""How often parts of a picture are hidden, to see where a detector looks."""
PARAMS = Path("params.yaml")


@dataclass(frozen=True, kw_only=True, slots=True)
class Unread:
    """A picture that cannot be read."""

    picture: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Attribute:
    """What a classifier says of an attribute of a picture."""

    probability: float
    """That the picture has it, calibrated on the validation split."""
    present: bool
    """Whether that is at least the threshold which the model file has of it, chosen on the validation
    split."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Classified:
    """What a classifier says of a picture."""

    picture: str
    """The path as it was given; of an array its number, such as `#3`."""
    width: int
    height: int
    label: str | None
    """The most probable class; None: the classifier has learnt attributes alone."""
    probability: float | None
    """Of the label, calibrated on the validation split; None where there is none."""
    probabilities: dict[str, float]
    """Of every class, the greatest first."""
    attributes: dict[str, Attribute] = field(default_factory=dict)
    """Of every attribute by its name, the most probable first; empty where the classifier has learnt none."""

    @property
    def present(self) -> dict[str, float]:
        """The attributes that the picture has, with their probabilities."""
        return {name: one.probability for name, one in self.attributes.items() if one.present}


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
