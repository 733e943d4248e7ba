"""How large a network is, and how much it computes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from stages.classifier.network import Classifier
from stages.detector.network import proposals_alone
from stages.detector.proposals import Boxes, Targets
from stages.networks.compute import Compute, to_unit


@dataclass(frozen=True, kw_only=True, slots=True)
class Size:
    """The size of a network and the cost of one view of one picture."""

    parameters: int
    megabytes: float
    """Megabytes (10^6 bytes) of its weights and statistics."""
    megaflops: float
    """Multiplications and additions for one view of one picture, in millions."""


def network_size(network: Classifier, sides: Sequence[int]) -> Size:
    """Measure a classifier in evaluation mode on pictures of so many pixels down and across."""
    picture = torch.zeros(1, *network.mean.shape[1:2], *sides, device=network.mean.device)
    return _size(network, picture)


def detector_size(
    network: nn.Module, picture: npt.NDArray[np.uint8], compute: Compute, proposals: Boxes | None = None
) -> Size:
    """Measure a detector on this picture [H, W, C], whose proposals decide how much is computed.

    `proposals` [P, 4]: the picture's, for a detector that takes them from a file.
    """
    pictures = [to_unit(picture[np.newaxis])[0].to(compute.device)]
    given = None if proposals is None else proposals_alone([proposals], compute)
    return _size(network.eval(), pictures, given)


@torch.no_grad()
def _size(network: nn.Module, *inputs: Tensor | list[Tensor] | Targets | None) -> Size:
    with FlopCounterMode(display=False) as counter:
        network(*inputs)
    state = network.state_dict().values()
    return Size(
        parameters=sum(weight.numel() for weight in network.parameters()),
        megabytes=sum(weight.numel() * weight.element_size() for weight in state) / 1e6,
        megaflops=counter.get_total_flops() / 1e6,
    )
