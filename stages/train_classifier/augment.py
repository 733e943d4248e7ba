"""Augmentation of whole batches of images.

Tensor operations on the whole batch, not albumentations picture by picture: for pictures as small as these
its calls would take a good part of a training step.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def mirror(images: Tensor, chosen: Tensor) -> Tensor:
    """Images [N, C, H, W], those of `chosen` (bool [N]) mirrored left to right."""
    return torch.where(chosen.view(-1, 1, 1, 1), images.flip(-1), images)


def shift(images: Tensor, by: Tensor) -> Tensor:
    """Images [N, C, H, W], each shifted down and right by `by` [2, N] pixels; zeros come in at the edge."""
    height, width = images.shape[-2:]
    most = int(by.abs().max())
    padded = F.pad(images, [most] * 4)
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)  # view [N, C, 2p + 1, 2p + 1, H, W]
    down, right = (most - by).to(images.device)
    return windows[torch.arange(len(images), device=images.device), :, down, right]  # [N, C, H, W]
