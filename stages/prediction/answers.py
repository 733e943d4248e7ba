"""What a model says about pictures, and the default settings of such a request."""

from dataclasses import dataclass, field
from pathlib import Path

BATCH = 32
MASKS = 500
"""How often parts of a picture are hidden, to see where a detector looks."""
PARAMS = Path("params.yaml")
DATA = Path("data/prepared/classification")
"""The pictures that `preprocess` packed for the classifier."""


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
class Neighbour:
    """A training picture that a classifier takes for like another picture."""

    picture: str
    """The picture's file, or a file and a row of it, as `preprocess` read it."""
    row: int
    """The picture's row in the packed training split."""
    label: str | None
    """The picture's class; None: it has none."""
    distance: float
    """One less the cosine of the angle between both pictures' features: 0 where they are alike, 2 at most."""


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
    """Probability of the label, calibrated on the validation split; None where there is none."""
    probabilities: dict[str, float]
    """Probabilities of every class, the greatest first."""
    attributes: dict[str, Attribute] = field(default_factory=dict)
    """Attributes by their names, the most probable first; empty where the classifier has learnt none."""
    nearest: tuple[Neighbour, ...] = ()
    """The training pictures most like it, the nearest first, where they were asked for."""

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
