"""The losses of both networks, penalties on the discriminator's slope, and augmentation of its input.

`on_real` and `on_fakes` are the discriminator's outputs [N]; a larger output means more real.
"""

from collections.abc import Callable, Sequence
from typing import assert_never

import torch
import torch.nn.functional as F
from torch import Tensor

from stages.train_gan.params import Change, HingeParams, LossParams, NonSaturatingParams, WassersteinParams

Judge = Callable[[Tensor], Tensor]
"""Realness [N] of pictures [N, C, H, W]."""


def discriminator_loss(params: LossParams, on_real: Tensor, on_fakes: Tensor) -> Tensor:
    """What the discriminator makes small, without penalties."""
    match params:
        case HingeParams():
            return F.relu(1 - on_real).mean() + F.relu(1 + on_fakes).mean()
        case NonSaturatingParams():
            return F.softplus(-on_real).mean() + F.softplus(on_fakes).mean()
        case WassersteinParams():
            return on_fakes.mean() - on_real.mean()


def generator_loss(params: LossParams, on_fakes: Tensor) -> Tensor:
    """What the generator makes small."""
    match params:
        case NonSaturatingParams():
            return F.softplus(-on_fakes).mean()
        case HingeParams() | WassersteinParams():
            return -on_fakes.mean()
        case _:
            assert_never(params)


def slope_penalty(
    params: LossParams, judge: Judge, real: Tensor, fakes: Tensor, *, step: int
) -> Tensor | None:
    """The penalty on the discriminator's slope that is due at this step, weighed; None: none is.

    Real pictures and fakes are [N, C, H, W]; steps count from 1.
    """
    match params:
        case NonSaturatingParams(r1=weight, r1_every=every) if weight and (step - 1) % every == 0:
            return weight * every / 2 * squared_slope(judge, real).mean()
        case WassersteinParams(penalty=weight) if weight:
            share = torch.rand(len(real), 1, 1, 1).to(real.device)
            between = real + share * (fakes - real)
            return weight * ((squared_slope(judge, between) + 1e-12).sqrt() - 1).square().mean()
        case _:
            return None


def squared_slope(judge: Judge, images: Tensor) -> Tensor:
    """Squared norm [N] of the gradient of realness by the picture, at images [N, C, H, W]."""
    images = images.detach().requires_grad_()
    (slope,) = torch.autograd.grad(judge(images).sum(), images, create_graph=True)
    return slope.square().sum(dim=(1, 2, 3))


def change(images: Tensor, changes: Sequence[Change]) -> Tensor:
    """Images [N, C, H, W] in -1..1, each changed at random, so that gradients pass.

    Real pictures and fakes alike: of few pictures the discriminator cannot learn every one by heart, and the
    generator does not learn the changes (Zhao et al. 2020, https://arxiv.org/abs/2006.10738).
    """
    for name in changes:
        images = CHANGES[name](images)
    return images


def _brighten(images: Tensor) -> Tensor:
    """Make pictures brighter or darker by up to a quarter of the range."""
    return images + (torch.rand(len(images), 1, 1, 1) - 0.5).to(images.device)


def _translate(images: Tensor) -> Tensor:
    """Shift pictures by up to an eighth of the side each way; what comes in is the ground."""
    number, _, height, width = images.shape
    by = max(1, height // 8)
    padded = F.pad(images, [by] * 4, value=-1.0)
    down, right = torch.randint(0, 2 * by + 1, (2, number, 1))
    rows = (down + torch.arange(height)).to(images.device)  # [N, H]
    columns = (right + torch.arange(width)).to(images.device)  # [N, W]
    which = torch.arange(number, device=images.device)[:, None, None]
    return padded.permute(0, 2, 3, 1)[which, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def _cut_out(images: Tensor) -> Tensor:
    """A square of half the side is grey, wherever its centre lies."""
    number, _, height, width = images.shape
    centre = torch.rand(2, number, 1) * torch.tensor([height, width]).view(2, 1, 1)
    rows = (torch.arange(height) - centre[0]).abs() < height / 4  # [N, H]
    columns = (torch.arange(width) - centre[1]).abs() < width / 4
    kept = ~(rows[:, :, None] & columns[:, None, :])
    return images * kept[:, None].to(images)


CHANGES: dict[Change, Callable[[Tensor], Tensor]] = {
    "brightness": _brighten,
    "translation": _translate,
    "cutout": _cut_out,
}
