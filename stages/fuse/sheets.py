"""The picture sheets of fusion: sources beside each method's result, differences, the best and the worst."""

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from stages.drawing.sheets import image_grid
from stages.fusion.params import Method
from stages.fusion.pixels import Pictures, eight_bits
from stages.fusion.sets import FusedGroup

Picture = npt.NDArray[np.uint8]

SIDE = 144  # pixels of a picture on a sheet: smaller ones are enlarged, larger ones shrunk
LOUDER = 4  # differences are small: so many times as bright
BLANK = np.full((1, 1, 1), 255, dtype=np.uint8)


EXAMPLES = "Sources, and what each method made of them; below, what differs"
EXTREMES = "The group that each method did best on, and the worst, by its score"


def examples_sheet(groups: Sequence[FusedGroup]) -> Image.Image:
    """Draw for each group a row with its sources and each method's picture, and one with the differences.

    A difference is that from the truth; where it is not known, from the mean of the sources.
    """
    most = max(len(group.sources) for group in groups)
    known = any(group.truth is not None for group in groups)
    pictures: list[Picture] = []
    for group in groups:
        pictures += [*map(on_sheet, group.sources), *[BLANK] * (most - len(group.sources))]
        pictures += [BLANK if group.truth is None else on_sheet(group.truth)] * known
        pictures += [on_sheet(fused) for fused in group.fused.values()]
        pictures += [BLANK] * (most + known)
        pictures += [difference(group, fused) for fused in group.fused.values()]
    titles = [*_numbered(most), *["truth"] * known, *groups[0].fused]
    untitled = [""] * len(titles)
    labels = [label for group in groups for label in (group.name, f"difference x {LOUDER}")]
    return image_grid(pictures, len(titles), [*titles, *untitled] * len(groups), rows=labels, title=EXAMPLES)


def extremes_sheet(groups: Sequence[FusedGroup], scores: Mapping[Method, Sequence[float]]) -> Image.Image:
    """Draw a row for each method with the group that it did best on, and the worst, by its `scores` [N]."""
    most = max(len(group.sources) for group in groups)
    pictures: list[Picture] = []
    titles: list[str] = []
    for method, values in scores.items():
        for word, number in (("best", int(np.argmax(values))), ("worst", int(np.argmin(values)))):
            group = groups[number]
            pictures += [*map(on_sheet, group.sources), *[BLANK] * (most - len(group.sources))]
            pictures += [on_sheet(group.fused[method]), difference(group, group.fused[method])]
            titles += [f"{word}: {group.name}", *_numbered(most)[1:], f"{values[number]:.3f}", "difference"]
    return image_grid(pictures, 2 * (most + 2), titles, rows=list(scores), title=EXTREMES)


def on_sheet(picture: Pictures, side: int = SIDE) -> Picture:
    """A picture [H, W, C] in 8 bits, enlarged a whole number of times or shrunk to at most `side` pixels."""
    shown, longest = eight_bits(picture), max(picture.shape[:2])
    if longest <= side:
        times = side // longest
        return shown.repeat(times, axis=0).repeat(times, axis=1)
    width, height = (max(1, round(length * side / longest)) for length in shown.shape[1::-1])
    small = cv2.resize(shown, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(small, dtype=np.uint8).reshape(height, width, -1)


def difference(group: FusedGroup, fused: Pictures) -> Picture:
    """How far the fused picture is from the truth or from the mean of the sources, louder: black is equal."""
    aim = group.sources.mean(axis=0) if group.truth is None else group.truth
    far = np.minimum(LOUDER * np.abs(fused - aim.astype(np.float32)), np.iinfo(fused.dtype).max)
    return on_sheet(far.astype(fused.dtype))


def _numbered(sources: int) -> list[str]:
    return [f"source {number}" for number in range(1, sources + 1)]
