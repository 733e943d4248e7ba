"""How a picture of any size comes into a frame of one size, and its boxes with it."""

import math
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
Fit = Literal["stretch", "pad", "crop"]

ENLARGED = 4  # times the pixels of its frame: of more than that only what is seen is made


@dataclass(frozen=True, kw_only=True, slots=True)
class Placement:
    """The place of a picture in its frame, in pixels of the frame; a cropped picture reaches beyond it."""

    x: int
    y: int
    width: int
    height: int


def place(size: tuple[int, int], frame: tuple[int, int], fit: Fit) -> Placement:
    """Place a picture of `size` in the middle of a `frame` as `fit` says; both are width and height."""
    if fit == "stretch":
        return Placement(x=0, y=0, width=frame[0], height=frame[1])
    ratios = [room / side for room, side in zip(frame, size, strict=True)]
    scale = min(ratios) if fit == "pad" else max(ratios)
    width, height = (max(1, round(side * scale)) for side in size)
    return Placement(x=(frame[0] - width) // 2, y=(frame[1] - height) // 2, width=width, height=height)


def fit_picture(image: Pixels, placed: Placement, frame: tuple[int, int], ground: int) -> Pixels:
    """Bring a picture [H, W, C] of any size into its frame, [h, w, C]; `ground` fills what it leaves free."""
    if placed.width * placed.height > max(ENLARGED * math.prod(frame), image.shape[0] * image.shape[1]):
        image, placed = _seen_part(image, placed, frame)
    resized = _resize(image, placed.width, placed.height)
    if (placed.width, placed.height) == frame:
        return resized
    left, top = max(0, -placed.x), max(0, -placed.y)
    seen = resized[top : top + frame[1], left : left + frame[0]]
    framed = np.full((frame[1], frame[0], image.shape[2]), ground, dtype=np.uint8)
    x, y = max(0, placed.x), max(0, placed.y)
    framed[y : y + seen.shape[0], x : x + seen.shape[1]] = seen
    return framed


def _seen_part(image: Pixels, placed: Placement, frame: tuple[int, int]) -> tuple[Pixels, Placement]:
    """What the frame shows of a picture that is much larger than it, with a pixel around, and its place."""
    height, width = image.shape[:2]
    left, right, x, placed_width = _seen_side(width, placed.x, placed.width, frame[0])
    top, bottom, y, placed_height = _seen_side(height, placed.y, placed.height, frame[1])
    return image[top:bottom, left:right], Placement(x=x, y=y, width=placed_width, height=placed_height)


def _seen_side(side: int, start: int, length: int, room: int) -> tuple[int, int, int, int]:
    """The pixels of a side that are needed, from the first to before the last; their start and length."""
    scale = length / side
    first = max(0, math.floor(-start / scale) - 1)
    last = min(side, math.ceil((room - start) / scale) + 1)
    return first, last, start + round(first * scale), max(1, round((last - first) * scale))


def _resize(image: Pixels, width: int, height: int) -> Pixels:
    if image.shape[:2] == (height, width):
        return image
    # Averaging areas keeps what is thin when shrinking; it does not interpolate when enlarging.
    shrinks = width < image.shape[1] or height < image.shape[0]
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    resized = cv2.resize(image, (width, height), interpolation=interpolation)
    return np.asarray(resized, np.uint8).reshape(height, width, image.shape[2])  # cv2 drops a single channel


def fit_boxes(
    boxes: npt.NDArray[np.float32], size: tuple[int, int], frame: tuple[int, int], fit: Fit
) -> npt.NDArray[np.float32]:
    """Move boxes [K, 4] xyxy of a picture of this width and height into its frame, and cut them to it."""
    placed = place(size, frame, fit)
    scale = np.array([placed.width / size[0], placed.height / size[1]] * 2)
    moved = boxes * scale + np.array([placed.x, placed.y] * 2)
    return np.asarray(moved.clip(0, np.array(frame * 2)), dtype=np.float32)


def unfit_boxes(
    boxes: npt.NDArray[np.float32], size: tuple[int, int], frame: tuple[int, int], fit: Fit
) -> npt.NDArray[np.float32]:
    """Move boxes [K, 4] xyxy in the frame back into the picture of this size, and cut them to it."""
    placed = place(size, frame, fit)
    scale = np.array([placed.width / size[0], placed.height / size[1]] * 2)
    moved = (boxes - np.array([placed.x, placed.y] * 2)) / scale
    return np.asarray(moved.clip(0, np.array(size * 2)), dtype=np.float32)
