import numpy as np
import pytest

from stages.networks.compute import to_unit


def test_to_unit_puts_channels_second_and_scales():
    images = np.zeros((1, 2, 3, 2), np.uint8)
    images[0, 1, 2, 1] = 255
    images[0, 0, 0, 0] = 51
    unit = to_unit(images)  # [1, 2, 2, 3]
    assert unit.shape == (1, 2, 2, 3)
    assert unit[0, 1, 1, 2] == 1
    assert unit[0, 0, 0, 0] == pytest.approx(0.2)
    assert unit.sum() == pytest.approx(1.2)
