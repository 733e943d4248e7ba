"""Packed pictures as networks want them."""

import numpy as np
import numpy.typing as npt
import torch


def to_unit(images: npt.NDArray[np.uint8]) -> torch.Tensor:
    """Pictures uint8 [N, H, W, C] as float32 [N, C, H, W] in 0..1."""
    # A view of the same memory, so that channels stay last there: convolutions want it so.
    return torch.tensor(images).permute(0, 3, 1, 2).float().div_(255)
