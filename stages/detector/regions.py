"""Proposals by a classical method: connected regions above or below a level, of brightness and of edges.

A region that stands out stays much the same from level to level (J. Matas et al. 2002, "Robust wide baseline
stereo from maximally stable extremal regions"), so that boxes are ranked by how many others agree with them.
Where these are too few, sliding windows make up the number.
"""

import itertools
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torchvision.ops import box_iou, nms

Picture = npt.NDArray[np.uint8]
Boxes = npt.NDArray[np.float32]

LEVELS: list[float] = np.linspace(0.03, 0.97, 16).tolist()  # quantiles of brightness
EDGE_LEVELS = (0.5, 0.6, 0.7, 0.8, 0.9)  # quantiles of the gradient
LEAST, MOST = 0.003, 0.6  # of the picture's area
AGREES = 0.7  # IoU of two boxes that speak of the same thing
REPEATED = 0.8  # IoU of two boxes of which one is left out
WINDOWS = (0.2, 0.3, 0.45, 0.65)  # sides, as shares of the picture's shorter one
TINY = 1e-9  # pixels by which rounding may move a window that ends where the picture does


def region_proposals(picture: Picture, count: int) -> Boxes:
    """`count` boxes [count, 4] (xyxy, pixels) of a picture [H, W, C]; fewer where windows run out."""
    colour = picture.shape[2] == 3
    grey = np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) if colour else picture[..., 0], np.uint8)
    edges = np.asarray(cv2.morphologyEx(grey, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)), np.uint8)
    masks = [mask for level in _levels(grey, LEVELS) for mask in (grey > level, grey <= level)]
    masks += [edges > level for level in _levels(edges, EDGE_LEVELS)]
    found = _ranked(np.concatenate([_components(mask) for mask in masks]))[:count]
    return np.concatenate([found, windows(*grey.shape[:2])[: count - len(found)]])


def windows(height: int, width: int) -> Boxes:
    """Square windows [K, 4] (xyxy, pixels) in the picture, half overlapping, the smallest first."""
    boxes = []
    for share in WINDOWS:
        side = share * min(height, width)
        rows, columns = (np.arange(0, length - side + TINY, side / 2) for length in (height, width))
        boxes += [[x, y, x + side, y + side] for y, x in itertools.product(rows, columns)]
    return np.array(boxes, dtype=np.float32)


def _levels(values: Picture, quantiles: Sequence[float]) -> list[int]:
    levels: list[int] = np.unique(np.quantile(values.astype(np.float64), quantiles).astype(int)).tolist()
    return levels


def _components(mask: npt.NDArray[np.bool_]) -> Boxes:
    """Boxes [K, 4] of the mask's connected parts that are neither tiny nor nearly everything."""
    _, _, found, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    x, y, width, height = found[1:, :4].T  # the first is what is not in the mask
    covers = width * height / mask.size
    boxes = np.stack([x, y, x + width, y + height], axis=1)
    kept: Boxes = boxes[(covers >= LEAST) & (covers <= MOST)].astype(np.float32)
    return kept


def _ranked(boxes: Boxes) -> Boxes:
    """Those most others agree with first, without repetitions."""
    corners = torch.from_numpy(boxes)
    votes = (box_iou(corners, corners) > AGREES).sum(dim=1).float()
    kept: Boxes = corners[nms(corners, votes, REPEATED)].numpy()
    return kept
