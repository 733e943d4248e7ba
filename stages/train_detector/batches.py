"""Training pictures with boxes in batches: their order, augmentation and scale, and samples of them.

Everything except albumentations' own draws depends only on seed and epoch, and so has no state to save.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count, islice
from typing import Any

import albumentations as A
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from stages.augmentation.pipeline import pipeline
from stages.core.packed import DetectionSplit
from stages.networks.compute import to_unit
from stages.training.batches import shuffled_batches
from stages.training.budget import batch_count
from stages.training.samples import DetectorSamples

Boxes = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]

SCALES = 1 << 15  # apart from the numbers of epochs, of which each is the seed of another shuffle
PROPOSAL = -1  # the label of boxes that are proposals, while they go through the augmentation
LEAST_SIDE = 1.0  # pixels; a box that augmentation leaves less of is dropped


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """A batch as the network takes it."""

    images: Tensor
    """[B, C, H, W] in 0..1."""
    boxes: list[Boxes]
    """A picture's boxes [M, 4]: xyxy, pixels."""
    labels: list[Labels]
    """A picture's labels [M]."""
    proposals: list[Boxes] | None
    """A picture's proposals [P, 4], where they are given."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DetectorBatches:
    """The training split as it is shown to the network."""

    split: DetectionSplit
    size: int
    """Pictures a batch."""
    seed: int
    scales: list[float]
    """Each batch is scaled by one of these."""
    pipeline: A.Compose
    """albumentations' pipeline; may be empty."""
    proposals: list[Boxes] | None
    """Proposals of every picture, where they are given."""
    epoch_pictures: int | None
    """How many pictures an epoch shows at most: the next one goes on from there. None: all."""

    @property
    def steps(self) -> int:
        """The number of batches in an epoch."""
        pictures = len(self.split.images)
        return batch_count(min(pictures, self.epoch_pictures or pictures), self.size)

    def epoch(self, epoch: int, *, done: int = 0) -> Iterator[Shown]:
        """The batches of epoch `epoch`, from 1, but the first `done`."""
        rows = islice(self._passes((epoch - 1) * self.steps + done), self.steps - done)
        for number, places in enumerate(rows, start=done):
            shown = self.show(places.tolist())
            draw = np.random.default_rng([self.seed, SCALES, epoch, number])
            yield scaled(shown, float(draw.choice(self.scales)))

    def _passes(self, done: int) -> Iterator[Tensor]:
        """Rows in batches, pass after pass over the pictures, each shuffled anew, but the first `done`."""
        pictures = len(self.split.images)
        first, done = divmod(done, batch_count(pictures, self.size))
        for number in count(first):
            yield from shuffled_batches(
                pictures, self.size, seed=self.seed, epoch=number + 1, done=done if number == first else 0
            )

    def show(self, rows: Sequence[int]) -> Shown:
        """The rows' pictures, each augmented by itself."""
        drawn = [self._drawn(row) for row in rows]
        images, boxes, labels = zip(*drawn, strict=True)
        truth = [label != PROPOSAL for label in labels]
        proposals = [box[~true] for box, true in zip(boxes, truth, strict=True)]
        return Shown(
            images=to_unit(np.stack(images)),
            boxes=[box[true] for box, true in zip(boxes, truth, strict=True)],
            labels=[label[true] for label, true in zip(labels, truth, strict=True)],
            proposals=None if self.proposals is None else proposals,
        )

    def _drawn(self, row: int) -> tuple[npt.NDArray[np.uint8], Boxes, Labels]:
        """A picture with its boxes and, under the label `PROPOSAL`, its proposals."""
        image, boxes, labels = self.split.images[row], self.split.boxes[row], self.split.labels[row]
        if self.proposals is not None:
            boxes = np.concatenate([boxes, self.proposals[row]])
            labels = np.concatenate([labels, np.full(len(self.proposals[row]), PROPOSAL)])
        if not self.pipeline.transforms:
            return image, boxes, labels
        drawn = self.pipeline(image=np.ascontiguousarray(image), bboxes=boxes, labels=labels)
        return (
            drawn["image"],
            np.asarray(drawn["bboxes"], dtype=np.float32).reshape(-1, 4),
            np.asarray(drawn["labels"], dtype=np.int64),
        )


def build_detector_batches(
    split: DetectionSplit,
    *,
    size: int,
    seed: int,
    scales: list[float],
    transforms: list[dict[str, Any]],
    visible_min: float,
    proposals: list[Boxes] | None = None,
    epoch_pictures: int | None = None,
) -> DetectorBatches:
    """Batches with generators of their own: two of them draw the same."""
    return DetectorBatches(
        split=split,
        size=size,
        seed=seed,
        scales=scales,
        pipeline=pipeline(transforms, seed=seed, bbox_params=with_boxes(visible_min)),
        proposals=proposals,
        epoch_pictures=epoch_pictures,
    )


def with_boxes(visible_min: float) -> A.BboxParams:
    """How a pipeline keeps boxes: cut to the picture, and dropped where less than that share is left."""
    return A.BboxParams(
        format="pascal_voc",
        label_fields=["labels"],
        min_visibility=visible_min,
        min_width=LEAST_SIDE,
        min_height=LEAST_SIDE,
        clip=True,
    )


def scaled(shown: Shown, scale: float) -> Shown:
    """Scale the pictures, boxes and proposals of a batch."""
    if scale == 1:
        return shown
    before = shown.images.shape[-2:]
    size = [max(1, round(side * scale)) for side in before]
    images = F.interpolate(shown.images, size=size, mode="bilinear", antialias=scale < 1)
    ends = np.array([size[1], size[0]] * 2, dtype=np.float32)
    factors = np.array([size[1] / before[1], size[0] / before[0]] * 2, dtype=np.float32)

    def moved(boxes: Boxes) -> Boxes:
        inside: Boxes = np.minimum(boxes * factors, ends)  # a product may be rounded up beyond the picture
        return inside

    return Shown(
        images=images.clamp(0, 1),
        boxes=[moved(boxes) for boxes in shown.boxes],
        labels=shown.labels,
        proposals=None if shown.proposals is None else [moved(boxes) for boxes in shown.proposals],
    )


def samples_of(batches: DetectorBatches, *, columns: int, rows: int) -> DetectorSamples:
    """Draw `rows` training pictures with their boxes: one column as they are, the rest as they are shown."""
    plain = replace(batches, pipeline=A.Compose([], seed=0))
    shown = [
        each
        for row in islice(range(len(batches.split.images)), rows)
        for each in (plain.show([row]), *(batches.show([row]) for _ in range(columns - 1)))
    ]
    images = torch.cat([each.images for each in shown]).permute(0, 2, 3, 1)  # [N, C, H, W] -> [N, H, W, C]
    pictures = (images * 255).round().to(torch.uint8).numpy()
    return DetectorSamples(
        pictures=pictures.reshape(-1, columns, *pictures.shape[1:]),
        box_counts=np.array([len(each.boxes[0]) for each in shown], dtype=np.int64).reshape(-1, columns),
        boxes=np.concatenate([each.boxes[0] for each in shown]),
        labels=np.concatenate([each.labels[0] for each in shown]),
    )
