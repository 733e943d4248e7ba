"""The size of packed pictures if params.yaml has `shape: auto`: derived from the pictures' own sizes."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from stages.core.errors import DataError
from stages.intake.header import size_of
from stages.preprocess.readers import read_source
from stages.sources.composed import ComposedParams
from stages.sources.params import CropsParams, FormParams
from stages.sources.preparation import PreprocessParams
from stages.sources.rows import Found, Row

LOOKED_AT = 256  # pictures at the least, where there are as many: twice as many at the most
SMALL_SIDE = 64  # px of the square that pictures to classify are brought to, at most
SMALLEST_SIDE = 16  # px of it, at the least
LARGE_SIDE = 320  # px of the longer side of pictures with boxes, at most
STEP = 4  # px: sides are multiples, which networks halve without a remainder
LARGE_STEP = 16

Size = tuple[int, int]
"""Width and height in pixels."""

Item = TypeVar("Item")


def with_fitted_shapes(values: PreprocessParams, raw: Path) -> PreprocessParams:
    """The params with a shape in place of each `auto`; the same pictures give the same shapes.

    Raises:
        DataError: A source cannot be read, or none of its pictures can.

    """
    changed: dict[str, Any] = {}
    boxes, upright = values.detection, values.policy.upright
    for task, params in (("classification", values.classification), ("detection", boxes)):
        if not isinstance(params, FormParams) or not isinstance(params.shape, str):
            continue
        if isinstance(params, CropsParams):
            assert not isinstance(boxes, ComposedParams | None)  # refused with the params
            sizes = list(_crop_sizes(read_source(raw, boxes, upright=upright), params.margin))
        else:
            sizes = sizes_of(_pictures(read_source(raw, params, upright=upright)), upright=upright)
        if not sizes:
            raise DataError(
                f"{raw}: no picture for {task} whose size can be read, so preprocess.{task}.shape cannot be"
                " auto; give [height, width], or mend what preprocess names with it"
            )
        changed[task] = params.model_copy(update={"shape": fitted_shape(sizes, task)})
    return values.model_copy(update=changed)


def sizes_of(pictures: Iterable[Path | Size], *, upright: bool) -> list[Size]:
    """The sizes of some of the pictures, evenly chosen; those of files that are no pictures are left out."""
    chosen = evenly_chosen(pictures)
    sizes = (size_of(one, upright=upright) if isinstance(one, Path) else one for one in chosen)
    return [size for size in sizes if size is not None]


def _pictures(found: Found) -> Iterator[Path | Size]:
    """The file of each row's picture, or the size of its pixels."""
    for one in found:
        if isinstance(one, Row):
            yield one.picture if isinstance(one.picture, Path) else one.picture.shape[1::-1]


def _crop_sizes(found: Found, margin: float) -> Iterator[Size]:
    """The sizes of what is cut out round some of the boxes."""
    sides = (
        (width, height, 2 * margin * max(width, height))
        for row in found
        if isinstance(row, Row)
        for width, height in (row.boxes[:, 2:] - row.boxes[:, :2]).tolist()
    )
    chosen = evenly_chosen(one for one in sides if min(one[:2]) > 0)
    yield from ((round(width + beside), round(height + beside)) for width, height, beside in chosen)


def evenly_chosen(items: Iterable[Item]) -> list[Item]:
    """Every n-th item, so that there are `LOOKED_AT` to twice as many, or all of fewer."""
    chosen: list[Item] = []
    step = 1
    for number, item in enumerate(items):
        if number % step:
            continue
        if len(chosen) == 2 * LOOKED_AT:
            chosen, step = chosen[::2], 2 * step
            if number % step:
                continue
        chosen.append(item)
    return chosen


def median_size(sizes: Sequence[Size]) -> Size:
    """The median of the widths and that of the heights, in whole pixels."""
    width, height = np.median(sizes, axis=0).astype(int).tolist()
    return width, height


def fitted_shape(sizes: Sequence[Size], task: str) -> list[int]:
    """Height and width for pictures of these sizes: their median, made smaller where it is large.

    Pictures to classify become squares of at most 64 px; those with boxes keep the proportions of the median,
    and have a longer side of at most 320 px.
    """
    width, height = median_size(sizes)
    if task == "classification":
        side = max(SMALLEST_SIDE, min(SMALL_SIDE, max(width, height)) // STEP * STEP)
        return [side, side]
    scale = min(1.0, LARGE_SIDE / max(width, height))
    return [max(2 * LARGE_STEP, round(scale * side / LARGE_STEP) * LARGE_STEP) for side in (height, width)]
