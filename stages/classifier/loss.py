"""The classifier's loss: cross-entropy over the classes, binary cross-entropy over the attributes."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from stages.classifier.network import Classifier
from stages.core.packed import UNCLASSED
from stages.networks.compute import Compute


@dataclass(frozen=True, kw_only=True, slots=True)
class Loss:
    """Cross-entropy, smoothed and weighted by class, plus weighted binary cross-entropy."""

    compute: Compute
    smoothing: float
    """Share of the target that is spread over all classes."""
    weights: Tensor | None
    """Weights of the classes [K]; None: all classes count alike."""
    attribute_weight: float = 1.0
    """What the loss of the attributes is multiplied by; their mean counts, however many they are."""

    def __call__(
        self, network: Classifier, images: Tensor, labels: Tensor, attributes: Tensor | None = None
    ) -> Tensor:
        """Compute the loss on images [B, C, H, W] in 0..1 with labels [B] and attributes [B, A].

        A label that is `UNCLASSED` and an attribute that is NaN are unknown and count for nothing.
        """
        with self.compute.autocast():
            logits = network(self.compute.images(images))
        device, classes = self.compute.device, len(network.config["classes"])
        target, exact = labels.to(device), logits.float()
        parts: list[Tensor] = []
        if classes and bool((labels != UNCLASSED).any()):
            weights = None if self.weights is None else self.weights.to(device)
            parts.append(
                F.cross_entropy(
                    exact[:, :classes],
                    target,
                    weights,
                    ignore_index=UNCLASSED,
                    label_smoothing=self.smoothing,
                )
            )
        if attributes is not None and bool((known := ~attributes.isnan()).any()):
            there = known.to(device)
            of_attributes = F.binary_cross_entropy_with_logits(
                exact[:, classes:][there], attributes.to(device)[there]
            )
            parts.append(self.attribute_weight * of_attributes)
        return sum(parts[1:], start=parts[0]) if parts else 0.0 * exact.sum()


def class_weights(labels: npt.NDArray[np.int64], classes: int) -> Tensor:
    """Weights [classes] in the loss that let every class count alike: the mean over all `labels` is 1.

    A class without a picture weighs nothing, and pictures without a class are left out.
    """
    counts = torch.bincount(torch.from_numpy(labels[labels != UNCLASSED]), minlength=classes).double()
    present = int((counts > 0).sum())
    return torch.where(counts > 0, counts.sum() / (present * counts.clamp_min(1)), 0.0).float()
