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


def curved(images: Tensor) -> Tensor:
    """Realness whose slope at a picture of one brightness is twice that brightness, times the root of 4."""
    return images.square().sum(dim=(1, 2, 3))


def test_the_penalty_of_wgan_gp_is_on_places_between_real_pictures_and_fakes() -> None:
    """At a share s of the way from 1 to 3 the slope's norm is 4 (1 + 2 s)."""
    real, fakes = torch.ones(500, 1, 2, 2), 3 * torch.ones(500, 1, 2, 2)
    torch.manual_seed(0)
    shares = torch.rand(500)
    torch.manual_seed(0)
    penalty = slope_penalty(WASSERSTEIN, curved, real, fakes, step=1)
    assert penalty is not None
    by_hand = 10 * (4 * (1 + 2 * shares) - 1).square().mean()
    assert penalty.item() == pytest.approx(by_hand.item(), rel=1e-5)


def test_a_penalty_of_no_weight_is_none() -> None:
    for params in (
        NonSaturatingParams(name="non-saturating", r1=0.0, r1_every=1),
        WassersteinParams(name="wgan-gp", penalty=0.0),
    ):
        assert slope_penalty(params, steep, IMAGES, IMAGES, step=1) is None


def test_a_flat_judge_has_a_penalty_that_can_be_made_smaller() -> None:
    """The root of 0 has no gradient; the penalty has one, that is finite."""
    weight = torch.zeros(1, requires_grad=True)
    penalty = slope_penalty(WASSERSTEIN, lambda images: weight * steep(images), IMAGES, IMAGES, step=1)
    assert penalty is not None
    penalty.backward()
    assert weight.grad is not None
    assert torch.isfinite(weight.grad).all()


def test_brightness_changes_a_picture_by_up_to_a_quarter_of_the_range_and_all_pixels_alike() -> None:
    images = torch.zeros(2000, 1, 3, 3)
    added = change(images, ["brightness"])
    by = added[:, 0, 0, 0]
    assert torch.equal(added, by[:, None, None, None].expand_as(added))
    assert -0.5 <= float(by.min()) < -0.49
    assert 0.49 < float(by.max()) <= 0.5
    assert abs(float(by.mean())) < 0.03


def test_a_square_of_half_the_side_is_cut_out_wherever_its_centre_lies() -> None:
    cut = change(torch.ones(2000, 2, 8, 12), ["cutout"]) == 0
    assert torch.equal(cut[:, 0], cut[:, 1])  # of all channels
    rows, columns = cut[:, 0].any(dim=2).sum(dim=1), cut[:, 0].any(dim=1).sum(dim=1)
    assert torch.equal(cut[:, 0].sum(dim=(1, 2)), rows * columns)  # a rectangle
    assert (int(rows.max()), int(columns.max())) == (4, 6)
    assert (int(rows.min()), int(columns.min())) == (2, 3)  # of which half lies outside
    assert cut[:, 0].any(dim=0).all()  # every pixel is cut out of some


def test_translation_is_as_far_along_rows_as_along_columns_and_of_its_own_for_each_picture() -> None:
    images = torch.full((300, 1, 16, 24), -1.0)
    images[:, :, 5, 9] = 1.0
    places = change(images, ["translation"]).eq(1).nonzero()[:, 2:] - torch.tensor([5, 9])
    assert {tuple(place) for place in places.tolist()} == {
        (down, across) for down in range(-2, 3) for across in range(-2, 3)
    }


def test_pictures_of_a_few_pixels_are_translated_by_one() -> None:
    images = torch.full((200, 1, 4, 6), -1.0)
    images[:, :, 2, 3] = 1.0
    places = change(images, ["translation"]).eq(1).nonzero()[:, 2:] - torch.tensor([2, 3])
    assert {tuple(place) for place in places.tolist()} == {
        (down, across) for down in (-1, 0, 1) for across in (-1, 0, 1)
    }


def test_changes_are_made_one_after_the_other() -> None:
    images = torch.rand(4, 3, 16, 16)
    torch.manual_seed(1)
    both = change(images, ["cutout", "brightness"])
    torch.manual_seed(1)
    assert torch.equal(both, change(change(images, ["cutout"]), ["brightness"]))
    assert torch.equal(change(images, []), images)


def test_what_a_slope_is_taken_of_keeps_its_own_graph_out_of_it() -> None:
    """The penalty's gradient goes to the discriminator, and not to the pictures."""
    images = torch.ones(2, 1, 2, 2, requires_grad=True)
    weight = torch.tensor(3.0, requires_grad=True)
    slopes = squared_slope(lambda shown: weight * shown.sum(dim=(1, 2, 3)), images)
    slopes.sum().backward()
    assert images.grad is None
    assert slopes.tolist() == [36.0, 36.0]
    assert weight.grad is not None
    assert weight.grad.item() == 2 * 2 * 3 * 4


def test_the_generator_of_random_numbers_decides_how_bright_pictures_become() -> None:
    images = torch.zeros(4, 3, 2, 2)
    torch.manual_seed(1)
    by = torch.rand(4, 1, 1, 1) - 0.5
    torch.manual_seed(1)
    assert torch.equal(change(images, ["brightness"]), by.expand_as(images))
