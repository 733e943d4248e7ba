"""Losses worked out by hand, penalties on slopes that are known, changes of pictures."""

import math

import pytest
import torch
from torch import Tensor

from stages.train_gan.losses import (
    CHANGES,
    HingeParams,
    LossParams,
    NonSaturatingParams,
    WassersteinParams,
    change,
    discriminator_loss,
    generator_loss,
    slope_penalty,
    squared_slope,
)

HINGE = HingeParams(name="hinge")
NON_SATURATING = NonSaturatingParams(name="non-saturating", r1=2.0, r1_every=4)
WASSERSTEIN = WassersteinParams(name="wgan-gp", penalty=10.0)
IMAGES = torch.zeros(3, 1, 2, 2)


@pytest.mark.parametrize(
    ("loss", "discriminator", "generator"),
    [
        (HINGE, (0 + 2) / 2 + (0 + 1.5) / 2, -(-2 + 0.5) / 2),
        (
            NON_SATURATING,
            (math.log1p(math.exp(-3)) + math.log1p(math.exp(1))) / 2
            + (math.log1p(math.exp(-2)) + math.log1p(math.exp(0.5))) / 2,
            (math.log1p(math.exp(2)) + math.log1p(math.exp(-0.5))) / 2,
        ),
        (WASSERSTEIN, -0.75 - 1, 0.75),
    ],
    ids=["hinge", "non-saturating", "wgan-gp"],
)
def test_losses_by_hand(loss: LossParams, discriminator: float, generator: float) -> None:
    on_real, on_fakes = torch.tensor([3.0, -1.0]), torch.tensor([-2.0, 0.5])
    assert float(discriminator_loss(loss, on_real, on_fakes)) == pytest.approx(discriminator)
    assert float(generator_loss(loss, on_fakes)) == pytest.approx(generator)


def steep(images: Tensor) -> Tensor:
    """Realness whose slope has the norm 3 * sqrt(4) everywhere."""
    return 3 * images.sum(dim=(1, 2, 3))


def test_slopes_of_a_plane() -> None:
    assert squared_slope(steep, IMAGES).tolist() == [36.0] * 3


def test_penalties_are_due_when_they_should_be() -> None:
    assert slope_penalty(HINGE, steep, IMAGES, IMAGES, step=1) is None
    due = [slope_penalty(NON_SATURATING, steep, IMAGES, IMAGES, step=step) for step in range(1, 7)]
    # 2 / 2 * 36, four times as much since it is due every fourth step
    assert [None if one is None else float(one) for one in due] == [144.0, None, None, None, 144.0, None]
    between = slope_penalty(WASSERSTEIN, steep, IMAGES, IMAGES + 1, step=2)
    assert between is not None
    assert float(between) == pytest.approx(10 * (6 - 1) ** 2)


@pytest.mark.parametrize("name", CHANGES)
def test_changes_keep_the_shape_and_let_gradients_pass(name: str) -> None:
    images = torch.rand(5, 3, 16, 16).requires_grad_()
    changed = change(images, [name])  # type: ignore[list-item]
    assert changed.shape == images.shape
    assert not torch.equal(changed, images)
    changed.sum().backward()
    assert images.grad is not None
    assert images.grad.abs().sum() > 0


def test_translation_moves_and_fills_with_ground() -> None:
    images = torch.full((200, 1, 8, 8), -1.0)
    images[:, :, 4, 4] = 1.0
    moved = change(images, ["translation"])
    assert moved.sum(dim=(1, 2, 3)).tolist() == [-62.0] * 200  # the bright pixel is in every one
    places = {tuple(place[2:]) for place in moved.eq(1).nonzero().tolist()}
    assert places == {(row, column) for row in (3, 4, 5) for column in (3, 4, 5)}
