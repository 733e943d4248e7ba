"""Pictures put together from parts: cut-out items in scenes, and mosaics of many pictures."""

import cv2
import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from stages.fusion.pixels import Pictures, peak

Bytes = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

ERODED = 4
"""Pixels that OpenCV's cloning takes off a mask all around, and one for the step at the item's outline."""
ROOM = ERODED + 1
RANGE = (1.0, 99.0)
"""Percentiles of the tiles' means that a mosaic's black and white are brought to."""
PLACES = 10_000
"""Most places in a mosaic: which tile goes where is decided for all by one matrix of places by tiles."""
PIXELS = 2**28
"""Most pixels of a grid or a mosaic."""


def poisson(scene: Bytes, item: Bytes, mask: Mask, corner: tuple[int, int]) -> Bytes:
    """Set `item` [h, w, C] into `scene` [H, W, C], its upper left `corner` (x, y), without a seam.

    Where `mask` [h, w] holds, the scene takes the item's gradients, around it keeps its own values: Perez,
    Gangnet and Blake, "Poisson image editing" (2003), as OpenCV has it. A cut-out has no ground of its own:
    beyond the mask the scene's mean there stands for it.

    Raises:
        ValueError: The mask is empty, or does not lie inside of the scene, `ERODED` pixels from its edge.

    """
    if not mask.any():
        raise ValueError("the cut-out is empty")
    hole = cv2.dilate(np.pad(mask, ROOM).astype(np.uint8), np.ones((3, 3)), iterations=ERODED)
    left, top, width, height = cv2.boundingRect(hole)
    x, y = corner[0] - ROOM + left, corner[1] - ROOM + top
    if min(x, y) < 0 or x + width > scene.shape[1] or y + height > scene.shape[0]:
        raise ValueError(
            f"the cut-out at {corner[0]},{corner[1]} does not lie inside of the scene of {scene.shape[1]} x "
            f"{scene.shape[0]} pixels, {ERODED} from its edge"
        )
    ground = scene[y : y + height, x : x + width].mean(axis=(0, 1)).round().astype(np.uint8)
    room = (ROOM, ROOM)
    part = np.where(np.pad(mask, ROOM)[..., None], np.pad(item, (room, room, (0, 0))), ground)
    middle = (x + width // 2, y + height // 2)
    blended = cv2.seamlessClone(_colour(part), _colour(scene), 255 * hole, middle, cv2.NORMAL_CLONE)
    return np.ascontiguousarray(blended[..., : scene.shape[2]])


def paste(scene: Bytes, item: Bytes, mask: Mask, corner: tuple[int, int]) -> Bytes:
    """Lay `item` [h, w, C] on `scene` [H, W, C] where `mask` [h, w] holds, its upper left `corner` (x, y)."""
    pasted = scene.copy()
    window = pasted[corner[1] : corner[1] + item.shape[0], corner[0] : corner[0] + item.shape[1]]
    window[mask] = item[mask]
    return pasted


def cut_out(picture: Bytes, threshold: int) -> Mask:
    """Find the item of a picture [H, W, C] on black ground, the largest part above `threshold`: [H, W]."""
    above = (picture.max(axis=-1) > threshold).astype(np.uint8)
    count, parts, measures, _ = cv2.connectedComponentsWithStats(above)
    if count == 1:
        return np.zeros(picture.shape[:2], dtype=np.bool_)
    largest = 1 + int(measures[1:, cv2.CC_STAT_AREA].argmax())  # part 0 is the ground
    mask: Mask = parts == largest
    return mask


def grid(pictures: Pictures, columns: int) -> Pictures:
    """Pictures [N, h, w, C] in reading order: [R * h, columns * w, C]; black where they run out.

    Raises:
        ValueError: The grid would be too large.

    """
    number, height, width, channels = pictures.shape
    rows = -(-number // columns)
    _check_size(rows, columns, height, width)
    cells = np.zeros((rows * columns, height, width, channels), dtype=pictures.dtype)
    cells[:number] = pictures
    side_by_side = cells.reshape(rows, columns, height, width, channels).transpose(0, 2, 1, 3, 4)
    joined: Pictures = side_by_side.reshape(rows * height, columns * width, channels)
    return joined


def mosaic(tiles: Pictures, target: Pictures, columns: int) -> Pictures:
    """The target [H, W, C] as a puzzle of tiles [N, h, w, C], `columns` of them side by side.

    Each place gets the tile whose mean colour is near the target's there, no tile oftener than needed, so
    that all differences together are the least. The target's values are brought to the range that the tiles'
    means have: what is darker or brighter than every tile would all look the same.

    Raises:
        ValueError: Tiles and target are grey and colour, or of 8 and 16 bits; or the mosaic too large.

    """
    if (tiles.dtype, tiles.shape[3]) != (target.dtype, target.shape[2]):
        raise ValueError("tiles and target are of different kinds")
    _, height, width, channels = tiles.shape
    rows = max(1, round(columns * target.shape[0] / target.shape[1] * width / height))
    if rows * columns > PLACES:
        raise ValueError(f"{columns} columns and {rows} rows are more than {PLACES:,} places")
    _check_size(rows, columns, height, width)
    wanted = cv2.resize(target, (columns, rows), interpolation=cv2.INTER_AREA).reshape(
        -1, channels
    )  # [R * K, C]
    means = tiles.mean(axis=(1, 2))  # [N, C]
    low, high = np.percentile(means, RANGE)
    stretched = low + (high - low) * wanted.astype(np.float64) / peak(target)
    times = -(-len(wanted) // len(tiles))
    far = cdist(stretched, np.tile(means, (times, 1)), "sqeuclidean")
    _, chosen = linear_sum_assignment(far)
    return grid(tiles[chosen % len(tiles)], columns)


def _check_size(rows: int, columns: int, height: int, width: int) -> None:
    if rows * columns * height * width > PIXELS:
        raise ValueError(
            f"{columns} columns and {rows} rows of {width} x {height} pixels are more than {PIXELS:,} pixels"
        )


def _colour(picture: Bytes) -> Bytes:
    return np.ascontiguousarray(np.broadcast_to(picture, (*picture.shape[:2], 3)))
