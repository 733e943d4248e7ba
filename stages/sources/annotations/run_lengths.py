"""The box round a mask that COCO gives as run lengths: of ground and thing by turns, column after column."""

from typing import Any

import numpy as np

from stages.sources.annotations.box_list import Edges
from stages.sources.documents import whole

BITS = 5  # that each character of a compressed run length carries
LONGEST = 1 << 31  # px: larger masks are no pictures'


def box_of_runs(segmentation: dict[str, Any]) -> Edges | None:
    """The box round the mask `{size: [height, width], counts: a list or a text}`; None: it is no mask.

    pycocotools does the same, but divides by a height of 0 and takes runs beyond the mask.
    """
    size, counts = segmentation.get("size"), segmentation.get("counts")
    sides = [whole(side) for side in size] if isinstance(size, list) and len(size) == 2 else []
    runs = _unpacked(counts) if isinstance(counts, str) else counts
    if len(sides) != 2 or not isinstance(runs, list) or not all(type(run) is int for run in runs):
        return None
    height, width = (side or 0 for side in sides)
    if not 0 < height * width < LONGEST or min(runs, default=-1) < 0 or sum(runs) != height * width:
        return None
    ends = np.cumsum([0, *runs], dtype=np.int64)
    starts, stops = ends[1:-1:2], ends[2::2] - 1  # of the thing's runs; their last pixels
    starts, stops = starts[stops >= starts], stops[stops >= starts]
    if not len(starts):
        return None
    several = starts // height < stops // height  # a run over the end of a column fills both ends of it
    top = 0 if several.any() else int((starts % height).min())
    bottom = height - 1 if several.any() else int((stops % height).max())
    return float(starts.min() // height), float(top), float(stops.max() // height) + 1, float(bottom + 1)


def _unpacked(text: str) -> list[int] | None:
    """The run lengths of a compressed text; from the fourth on each is told as the change from two before."""
    runs: list[int] = []
    run = shift = 0
    for character in text:
        code = ord(character) - 48
        if not 0 <= code < 64 or shift > 8 * BITS:
            return None
        run |= (code & 31) << shift
        shift += BITS
        if not code & 32:
            run |= -1 << shift if code & 16 else 0
            runs.append(run + (runs[-2] if len(runs) > 2 else 0))
            run = shift = 0
    return None if shift else runs
