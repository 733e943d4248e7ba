"""Where a detector looks for each box that it finds: D-RISE.

V. Petsiuk et al. 2021, "Black-box Explanation of Object Detectors via Saliency Maps",
https://arxiv.org/abs/2006.03204. Parts of the picture are hidden at random, many times. A place counts as
much as the box is found again while that place is seen.

The paper compares the probabilities of all classes. The detectors here tell one class and its score for each
box, so a box found again counts by its overlap with the first one, times its score, if it is of the same
class.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import nn

from stages.detector.network import Detection, detect
from stages.intake.geometry import Pixels, fit_boxes
from stages.networks.compute import Compute
from stages.prediction.answers import BATCH, MASKS, Detected, Unread
from stages.prediction.merging import overlaps_of
from stages.prediction.predictors import DetectorPredictor, Given

Heat = npt.NDArray[np.float32]
"""[H, W], or [K, H, W] of several boxes: from 0 to 1."""

SEEN_SHARE = 0.5
"""The share of a mask's cells that are shown: the paper's."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Masks:
    """Which parts of a picture are hidden, and how often."""

    count: int = MASKS
    """How many masks: with more the maps are less noisy, and each takes a look of the detector."""
    cells: int = 8
    """Cells of a mask along the shorter side of the picture."""
    seed: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Explained:
    """A picture with the boxes that a detector finds in it, and where it looks for each of them."""

    answer: Detected
    """The answer with those boxes alone that are explained."""
    pixels: Pixels
    """The picture as the network sees it, [H, W, C]."""
    framed: npt.NDArray[np.float32]
    """The boxes there: [K, 4] (xyxy, pixels)."""
    heats: Heat
    """A map for each box, [K, H, W]: 0 where the picture speaks least for it, 1 where it does most."""


def explain_boxes(
    predictor: DetectorPredictor,
    pictures: Iterable[Given],
    *,
    most: int = 3,
    threshold: float = 0.5,
    masks: Masks = Masks(),
    batch: int = BATCH,
) -> Iterator[Explained | Unread]:
    """Explain the surest boxes of each picture: at most so many, with at least `threshold` as their score.

    `batch` masked pictures go through the network together. The same seed gives the same maps. A picture that
    cannot be read is no error: its answer says why.

    Raises:
        DataError: An array is no picture.
        ModelError: What the network predicts is not finite.

    """
    for number, given in enumerate(pictures, start=1):
        ready = predictor.in_form(number, given)
        if isinstance(ready, Unread):
            yield ready
            continue
        (answer,) = predictor.answers_to([ready])
        boxes = tuple(box for box in answer.boxes if box.score >= threshold)[:most]
        corners = np.array([[box.x1, box.y1, box.x2, box.y2] for box in boxes], np.float32).reshape(-1, 4)
        form = predictor.form
        framed = fit_boxes(corners, (ready.width, ready.height), form.frame, form.fit)
        labels = np.array([predictor.classes.index(box.label) for box in boxes], np.int64)
        target = framed, labels, np.array([box.score for box in boxes], np.float32)
        heats = box_saliency(
            predictor.network, ready.pixels, target, masks=masks, compute=predictor.compute, batch=batch
        )
        answer = replace(answer, boxes=boxes)
        yield Explained(answer=answer, pixels=ready.pixels, framed=framed, heats=heats)


def box_saliency(
    network: nn.Module, picture: Pixels, target: Detection, *, masks: Masks, compute: Compute, batch: int
) -> Heat:
    """How much each place speaks for each of the boxes: [K, H, W], 0 to 1 in each.

    `target` are boxes [K, 4], labels and scores that the network finds in the picture [H, W, C]. The map of
    a box that is never found again is 0 everywhere. `batch` masked pictures go through the network together;
    no more of them are held at once.
    """
    found_again = np.zeros((len(target[0]), *picture.shape[:2]))
    if not len(found_again):
        return found_again.astype(np.float32)
    seen = np.zeros(picture.shape[:2])
    ground = np.median(picture, axis=(0, 1))  # [C]: what most of the picture looks like hides best
    for masked in _masks(masks, picture.shape[:2], batch):
        hidden = (ground + masked[..., None] * (picture - ground)).round().astype(np.uint8)  # [B, H, W, C]
        weights = np.stack([_similarity(target, found) for found in detect(network, hidden, compute, batch)])
        found_again += np.tensordot(weights, masked, axes=(0, 0))
        seen += masked.sum(axis=0)
    return np.stack([_stretched(heat / np.maximum(seen, 1e-9)) for heat in found_again])


def _masks(masks: Masks, size: Sequence[int], batch: int) -> Iterator[npt.NDArray[np.float64]]:
    """Masks [B, H, W] from 0 (hidden) to 1: grids of cells at random places, with soft edges.

    The grids are drawn one after the other, so they are the same whatever the batch.
    """
    draw = np.random.default_rng(masks.seed)
    side = -(-min(size) // masks.cells)
    rows, columns = (-(-length // side) + 1 for length in size)
    for start in range(0, masks.count, batch):
        group = []
        for _ in range(min(batch, masks.count - start)):
            grid = torch.from_numpy(draw.random((1, 1, rows, columns)) < SEEN_SHARE).float()
            top, left = draw.integers(side, size=2)
            soft = F.interpolate(grid, (rows * side, columns * side), mode="bilinear", align_corners=False)
            group.append(soft[0, 0, top : top + size[0], left : left + size[1]].numpy())
        yield np.stack(group).astype(np.float64)


def _similarity(target: Detection, found: Detection) -> npt.NDArray[np.float64]:
    """How well each of the K boxes of `target` is found again: [K], from 0 to 1."""
    if not len(found[0]):
        return np.zeros(len(target[0]))
    same_class = target[1][:, None] == found[1][None]
    return np.asarray((overlaps_of(target[0], found[0]) * same_class * found[2]).max(axis=1))


def _stretched(heat: npt.NDArray[np.float64]) -> Heat:
    """The map with 0 at its coldest place and 1 at its hottest; 0 everywhere where all are the same."""
    low, high = heat.min(), heat.max()
    if high - low <= 1e-9:
        return np.zeros(heat.shape, np.float32)
    return np.asarray((heat - low) / (high - low), dtype=np.float32)
