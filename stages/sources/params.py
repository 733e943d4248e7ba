"""What every source of files needs to be told: classes, the form of the pictures, the splits."""

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from stages.core.packed import SPLITS, Split
from stages.core.params import AUTO, StageParams

Side = Annotated[int, Field(ge=1, le=8192)]
Fraction = Annotated[float, Field(gt=0, lt=1)]


class SplitParams(StageParams):
    """How pictures that the data leaves undecided are split."""

    val: Fraction = 0.15
    """Share of the training pictures that becomes val, where the data gives no val."""

    test: Fraction | None = None
    """Share of all pictures that becomes test, where the data gives no test; null: the data must give it."""

    group_pattern: str | None = None
    """A regular expression on a picture's path, whose first group names what must stay together."""

    near_duplicates: Annotated[int, Field(ge=0, le=16)] | None = None
    """Bits of 128 of a difference hash in which two pictures may differ and still never stand in two splits;
    null: only equal pictures are kept apart."""

    @field_validator("group_pattern")
    @classmethod
    def _has_one_group(cls, pattern: str | None) -> str | None:
        try:
            if pattern is not None and re.compile(pattern).groups < 1:
                raise ValueError("has no (group) that names what must stay together")
        except re.error as error:
            raise ValueError(f"no regular expression ({error})") from None
        return pattern


class PerSplit(StageParams):
    """Files or folders below the raw folder, or null; `all` leaves the splits to `preprocess`."""

    train: str | None = None
    """Of the training split."""

    val: str | None = None
    """Of the validation split."""

    test: str | None = None
    """Of the test split."""

    all: str | None = None
    """Of all pictures; `preprocess` splits them."""

    def given(self) -> dict[Split | None, str]:
        """What is given, by its split."""
        named: dict[Split | None, str | None] = {split: getattr(self, split) for split in SPLITS}
        named[None] = self.all
        return {split: name for split, name in named.items() if name}

    @model_validator(mode="after")
    def _names_one(self) -> "PerSplit":
        if not self.given():
            raise ValueError("names nothing: give train, val and test, or all")
        return self


Folders = str | PerSplit | None
"""Where names of pictures start from, below the raw folder: one folder, one for each file of annotations, or
null, the folder of that file."""


class FormParams(StageParams):
    """The form that pictures from files are packed in."""

    classes: Annotated[list[str], Field(min_length=1)] | None = None
    """Names by label; null: all that the data names, in alphabetical order."""

    shape: Annotated[list[Side], Field(min_length=2, max_length=2)] | Literal["auto"] = Field(default=AUTO)
    """Height and width in pixels, to which every picture is brought; auto: by the sizes of the pictures."""

    channels: Literal[1, 3]
    """1 is grey, 3 is RGB."""

    fit: Literal["stretch", "pad", "crop"] = "stretch"
    """stretch: each side by itself; pad: all of it, on `ground`; crop: its middle, nothing padded."""

    ground: int = Field(ge=0, le=255, default=0)
    """Grey level beside a padded picture and behind a transparent one."""

    @field_validator("classes")
    @classmethod
    def _names_differ(cls, classes: list[str] | None) -> list[str] | None:
        return differing(classes)

    @property
    def stated_shape(self) -> list[int]:
        """Height and width, once `auto` has given way to what was derived; ValueError before."""
        if isinstance(self.shape, str):
            raise ValueError("shape is auto: no picture has been looked at")
        return self.shape


class PictureParams(FormParams):
    """How pictures from files are packed and split."""

    split: SplitParams = Field(default_factory=SplitParams)


def differing(classes: list[str] | None) -> list[str] | None:
    """The names, if no two are the same; ValueError otherwise."""
    if classes is not None and len(set(classes)) < len(classes):
        raise ValueError("two classes have the same name")
    return classes
