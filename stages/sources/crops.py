"""The boxes of annotated pictures as pictures of their own, to be classified."""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from stages.sources.params import PictureParams
from stages.sources.rows import Found, Row


class CropsParams(PictureParams):
    """`format: crops`: what `preprocess.detection` names, box by box."""

    format: Literal["crops"]

    margin: float = Field(ge=0)
    """On each side, as a share of the box's longer one."""


def crop_rows(found: Found, params: CropsParams, refused: frozenset[str]) -> Iterator[Row]:
    """A row for each box; what is wrong with the annotations is named where they are read for detection.

    Boxes that are marked as of a `refused` kind give none. The crops of one picture stay in one split.
    """
    for row in found:
        if not isinstance(row, Row):
            continue
        boxes = zip(row.labels, row.places, row.boxes.tolist(), strict=True)
        for number, (label, place, (x1, y1, x2, y2)) in enumerate(boxes):
            beside = params.margin * max(x2 - x1, y2 - y1)
            if x2 > x1 and y2 > y1 and row.marked.get(number) not in refused:
                yield Row(
                    where=f"{row.where}: {place}",
                    picture=row.picture,
                    labels=(label,),
                    split=row.split,
                    group=row.group or row.where,
                    crop=(round(x1 - beside), round(y1 - beside), round(x2 + beside), round(y2 + beside)),
                )
