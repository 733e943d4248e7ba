"""What the formats of labelling tools need to be told, by `format`."""

from typing import Literal

from stages.sources.params import Folders, PerSplit, PictureParams


class LabelmeParams(PictureParams):
    """`format: labelme`."""

    format: Literal["labelme"]

    folder: str
    """A folder below the raw folder: JSON files with pictures beside them; folders may be named as splits."""

    strip_prefix: str | None = None
    """What every `imagePath` begins with and is taken off."""


class CvatParams(PictureParams):
    """`format: cvat`."""

    format: Literal["cvat"]

    file: str | PerSplit
    """annotations.xml below the raw folder; in one file a picture's `subset` may name its split."""

    pictures: Folders = None
    """What names start from; null: the folder of the file."""

    strip_prefix: str | None = None
    """What every name begins with and is taken off."""


class LabelStudioParams(PictureParams):
    """`format: label-studio` of pictures with boxes."""

    format: Literal["label-studio"]

    file: str | PerSplit
    """The export below the raw folder, one or one for each split."""

    pictures: Folders = None
    """What names start from; null: the folder of the file. Addresses mean the picture of their last part."""

    picture: str = "image"
    """The task's value that holds the picture, `$image` in the labelling interface."""

    strip_prefix: str | None = None
    """What every name begins with and is taken off, such as /data/upload/1/."""


class ChoicesParams(LabelStudioParams):
    """`format: label-studio` of pictures that one choice was made for."""


class CreateMlParams(PictureParams):
    """`format: create-ml`."""

    format: Literal["create-ml"]

    file: str | PerSplit
    """The JSON below the raw folder, one or one for each split."""

    pictures: Folders = None
    """What names start from; null: the folder of the file."""

    strip_prefix: str | None = None
    """What every name begins with and is taken off."""


class ViaParams(PictureParams):
    """`format: via`."""

    format: Literal["via"]

    file: str | PerSplit
    """The JSON of an export or a project below the raw folder, one or one for each split."""

    pictures: Folders = None
    """What names start from; null: the folder of the file."""

    strip_prefix: str | None = None
    """What every name begins with and is taken off."""

    attribute: str | None = None
    """The regions' attribute that holds the class; null: the only one that a region has."""

    unnamed: str | None = None
    """The class of regions without such an attribute; null: they are refused."""
