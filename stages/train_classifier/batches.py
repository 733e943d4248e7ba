"""Training pictures in batches: their order, their balance, their augmentation, samples of it.

All but albumentations' own draws depend on seed and epoch alone and so have no state to keep.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import albumentations as A
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from stages.augmentation.pipeline import pipeline
from stages.core.packed import UNCLASSED, ClassificationSplit, targets_of
from stages.networks.compute import to_unit
from stages.train_classifier.augment import mirror, shift
from stages.training.batches import epoch_generator, shuffled_batches
from stages.training.samples import ClassifierSamples, Pictures

BALANCE = 1 << 15  # apart from the numbers of epochs, of which each is the seed of another shuffle
GREY_LEVELS = np.arange(256) / 255
Batch = tuple[Tensor, Tensor, Tensor]
"""Images [B, C, H, W] in 0..1, labels [B], attributes [B, A]: 1, 0, or NaN where unknown."""
UNCLASSED_SHOWN = 8  # pictures of which samples are kept where there are no classes
CLASSES_SHOWN = 50  # of which samples are kept: of more of them nobody would look at a sheet


@dataclass(frozen=True, kw_only=True, slots=True)
class Batches:
    """The training split as it is shown to the network."""

    split: ClassificationSplit
    size: int
    """Pictures a batch."""
    seed: int
    mirror: bool
    shift: int
    """Pixels."""
    balanced: bool
    """Show every class equally often."""
    pipeline: A.Compose
    """albumentations'; may be empty."""
    attributes: Sequence[str] = ()
    """The names of those that are learnt."""

    def epoch(self, epoch: int, *, done: int = 0) -> Iterator[Batch]:
        """The batches of epoch `epoch`, from 1, but the first `done`."""
        labels = self.split.labels
        targets = targets_of(self.split.attributes, self.attributes, len(labels))
        rows = balanced_rows(labels, seed=self.seed, epoch=epoch) if self.balanced else None
        shifts = shifts_in(epoch, len(labels), self.shift, self.seed)
        mirrored = mirrored_in(epoch, len(labels), self.seed)
        for places in shuffled_batches(len(labels), self.size, seed=self.seed, epoch=epoch, done=done):
            chosen = places.numpy() if rows is None else rows[places.numpy()]
            images = to_unit(self._drawn(self.split.images[chosen]))
            if self.mirror:
                images = mirror(images, mirrored[places])
            of_attributes = torch.from_numpy(targets[chosen])
            yield shift(images, shifts[:, places]), torch.from_numpy(labels[chosen]), of_attributes

    def _drawn(self, images: Pictures) -> Pictures:
        if not self.pipeline.transforms:
            return images
        return np.stack([self.pipeline(image=image)["image"] for image in images])


def build_batches(
    split: ClassificationSplit,
    *,
    size: int,
    seed: int,
    mirror: bool,
    shift: int,
    balanced: bool,
    transforms: list[dict[str, Any]],
    attributes: Sequence[str] = (),
) -> Batches:
    """Batches with generators of their own: two of them draw the same."""
    return Batches(
        split=split,
        size=size,
        seed=seed,
        mirror=mirror,
        shift=shift,
        balanced=balanced,
        pipeline=pipeline(transforms, seed=seed),
        attributes=attributes,
    )


def channel_statistics(images: npt.NDArray[np.uint8]) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of every channel of pictures uint8 [N, H, W, C], on the scale 0..1.

    The deviation is at least one grey level, so that a channel which never changes does not divide by zero.
    """
    # Counting grey levels is exact and, by the chunk, needs no memory beside the mapped file.
    chunks = [images[start : start + 256] for start in range(0, len(images), 256)]
    mean, std = [], []
    for channel in range(images.shape[-1]):
        counts = sum(np.bincount(chunk[..., channel].ravel(), minlength=256) for chunk in chunks)
        mean.append(float(np.average(GREY_LEVELS, weights=counts)))
        variance = float(np.average((GREY_LEVELS - mean[-1]) ** 2, weights=counts))
        std.append(max(variance**0.5, 1 / 255))
    return mean, std


def shifts_in(epoch: int, count: int, pixels: int, seed: int) -> Tensor:
    """The pixels, int64 [2, count], that each of `count` pictures is shifted down and right by in `epoch`."""
    generator = epoch_generator(seed, -epoch)  # not the one that shuffles
    return torch.randint(-pixels, pixels + 1, (2, count), generator=generator)


def mirrored_in(epoch: int, count: int, seed: int) -> Tensor:
    """Which of `count` pictures, bool [count], are mirrored in `epoch`: each in every second one.

    Drawn afresh, a picture would come the same way round twice running half of the time
    (K. Jordan 2024, "94% on CIFAR-10 in 3.29 seconds", https://arxiv.org/abs/2404.00498).
    """
    first = torch.rand(count, generator=epoch_generator(seed, 0)) < 0.5
    return first ^ (epoch % 2 == 1)


def balanced_rows(labels: npt.NDArray[np.int64], *, seed: int, epoch: int) -> npt.NDArray[np.int64]:
    """Rows [N] into `labels` [N] with every class equally often, but for the rest of a division.

    A rare class's pictures come round several times, each as often as the next, a frequent one's in part.
    """
    draw = np.random.default_rng([seed, BALANCE, epoch])
    present = np.unique(labels)
    shares = np.full(len(present), len(labels) // len(present))
    shares[: len(labels) % len(present)] += 1
    rows = [
        np.resize(draw.permutation(np.flatnonzero(labels == label)), share)
        for label, share in zip(present, shares, strict=True)
    ]
    return np.concatenate(rows)


def samples_of(batches: Batches, columns: int) -> ClassifierSamples:
    """A picture of each class, of many classes the first: as it is, then as shown in `columns` - 1 epochs.

    Where no picture has a class, the first pictures stand in their place.
    """
    split = batches.split
    labels = split.labels if split.classes else np.arange(len(split.labels[:UNCLASSED_SHOWN]))
    present = np.unique(labels[labels != UNCLASSED])[:CLASSES_SHOWN]
    rows = [int(np.argmax(labels == label)) for label in present]
    chosen = ClassificationSplit(
        images=np.asarray(split.images[np.array(rows)]), labels=labels[rows], classes=split.classes
    )
    shown = replace(batches, split=chosen, size=len(rows), balanced=False, attributes=())
    epochs = [chosen.images, *(_in_order(shown, epoch) for epoch in range(1, columns))]
    return ClassifierSamples(pictures=np.stack(epochs, axis=1), labels=chosen.labels)


def _in_order(batches: Batches, epoch: int) -> Pictures:
    """The one batch of an epoch as pictures uint8 [N, H, W, C], ordered by label."""
    ((images, labels, _),) = batches.epoch(epoch)
    ordered = images[labels.argsort()].permute(0, 2, 3, 1)  # [N, C, H, W] -> [N, H, W, C]
    pictures: Pictures = (ordered * 255).round().to(torch.uint8).numpy()
    return pictures
