"""What the formats of annotations need to be told, by `format`."""

from typing import Literal

from stages.sources.params import Folders, PerSplit, PictureParams


class CocoParams(PictureParams):
    """`format: coco`."""

    format: Literal["coco"]

    annotations: PerSplit

    pictures: Folders = None
    """What `file_name` starts from; null: the folder of the file of annotations."""

    strip_prefix: str | None = None
    """What every `file_name` begins with and is taken off."""


class PascalVocParams(PictureParams):
    """`format: pascal-voc`."""

    format: Literal["pascal-voc"]

    folder: str
    """A folder below the raw folder; it holds the three folders that follow."""

    annotations: str = "Annotations"
    """The folder of XML files; "." where they lie in `folder` itself."""

    pictures: str = "JPEGImages"
    """The folder of pictures; the same as `annotations` where they lie side by side."""

    lists: str = "ImageSets/Main"
    """The folder of train.txt, val.txt and test.txt; without it folders of those names tell the splits."""

    first_pixel: Literal[0, 1]
    """Number of the leftmost and topmost pixel: 1 in the original, where a box ends with its last pixel."""


class YoloParams(PictureParams):
    """`format: yolo`."""

    format: Literal["yolo"]

    file: str
    """data.yaml, darknet's and CVAT's obj.data, or LabelImg's classes.txt, below the raw folder."""

    strip_prefix: str | None = None
    """What paths in it and in its lists begin with and is taken off."""
