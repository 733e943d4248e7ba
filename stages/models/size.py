"""How large a network is, and how much it computes."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from stages.models.classifier import Classifier


@dataclass(frozen=True, kw_only=True, slots=True)
class Size:
    """Of a network."""

    parameters: int
    megabytes: float
    """Of its weights, 10^6 bytes each."""
    megaflops: float
    """Multiplications and additions for one view of one picture, in millions."""


@torch.no_grad()
def network_size(network: Classifier, sides: Sequence[int]) -> Size:
    """Of a classifier on pictures of so many pixels down and across; it is in evaluation mode."""
    picture = torch.zeros(1, *network.mean.shape[1:2], *sides, device=network.mean.device)
    with FlopCounterMode(display=False) as counter:
        network(picture)
    state = network.state_dict().values()
    return Size(
        parameters=sum(weight.numel() for weight in network.parameters()),
        megabytes=sum(weight.numel() * weight.element_size() for weight in state) / 1e6,
        megaflops=counter.get_total_flops() / 1e6,
    )
