"""The boxes of annotated pictures as pictures of their own, to be classified."""

from collections.abc import Iterator, Mapping

from stages.core.packed import Split
from stages.sources.params import CropsParams
from stages.sources.rows import Found, Row


def crop_rows(
    found: Found, params: CropsParams, refused: frozenset[str], splits: Mapping[str, Split]
) -> Iterator[Row]:
    """A row for each box; what is wrong with the annotations is named where they are read for detection.

    `splits` tells by a picture's `where` the split that it stands in for detection. Its crops stand in the
    same: a classifier of them that a detector takes over has then seen nothing that the detector is measured
    on. Pictures that stand in none give no crops, nor do boxes that are marked as of a `refused` kind.
    """
    for row in found:
        if not isinstance(row, Row) or row.where not in splits:
            continue
        boxes = zip(row.labels, row.places, row.boxes.tolist(), strict=True)
        for number, (label, place, (x1, y1, x2, y2)) in enumerate(boxes):
            beside = params.margin * max(x2 - x1, y2 - y1)
            if x2 > x1 and y2 > y1 and row.marked.get(number) not in refused:
                yield Row(
                    where=f"{row.where}: {place}",
                    picture=row.picture,
                    labels=(label,),
                    split=splits[row.where],
                    crop=(round(x1 - beside), round(y1 - beside), round(x2 + beside), round(y2 + beside)),
                )
