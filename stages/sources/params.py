"""What every source of files needs to be told, and what is done about faulty data.

Classes, the form of the pictures, the splits; the sources without annotations, by `format`; `policy`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, field_validator, model_validator

from stages.core.params import AUTO, StageParams
from stages.core.splits import SPLITS, Split

if TYPE_CHECKING:
    from stages.sources.rows import FindingKind

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
    """The file or folder of the training split."""

    val: str | None = None
    """The file or folder of the validation split."""

    test: str | None = None
    """The file or folder of the test split."""

    all: str | None = None
    """The file or folder of all pictures; `preprocess` splits them."""

    def given(self) -> dict[Split | None, str]:
        """What is given, by its split."""
        named: dict[Split | None, str | None] = {split: getattr(self, split) for split in SPLITS}
        named[None] = self.all
        return {split: name for split, name in named.items() if name}

    @model_validator(mode="after")
    def _names_one(self) -> PerSplit:
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


class IdxParams(StageParams):
    """`format: idx`: the four files `train-images-idx3-ubyte`, `train-labels-idx1-ubyte` and `t10k-...`."""

    format: Literal["idx"]

    classes: Annotated[list[str], Field(min_length=2)]
    """Names by label: a label is an index into it."""

    split: SplitParams = Field(default_factory=SplitParams)

    @field_validator("classes")
    @classmethod
    def _names_differ(cls, classes: list[str]) -> list[str]:
        return differing(classes) or classes


class ImageFolderParams(PictureParams):
    """`format: image-folder`."""

    format: Literal["image-folder"]

    folder: str
    """A folder below the raw folder; "." is the raw folder itself."""


class VideoParams(PictureParams):
    """`format: video`: frames of one thing each. All frames of a video stand in one split."""

    format: Literal["video"]

    folder: str
    """A folder below the raw folder; "." is the raw folder itself."""

    every: int = Field(ge=1)
    """Each so manieth frame is taken, from the first one on."""


class CropsParams(FormParams):
    """`format: crops`: what `preprocess.detection` names, box by box."""

    format: Literal["crops"]

    margin: float = Field(ge=0, default=0.1)
    """What is added on each side of a box, as a share of its longer side."""


Action = Literal["keep", "mend", "refuse", "stop"]
RefuseOrStop = Literal["refuse", "stop"]
MendOrRefuse = Literal["mend", "refuse", "stop"]
KeepOrRefuse = Literal["keep", "refuse", "stop"]


class Policy(StageParams):
    """keep: only counted; mend: made good; refuse: left out; stop: the stage ends with one line.

    Whatever is found is counted and named in the report.
    """

    unreadable: RefuseOrStop = "refuse"
    """The file is no picture, or one of a format that is not read here."""
    truncated: RefuseOrStop = "refuse"
    """The file ends early."""
    damaged: KeepOrRefuse = "refuse"
    """A JPEG is damaged inside, as far as its decoder notices; keep: decoded as well as it can be."""
    bomb: RefuseOrStop = "refuse"
    """The picture has more than `max_pixels`."""
    missing_picture: RefuseOrStop = "refuse"
    """What the data names is no file: missing, a pipe, a device, or one that may not be read."""
    path_traversal: RefuseOrStop = "stop"
    """The name of a picture leads out of its folder."""
    unfollowed_link: RefuseOrStop = "refuse"
    """A link to a folder, or one that leads out of the folder of raw data: neither is followed."""
    bad_row: RefuseOrStop = "refuse"
    """A line or a file of annotations cannot be understood."""
    unknown_class: RefuseOrStop = "refuse"
    """The class is not in `classes`; where it is that of a box, the box alone is refused."""
    size_differs: KeepOrRefuse = "refuse"
    """The annotation states another size than the picture has."""
    animated: MendOrRefuse = "refuse"
    """The file holds several pictures; mend: the first is taken."""
    cmyk: MendOrRefuse = "mend"
    """The picture is in CMYK; mend: converted to RGB."""
    sixteen_bit: MendOrRefuse = "mend"
    """The picture has 16 bits a channel; mend: their range is scaled to 8."""
    alpha: MendOrRefuse = "mend"
    """The picture is transparent in places; mend: laid on `ground`."""
    rotated: Literal["keep", "mend", "refuse", "stop"] = "mend"
    """EXIF says that the picture is turned; mend: turned upright; keep: as stored, and its boxes likewise."""
    unlabelled_picture: Literal["keep", "stop"] = "keep"
    """No annotation names the picture; it is never packed."""
    stray_file: Literal["keep", "stop"] = "keep"
    """The name of the file is not that of a picture."""
    invalid_box: RefuseOrStop = "refuse"
    """The box is not four numbers, has no area, or lies outside of its picture; it alone is refused."""
    box_out_of_frame: MendOrRefuse = "mend"
    """The box reaches beyond its picture; mend: cut to the picture."""
    tiny_box: KeepOrRefuse = "refuse"
    """The box has a side of less than `min_box` as packed; it alone is refused."""
    repeated_box: KeepOrRefuse = "refuse"
    """The same box with the same class stands before it; it alone is refused."""
    no_box_left: RefuseOrStop = "refuse"
    """All boxes of the picture are refused: what they show would be taught as background."""
    name_differs: Literal["keep", "stop"] = "keep"
    """The annotation names another picture than the one of its own name, which is taken."""
    crowd_box: KeepOrRefuse = "refuse"
    """The box is round many things at once, COCO's `iscrowd`; keep: as one thing; it alone is refused."""
    difficult_box: KeepOrRefuse = "keep"
    """People can hardly recognise the thing, VOC's `difficult`; keep: as any other; the box is refused."""
    in_another_split: KeepOrRefuse = "refuse"
    """An equal picture is in the test or val split, and stays there."""
    companion_in_another_split: KeepOrRefuse = "refuse"
    """A near duplicate, or a picture of the same group, is in the test or val split that the data gives."""
    under_several_labels: KeepOrRefuse = "refuse"
    """Equal pictures have different labels or boxes; refuse: all of them."""
    repeated: KeepOrRefuse = "refuse"
    """An equal picture comes before this one."""

    max_refused: float = Field(ge=0, le=1, default=0.01)
    """Share of all pictures that may be refused; the stage ends if more are, and more than one."""
    max_pixels: int = Field(ge=1, le=178_956_970, default=100_000_000)
    """Pixels that a picture may have; the bound is Pillow's own."""
    min_box: float = Field(ge=0, default=1.0)
    """Least side of a box in pixels as packed."""

    def action(self, kind: FindingKind) -> Action:
        """What is done about findings of this kind."""
        action: Action = getattr(self, kind)
        return action

    @property
    def upright(self) -> bool:
        """Whether pictures are turned as their EXIF says."""
        return self.rotated != "keep"

    def kinds(self, *actions: Action) -> frozenset[str]:
        """The kinds of findings for which the policy takes one of these actions."""
        return frozenset(kind for kind, action in self.model_dump().items() if action in actions)
