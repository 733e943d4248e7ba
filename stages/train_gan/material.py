"""The data from which training draws its batches: pictures, their classes, captions and numbers."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from stages.core.packed import ClassificationSplit
from stages.networks.compute import Compute
from stages.prompting.attributes import attribute_scale, attributes_of, encode
from stages.prompting.captions import Captions, captions_of
from stages.train_gan.params import TrainGanParams

SHARE_WITH_NUMBERS = 0.5  # of the pictures whose numbers the two networks are told


@dataclass(frozen=True, kw_only=True, slots=True)
class Material:
    """The training pictures and what is known of them, in memory."""

    images: Tensor
    """uint8 [N, C, H, W]."""
    labels: Tensor
    """int64 [N]."""
    captions: Captions | None
    numbers: Tensor
    """[N, 2 A], as `attributes.encode` has them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """Real pictures and what is asked of the generator in their place."""

    real: Tensor
    """[B, C, H, W] in -1..1."""
    labels: Tensor
    """int64 [B]."""
    texts: Tensor | None
    """Vectors [B, D] of captions."""
    own: Tensor
    """bool [B]: whether the caption is the picture's own, or made of the class's name."""
    by_text: Tensor
    """bool [B, 1]: whether the caption is what is asked for, or else the class."""
    numbers: Tensor
    """[B, 2 A], noughts where they are not told."""
    given: Tensor
    """[B, G]: what the discriminator knows of a picture beside its class."""


def material_of(split: ClassificationSplit, params: TrainGanParams) -> tuple[Material, dict[str, Any] | None]:
    """The split in memory, and the scale of its numbers, which the generator keeps."""
    numbers = attributes_of(split, params.attributes)
    scale = attribute_scale(numbers, params.attributes)
    material = Material(
        images=torch.tensor(split.images[:]).permute(0, 3, 1, 2),  # [N, H, W, C] -> channels last
        labels=torch.from_numpy(split.labels),
        captions=None if params.text is None else captions_of(split, params.text),
        numbers=encode(numbers, scale),
    )
    return material, scale


def draw_batch(material: Material, rows: Tensor, params: TrainGanParams, compute: Compute) -> Batch:
    """The pictures `rows` [B], and at random how they are asked for."""
    labels, captions = material.labels[rows], material.captions
    numbers = material.numbers[rows]
    if numbers.shape[1]:
        numbers = numbers * (torch.rand(len(rows), 1) < SHARE_WITH_NUMBERS)
    given, texts, own = [numbers], None, torch.zeros(len(rows), dtype=torch.bool)
    by_text = own[:, None]
    if captions is not None and params.text is not None:
        texts, own = captions.draw(rows, labels)
        if captions.own is not None:
            by_text = own[:, None] & (torch.rand(len(rows), 1) < params.text.share)
            given.append(texts * by_text)
        texts = texts + params.text.noise * torch.randn_like(texts)
    return Batch(
        real=compute.images(material.images[rows].float().div_(127.5).sub_(1)),  # 0..255 -> -1..1
        labels=labels.to(compute.device),
        texts=None if texts is None else texts.to(compute.device),
        own=own.to(compute.device),
        by_text=by_text.to(compute.device),
        numbers=numbers.to(compute.device),
        given=torch.cat(given, dim=1).to(compute.device),
    )
