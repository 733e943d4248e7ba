"""What the evaluation of one model has found, before any of it is written."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd
from PIL import Image

from stages.core.tables import rounded
from stages.evaluate.resampling import Resampled, intervals


@dataclass(frozen=True, kw_only=True, slots=True)
class Sheet:
    """A picture sheet and the sentence that the report prints above it."""

    caption: str
    image: Image.Image


@dataclass(frozen=True, kw_only=True, slots=True)
class TableCurve:
    """Two columns of one of the tables, to be drawn as a curve in the report."""

    title: str
    table: str
    """The table's name in `Evaluation.tables`."""
    x: str
    y: str
    diagonal: bool = False
    """Draw a dashed line where y equals x, on which the curve of calibrated scores lies."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """Figures, tables, curves and picture sheets of one model on the test split."""

    figures: Mapping[str, Any]
    """Numbers by name, nested, as the metrics file and the report show them."""
    resampled: Resampled
    """Figures by the same names, each in halves of the test pictures: [R]."""
    shares: Mapping[str, int]
    """How many pictures or boxes each figure between 0 and 1 was measured on."""
    tables: Mapping[str, pd.DataFrame]
    """Tables by the name of the stage's argument that says where each is written."""
    curves: Sequence[TableCurve]
    sheets: Mapping[str, Sheet]
    """Picture sheets in the report's order, by the name of their file in `plots` without its suffix."""

    def with_intervals(self) -> dict[str, Any]:
        """The figures, and under `intervals` the 95 % interval of each that was measured in halves.

        All are rounded as the metrics file has them, so that every place shows the same.
        """
        known = intervals(self.figures, self.resampled, self.shares)
        bounds = {name: asdict(interval) for name, interval in known.items()}
        return dict(rounded({**self.figures, "intervals": bounds}))
