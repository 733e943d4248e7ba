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
    """Below the raw folder; it holds the three folders below."""

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


class LabelmeParams(PictureParams):
    """`format: labelme`."""

    format: Literal["labelme"]

    folder: str
    """Below the raw folder: JSON files with pictures beside them; folders named as splits give those."""

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
