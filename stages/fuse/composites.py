"""Items set into scenes, both pasted and blended without a seam; a mosaic; and pictures of both."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from stages.drawing.sheets import image_grid, save_png
from stages.fuse.sheets import on_sheet
from stages.fusion.compositing import ROOM, cut_out, mosaic, paste, poisson
from stages.fusion.pixels import eight_bits, in_channels

Bytes = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]
Boxes = npt.NDArray[np.float32]
Box = tuple[int, int, int, int]

TRIES = 100
"""Places tried for an item."""
SIDE = 192  # pixels of a picture on the sheet


@dataclass(frozen=True, kw_only=True, slots=True)
class Composites:
    """Scenes into each of which one item was set."""

    scenes: Bytes
    """[N, S, S, C], before."""
    items: Bytes
    """[N, h, w, C], on black ground."""
    labels: Labels
    """[N], of the items."""
    boxes: list[Box]
    """xyxy in pixels: where each item went."""
    ways: dict[str, Bytes]
    """[N, S, S, C] each: `paste` lays the item's pixels on the scene's, `poisson` its gradients."""


def compose(
    scenes: Bytes, boxes: Sequence[Boxes], items: Bytes, labels: Labels, *, threshold: int, seed: int
) -> Composites:
    """Set each item into the scene of its number, where it covers least of the scene's own items.

    `boxes` [K, 4] are those of the scene's items, xyxy in pixels; `seed` decides which places are tried. An
    item without a pixel above `threshold` is left out, and one that has no room in its scene; perhaps none
    is left. Items become grey or coloured as the scenes are.
    """
    items = in_channels(items, scenes.shape[-1])
    rng = np.random.default_rng(seed)
    kept, places = [], []
    ways: dict[str, list[Bytes]] = {"paste": [], "poisson": []}
    for number, (scene, item) in enumerate(zip(scenes, items, strict=True)):
        if not (mask := cut_out(item, threshold)).any():
            continue
        x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
        part, hole = item[y : y + height, x : x + width], mask[y : y + height, x : x + width]
        place = _find_place(rng, (width, height), (scene.shape[1], scene.shape[0]), boxes[number])
        if place is None:
            continue
        kept.append(number)
        places.append((*place, place[0] + width, place[1] + height))
        ways["paste"].append(paste(scene, part, hole, place))
        ways["poisson"].append(poisson(scene, part, hole, place))
    return Composites(
        scenes=scenes[kept],
        items=items[kept],
        labels=labels[kept],
        boxes=places,
        ways={way: np.stack(composed) if composed else scenes[:0] for way, composed in ways.items()},
    )


def _find_place(
    rng: np.random.Generator, size: tuple[int, int], scene: tuple[int, int], boxes: Boxes
) -> tuple[int, int] | None:
    """The corner (x, y), among `TRIES` drawn ones, where a box of `size` covers least of the `boxes` [K, 4].

    None where it does not fit at all.
    """
    most = np.array([room - side - ROOM for room, side in zip(scene, size, strict=True)])
    if (most < ROOM).any():
        return None
    corners = rng.integers(ROOM, most + 1, (TRIES, 2))
    ends = np.minimum(corners[:, None] + size, boxes[None, :, 2:])  # [TRIES, K, 2]
    covered = (ends - np.maximum(corners[:, None], boxes[None, :, :2])).clip(0).prod(axis=2).sum(axis=1)
    x, y = corners[covered.argmin()]
    return int(x), int(y)


def composites_sheet(
    composites: Composites, found: dict[str, list[str]], classes: Sequence[str], rows: int
) -> Image.Image:
    """Draw a row for each scene: before, the item, and each way of composing with the class found there.

    `found` holds, for each way, the name of that class [N], "" for none; nothing without a detector.
    """
    pictures: list[Bytes] = []
    titles: list[str] = []
    for row in range(min(rows, len(composites.labels))):
        pictures += [on_sheet(composites.scenes[row], SIDE), on_sheet(composites.items[row], SIDE)]
        pictures += [on_sheet(composed[row], SIDE) for composed in composites.ways.values()]
        titles += ["scene", classes[composites.labels[row]]]
        titles += [f"{way}: {found[way][row] or 'not found'}" if found else way for way in composites.ways]
    title = "An item composed into a scene, each way: what the detector finds there"
    return image_grid(pictures, 2 + len(composites.ways), titles, title=title)


def draw_composites(
    folder: Path, composites: Composites, found: dict[str, list[str]], classes: Sequence[str], rows: int
) -> None:
    """Write composites.png below `folder`, where there are composites."""
    if len(composites.labels):
        save_png(folder / "composites.png", composites_sheet(composites, found, classes, rows))


def mosaic_sheet(tiles: Bytes, target: Bytes, columns: int) -> Image.Image:
    """The target and a mosaic made after it of the first tiles [N, h, w, C], of one height."""
    enough = np.asarray(tiles[: 2 * columns**2])  # some to choose from
    composed = eight_bits(mosaic(enough, target, columns))
    times = max(1, composed.shape[0] // target.shape[0])
    large = target.repeat(times, axis=0).repeat(times, axis=1)
    titles = ["what is to be made", f"made of {len(enough)} pictures"]
    return image_grid([large, composed], 2, titles, title="A mosaic: a picture made of many others")
