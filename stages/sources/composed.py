"""Parameters of the scenes that are composed from cut-out pictures."""

import math
from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from stages.core.params import AUTO, StageParams
from stages.core.splits import Split

SCENES: dict[Split, tuple[int, int]] = {
    "train": (54_000, 55_000),
    "val": (400, 5_000),
    "test": (1_000, 10_000),
}
"""Scenes of each split, and the pictures that they were chosen for."""


class SceneCounts(StageParams):
    """Scenes of each split, composed of that split's own pictures."""

    train: int = Field(ge=1)
    """Scenes to train on."""

    val: int = Field(ge=1)
    """Scenes to validate on."""

    test: int = Field(ge=1)
    """Scenes to test on."""


class SceneParams(StageParams):
    """What the scenes look like and how many there are."""

    count: SceneCounts | Literal["auto"] = Field(default=AUTO)
    """auto: of as many pictures as a split has; see `scene_counts`."""

    side: Annotated[int, Field(ge=16)] | Literal["auto"] = Field(default=AUTO)
    """Side of the square scenes, in pixels; auto: by the size of the items, see `side_for`."""

    items_min: int = Field(ge=0, default=3)
    """Items in a scene: drawn evenly from `items_min` to `items_max`."""
    items_max: int = Field(ge=1, default=7)
    """The most items in a scene."""

    scale_min: float = Field(gt=0, default=0.8)
    """An item's size relative to its picture: drawn evenly in the logarithm."""
    scale_max: float = Field(gt=0, default=1.5)
    """The largest size relative to its picture."""

    brightness_min: float = Field(gt=0, default=0.8)
    """An item's brightness relative to its picture."""
    brightness_max: float = Field(gt=0, default=1.2)
    """The greatest brightness relative to its picture."""

    min_visible: float = Field(gt=0, le=1, default=0.85)
    """Share of an item's pixels that later items must leave uncovered."""

    mask_threshold: int = Field(ge=0, lt=255, default=8)
    """Brightness above which a picture's pixel belongs to the item."""

    def scene_counts(self, split: Split, pictures: int) -> int:
        """The number of scenes of a split with so many pictures.

        auto: 54,000 of 55,000 for train, 400 of 5,000 for val, 1,000 of 10,000 for test, and with the square
        root of their number of fewer or more.
        """
        if isinstance(self.count, SceneCounts):
            number: int = getattr(self.count, split)
            return number
        scenes, usual = SCENES[split]
        return max(1, round(scenes * math.sqrt(pictures / usual)))

    def largest_item(self, sides: Sequence[int]) -> int:
        """Longer side in pixels of the largest item that is cut out of pictures of these sides."""
        return round(max(sides) * self.scale_max)

    def side_for(self, sides: Sequence[int]) -> int:
        """The side in pixels of scenes of pictures of these sides.

        auto: 16 / 7 of the largest item's, up to the next multiple of 16, which gives 96 for pictures of
        28 px that are scaled by up to 1.5.
        """
        if isinstance(self.side, int):
            return self.side
        return 16 * math.ceil(self.largest_item(sides) / 7)

    @model_validator(mode="after")
    def _ranges_are_ordered(self) -> Self:
        for name in ("items", "scale", "brightness"):
            low, high = getattr(self, f"{name}_min"), getattr(self, f"{name}_max")
            if low > high:
                raise ValueError(f"{name}_min {low} is above {name}_max {high}")
        return self


class ComposedParams(SceneParams):
    """`format: composed`: scenes of the classified pictures."""

    format: Literal["composed"]
