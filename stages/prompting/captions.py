"""The captions of training pictures: from the data, or made of class names with templates."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stages.core.errors import ParamsError
from stages.core.packed import ClassificationSplit
from stages.prompting.params import TextParams
from stages.prompting.text_encoders import TextEncoder, build_encoder, plural


@dataclass(frozen=True, kw_only=True, slots=True)
class Captions:
    """The captions of a split, as vectors."""

    encoder: TextEncoder
    config: dict[str, Any]
    """The encoder's, what params.yaml calls the classes, and the `dimensions` of the vectors."""
    vectors: Tensor
    """Float32 [T, D]: the captions of the classes in their order, then those of the data."""
    starts: Tensor
    """int64 [K], where each class's captions begin."""
    counts: Tensor
    """int64 [K], how many they are."""
    own: Tensor | None
    """int64 [N], the row of each picture's own caption, -1 where it has none; None: no picture has one."""

    def draw(self, rows: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Draw a caption for each of the pictures `rows` [B] of `labels` [B].

        Returns its vectors [B, D], and whether each is the picture's own caption, [B].
        """
        chosen = self.starts[labels] + (torch.rand(len(labels)) * self.counts[labels]).long()
        if self.own is None:
            return self.vectors[chosen], torch.zeros(len(rows), dtype=torch.bool)
        own = self.own[rows]
        return self.vectors[torch.where(own >= 0, own, chosen)], own >= 0


def captions_of(split: ClassificationSplit, params: TextParams) -> Captions:
    """Encode every caption that training may use.

    Raises:
        ParamsError: Names or descriptions for a class that there is not, or an encoder that is not installed.

    """
    of_classes = class_captions(split.classes, params)
    texts = [text for of_class in of_classes for text in of_class]
    counts = torch.tensor([len(of_class) for of_class in of_classes])
    own, given = None, list[str]()
    if split.captions is not None and any(split.captions):
        given = sorted(set(filter(None, split.captions)))
        numbers = {text: len(texts) + number for number, text in enumerate(given)}
        own = torch.from_numpy(np.array([numbers.get(text, -1) for text in split.captions], dtype=np.int64))
    encoder = build_encoder(params.encoder, texts, given)
    names = {} if params.names is None else {"names": params.names}
    return Captions(
        encoder=encoder,
        config={**encoder.config, **names, "dimensions": encoder.dimensions},
        vectors=encoder.encode([*texts, *given]),
        starts=counts.cumsum(0) - counts,
        counts=counts,
        own=own,
    )


def class_captions(classes: Sequence[str], params: TextParams) -> list[list[str]]:
    """Captions of each class, without repeats: every template with each of its names, and its descriptions.

    The built-in encoder is spared these: their words would only be more that mean nothing to it.

    Raises:
        ParamsError: Names or descriptions for a class that there is not.

    """
    given = params.names or {}
    described = (params.descriptions or {}) if params.encoder == "minilm" else {}
    for key, of_classes in (("names", given), ("descriptions", described)):
        if unknown := sorted(set(of_classes) - set(classes)):
            raise ParamsError(
                f"train-gan.text.{key}: {unknown[0]!r} is no class; there are {', '.join(classes)}"
            )
    captions = []
    for label in classes:
        names = given.get(label) or names_of(label)
        filled = [form.format(name=name, plural=plural(name)) for name in names for form in params.templates]
        captions.append(list(dict.fromkeys([*filled, *described.get(label, [])])))
    return captions


def names_of(label: str) -> list[str]:
    """What a class is called: "T-shirt/top" -> t-shirt, top."""
    return [name.strip().lower() for name in label.split("/") if name.strip()]
