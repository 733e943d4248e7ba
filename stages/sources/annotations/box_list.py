"""The boxes of one picture while its annotation is read, and the boxes of what is drawn in other shapes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from stages.core.packed import Split
from stages.sources.rows import FindingKind, Polygon, Row

Edges = tuple[float, float, float, float]
"""x1, y1, x2, y2."""


@dataclass(slots=True)
class BoxList:
    """What becomes the `Row` of a picture with boxes."""

    labels: list[str] = field(default_factory=list)
    boxes: list[Sequence[float]] = field(default_factory=list)
    places: list[str] = field(default_factory=list)
    polygons: dict[int, tuple[Polygon, ...]] = field(default_factory=dict)
    marked: dict[int, FindingKind] = field(default_factory=dict)
    lost: int = 0
    """Boxes that could not be read."""

    def add(self, label: str, place: str, box: Sequence[float], mark: FindingKind | None = None) -> None:
        """Append a box, xyxy."""
        if mark is not None:
            self.marked[len(self.boxes)] = mark
        self.labels.append(label)
        self.places.append(place)
        self.boxes.append(box)

    def add_polygons(
        self, label: str, place: str, polygons: tuple[Polygon, ...], mark: FindingKind | None = None
    ) -> None:
        """Append the box round one thing's polygons, and keep them."""
        self.polygons[len(self.boxes)] = polygons
        self.add(label, place, box_round(polygons), mark)

    def row(
        self,
        where: str,
        picture: Path,
        split: Split | None,
        *,
        size: tuple[int, int] | None = None,
        group: str | None = None,
    ) -> Row:
        """The row of the picture that these are the boxes of."""
        return Row(
            where=where,
            picture=picture,
            labels=tuple(self.labels),
            boxes=np.array(self.boxes, dtype=np.float32).reshape(-1, 4),
            places=tuple(self.places),
            polygons=self.polygons,
            marked=self.marked,
            lost=self.lost,
            split=split,
            size=size,
            group=group,
        )


def box_round(polygons: Sequence[Polygon]) -> Edges:
    """The least box that holds all of the polygons."""
    xs = [x for polygon in polygons for x in polygon[::2]]
    ys = [y for polygon in polygons for y in polygon[1::2]]
    return min(xs), min(ys), max(xs), max(ys)


def turned_box(box: Edges, degrees: float, about: tuple[float, float] | None = None) -> Polygon:
    """The corners of a box that is turned clockwise, `about` a point or about its middle."""
    x1, y1, x2, y2 = box
    middle_x, middle_y = about or ((x1 + x2) / 2, (y1 + y2) / 2)
    sine, cosine = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
    away = [(x - middle_x, y - middle_y) for x, y in ((x1, y1), (x2, y1), (x2, y2), (x1, y2))]
    turned = [(middle_x + x * cosine - y * sine, middle_y + x * sine + y * cosine) for x, y in away]
    return tuple(edge for corner in turned for edge in corner)
