"""The classifier's loss: cross-entropy, smoothed and weighted by class."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from stages.classifier.network import Classifier
from stages.networks.compute import Compute


@dataclass(frozen=True, kw_only=True, slots=True)
class Loss:
    """Cross-entropy."""

    compute: Compute
    smoothing: float
    """Share of the target that is spread over all classes."""
    weights: Tensor | None
    """Of the classes [K]; None: all alike."""

    def __call__(self, network: Classifier, images: Tensor, labels: Tensor) -> Tensor:
        """Of the network on images [B, C, H, W] in 0..1 with labels [B]."""
        with self.compute.autocast():
            logits = network(self.compute.images(images))
        device = self.compute.device
        weights = None if self.weights is None else self.weights.to(device)
        target = labels.to(device)
        return F.cross_entropy(logits.float(), target, weights, label_smoothing=self.smoothing)


def class_weights(labels: npt.NDArray[np.int64], classes: int) -> Tensor:
    """Weights [classes] in the loss that let every class count alike: the mean over all `labels` is 1.

    A class without a picture weighs nothing.
    """
    counts = torch.bincount(torch.from_numpy(labels), minlength=classes).double()
    present = int((counts > 0).sum())
    return torch.where(counts > 0, counts.sum() / (present * counts.clamp_min(1)), 0.0).float()
