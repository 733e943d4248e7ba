import re

import cv2
import numpy as np
import pytest

from stages.core.errors import DataError
from stages.fusion.alignment import align, shift_between
from stages.fusion.pixels import grey
from tests.stages.fusion.scenery import half_blurred, moved, scenery

NAMES = ["a.png", "b.png"]


def aligned(first, second, registration):
    return align(np.stack([first, second]), NAMES, registration)


@pytest.mark.parametrize(("across", "down"), [(7, -4), (-3, 0), (0, 11)])
def test_a_shift_is_found(across, down):
    scene = scenery()
    found = shift_between(grey(scene), grey(moved(scene, across=across, down=down)))
    assert found == pytest.approx((across, down), abs=0.5)


@pytest.mark.parametrize("seed", range(5))
def test_pictures_that_lie_on_each_other_pass_whatever_their_focus_and_light(seed):
    scene = scenery(seed=seed)
    for first, second in (half_blurred(scene), (scene // 2, scene), (scene, scenery(seed=seed + 50))):
        assert (aligned(first, second, "check") == np.stack([first, second])).all()


def test_a_moved_picture_is_refused_in_one_line_and_taken_with_none():
    scene = scenery()
    pair = scene, moved(scene, across=6)
    with pytest.raises(DataError) as refused:
        aligned(*pair, "check")
    message = str(refused.value)
    assert message.startswith("b.png: seems moved against a.png by 6.0 pixels across and")
    assert "\n" not in message
    assert (aligned(*pair, "none") == np.stack(pair)).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("degrees", "scale"), [(2, 1.0), (-10, 1.0), (90, 1.0), (0, 1.05), (0, 1.25), (5, 0.9)]
)
@pytest.mark.parametrize("seed", range(3))
def test_a_turned_or_scaled_picture_is_refused_whatever_its_focus(seed, degrees, scale):
    sharp_left, sharp_right = half_blurred(scenery(240, 320, seed=seed), 1.5)
    with pytest.raises(DataError) as refused:
        aligned(sharp_left, moved(sharp_right, degrees, scale=scale), "check")
    message = str(refused.value)
    found = re.match(
        r"b.png: seems moved against a.png, turned by (.+) degrees and scaled (.+) times;", message
    )
    assert found, message
    # OpenCV turns to the left as it looks, and y goes down
    assert float(found[1]) == pytest.approx(-degrees, abs=0.5)
    assert float(found[2]) == pytest.approx(scale, abs=0.02)
    assert "\n" not in message


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_pictures_of_other_kinds_pass_where_they_lie_on_each_other(seed):
    scene = scenery(240, 320, seed=seed)
    noise = np.random.default_rng(seed).normal(0, 25, scene.shape)
    hole = scene.copy()
    hole[60:180, 80:240] = scene.mean()
    bright = (scene * 4.0).clip(0, 255).astype(np.uint8)
    edges = np.broadcast_to(cv2.Canny(scene, 80, 160)[..., None], scene.shape)
    others = {
        "blurred": cv2.GaussianBlur(scene, (0, 0), 5),
        "negative": 255 - scene,
        "noisy": (scene + noise).clip(0, 255).astype(np.uint8),
        "hole": hole,
        "bright": bright,
        "edges": edges,
        "elsewhere": scenery(240, 320, seed=seed + 50),
    }
    for other in others.values():
        aligned(scene, other, "check")
    aligned(scene // 4, bright, "check")


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
@pytest.mark.parametrize("registration", ["ecc", "features"])
def test_a_moved_and_turned_picture_is_laid_back(registration, depth):
    scene = scenery(240, 320)
    times = 257 if depth == np.uint16 else 1
    pair = [picture.astype(depth) * times for picture in (scene, moved(scene, 2.0, 5.0, -3.0))]
    laid = aligned(*pair, registration)
    assert laid.dtype == depth
    inner = np.s_[20:-20, 20:-20]
    error = np.abs(laid[1].astype(float) - pair[0])[inner].mean() / times
    assert error < np.abs(pair[1].astype(float) - pair[0])[inner].mean() / times / 4


@pytest.mark.parametrize("registration", ["ecc", "features"])
def test_what_cannot_be_aligned_is_refused(registration):
    with pytest.raises(DataError, match=rf"b.png: cannot be aligned with a.png by {registration}"):
        aligned(scenery(seed=1), scenery(seed=2), registration)
    with pytest.raises(DataError, match="cannot be aligned"):
        aligned(scenery(), np.full_like(scenery(), 9), registration)
