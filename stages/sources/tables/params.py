"""What tables need to be told: how they are written, and which columns hold what."""

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from stages.core.params import StageParams
from stages.sources.params import Folders, PerSplit, PictureParams

TableFormat = Literal["csv", "parquet", "jsonl"]


class TableParams(StageParams):
    """Where a table lies and how it is written."""

    format: TableFormat

    file: str | PerSplit
    """One table below the raw folder, or one for each split."""

    pictures: Folders = None
    """The folder that the table's paths start from, below the raw folder; null: the folder of the table."""

    strip_prefix: str | None = None
    """What every path begins with and is taken off."""

    separator: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    """The sign between the cells of CSV; null: comma, semicolon, tab or bar, by the table's first line."""

    encoding: str | None = None
    """The encoding of CSV, such as latin-1; null: UTF-8, or UTF-16 where the file begins with its mark."""

    header: Annotated[list[str], Field(min_length=1)] | None = None
    """Names of the columns of a CSV file that does not begin with them; null: its first line does."""

    @field_validator("encoding")
    @classmethod
    def _is_known(cls, encoding: str | None) -> str | None:
        try:
            "".encode(encoding or "utf-8")
        except (LookupError, UnicodeError):
            raise ValueError("no encoding of texts; such as utf-8, latin-1, cp1252") from None
        return encoding


class Columns(StageParams):
    """Names of the table's columns; null where it has none such."""

    picture: str
    """Path below `pictures`."""
    label: str | None
    """Name of the class; null: the pictures have attributes alone."""
    split: str | None = None
    """train, val, test or another usual name of a split, or empty: to be decided."""
    group: str | None = None
    """What must stay in one split."""
    caption: str | None = None
    """What is to be seen, in words: train-gan learns to draw by it."""
    attributes: list[str] = Field(default_factory=list)
    """Numbers that train-gan may learn to draw by, and of which train-classifier may learn those that are 0
    or 1, or -1 or 1; an empty cell is unknown."""
    label_lists: dict[str, str | None] = Field(default_factory=dict)
    """Columns that hold any number of labels, by the sign between them; null: a cell is one label. Each label
    becomes an attribute, 1 where the cell has it and else 0; an empty cell is unknown."""

    def plain(self) -> dict[str, str]:
        """The columns of one text each, by what they hold."""
        columns = self.model_dump(exclude={"attributes", "label_lists"})
        return {key: name for key, name in columns.items() if name is not None}

    def named(self) -> list[str]:
        """The columns that the table has to have."""
        return list(dict.fromkeys([*self.plain().values(), *self.attributes, *self.label_lists]))

    @model_validator(mode="after")
    def _tell_something(self) -> "Columns":
        if self.label is None and not self.attributes and not self.label_lists:
            raise ValueError("nothing is said of the pictures: name a label, attributes or label_lists")
        return self


class ManifestParams(TableParams, PictureParams):
    """`format: csv`, `format: parquet` or `format: jsonl`."""

    columns: Columns


class BoxColumns(StageParams):
    """Names of the table's columns; null where it has none such.

    In JSON and Parquet `objects.bbox` is what column `objects` holds by the name `bbox`. Where `label` is a
    list, so is `box`, and a row has several boxes.
    """

    picture: str
    """Path below `pictures`."""
    label: str
    """Name of the class."""
    box: Annotated[list[str], Field(min_length=1, max_length=4)]
    """Four columns in the order that `box_as` tells, or one that holds four numbers."""
    split: str | None = None
    """train, val, test or another usual name of a split, or empty: to be decided."""
    group: str | None = None
    """What must stay in one split."""

    @field_validator("box")
    @classmethod
    def _is_one_or_four(cls, box: list[str]) -> list[str]:
        if len(box) not in (1, 4):
            raise ValueError("want four columns, or one that holds four numbers")
        return box

    def named(self) -> list[str]:
        """The columns that the table has to have."""
        columns = [self.picture, self.label, *self.box, self.split, self.group]
        return list(dict.fromkeys(name for name in columns if name is not None))


class BoxTableParams(TableParams, PictureParams):
    """`format: csv`, `format: parquet` or `format: jsonl` of pictures with boxes."""

    columns: BoxColumns

    box_as: Literal["corners", "corner-and-size", "centre-and-size"] = "corners"
    """x1, y1, x2, y2; or the upper left corner, width, height; or the centre, width, height."""

    unit: Literal["pixels", "shares"] = "pixels"
    """shares: of the picture's width and height."""
