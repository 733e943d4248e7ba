"""Where in a picture a classifier sees a class: Grad-CAM (Selvaraju et al. 2016, https://arxiv.org/abs/1610.02391)."""

import math

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from stages.classifier.network import Classifier
from stages.drawing.sheets import PAPER, Colour, Picture, image_grid
from stages.networks.compute import Compute, to_unit

CELLS = 7  # that maps should have each way, as those of a ResNet on 224 px: fewer tell little of where
HEAT: Colour = (213, 94, 0)
SCALE_WIDTH, SCALE_HEIGHT, SCALE_GREY = 312, 14, 128  # pixels, and the grey level under the scale's colour
SCALE_WORDS = "How much a place speaks for the class: left nothing, right the most in its picture"
STRONGEST = 0.75  # share of the heat's colour where it is hottest


def grad_cam(
    network: Classifier,
    images: Picture,
    targets: npt.NDArray[np.int64],
    *,
    compute: Compute,
    batch_size: int,
) -> npt.NDArray[np.float32]:
    """Map how much each place speaks for the picture's class in `targets` [N]: [N, H, W], 0 to 1 in each.

    The maps are those of the last stage that has at least `CELLS` cells each way, or of the last of all.
    """
    heats = []
    for start in range(0, len(images), batch_size):
        batch = slice(start, start + batch_size)
        wanted = torch.from_numpy(targets[batch]).to(compute.device)
        heats.append(_heat(network, compute.images(to_unit(images[batch])), wanted))
    heat: npt.NDArray[np.float32] = torch.cat(heats).cpu().numpy()
    return heat


def overlaid(picture: Picture, heat: npt.NDArray[np.float32]) -> Picture:
    """Lay the heat [H, W] over a picture [H, W, 1 or 3] in grey: RGB [H, W, 3]."""
    grey = picture.mean(axis=2, keepdims=True)
    share = STRONGEST * heat[:, :, None]
    mixed: Picture = ((1 - share) * grey + share * np.array(HEAT)).round().astype(np.uint8)
    return mixed


def with_scale(sheet: Image.Image) -> Image.Image:
    """The sheet of heat maps, and below it what their colour means."""
    bar = np.full((SCALE_HEIGHT, SCALE_WIDTH, 1), SCALE_GREY, np.uint8)
    heat = np.broadcast_to(np.linspace(0, 1, SCALE_WIDTH, dtype=np.float32), bar.shape[:2])
    scale = image_grid([overlaid(bar, heat)], 1, title=SCALE_WORDS)
    whole = Image.new("RGB", (max(sheet.width, scale.width), sheet.height + scale.height), PAPER)
    whole.paste(sheet, (0, 0))
    whole.paste(scale, (0, sheet.height))
    return whole


def _heat(network: Classifier, images: Tensor, targets: Tensor) -> Tensor:
    """The heat [N, H, W] of images [N, C, H, W]."""
    stages, maps = _maps(network, images)
    maps = maps.detach().requires_grad_()
    with torch.enable_grad():
        logits = network.logits_of(maps, stages)
        chosen = logits.gather(1, targets[:, None]).sum()
        (gradients,) = torch.autograd.grad(chosen, maps)
    if maps.ndim == 3:  # a transformer's tokens
        maps, gradients = _unrolled(maps), _unrolled(gradients)
    weights = gradients.mean(dim=(2, 3), keepdim=True)
    heat = F.relu((weights * maps).sum(dim=1, keepdim=True)).detach()  # [N, 1, h, w]
    heat = F.interpolate(heat, images.shape[-2:], mode="bilinear", align_corners=False)[:, 0]
    hottest = heat.amax(dim=(1, 2), keepdim=True)
    return heat / hottest.clamp_min(torch.finfo(heat.dtype).tiny)


@torch.no_grad()
def _maps(network: Classifier, images: Tensor) -> tuple[int, Tensor]:
    """The number of stages whose maps are large enough, and these maps."""
    last = len(network.stages)
    for stages in range(last, 0, -1):
        maps = network.feature_maps(images, stages)
        if maps.ndim == 4 and min(maps.shape[-2:]) >= CELLS:
            return stages, maps
    return last, network.feature_maps(images, last)


def _unrolled(tokens: Tensor) -> Tensor:
    """Tokens [N, T, D] as maps [N, D, s, s], without those in front that stand for no place."""
    side = math.isqrt(tokens.shape[1])
    return tokens[:, -(side**2) :].transpose(1, 2).reshape(len(tokens), -1, side, side)
