"""Where a network looks in a picture: maps by which fusion weights its sources."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch

from stages.classifier.network import Classifier
from stages.fusion.pixels import Floats, Pictures, in_channels
from stages.networks.compute import Compute, to_unit


def activity_of(network: Classifier, stages: int, compute: Compute) -> Callable[[Pictures], Floats]:
    """How active the network's first `stages` stages are on sources [S, H, W, C]: [S, h, w].

    It is the feature maps' sum over channels. `network` is on `compute`'s device.
    """

    @torch.inference_mode()
    def activity(sources: Pictures) -> Floats:
        images = to_unit(as_trained_on(network, sources))
        maps: Floats = network.feature_maps(compute.images(images), stages).sum(dim=1).cpu().numpy()
        return maps

    return activity


def as_trained_on(network: Classifier, pictures: Pictures) -> npt.NDArray[np.uint8]:
    """Pictures [N, H, W, C] in 8 bits and in the network's channels."""
    return in_channels(pictures, len(network.config["mean"]))
