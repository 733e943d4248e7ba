"""Weights averaged over the steps of training."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from stages.training.averaging import averaged_model


def follow(decay: float, weights: list[float]) -> float:
    """The averaged weight of a network whose only one takes these values, step by step."""
    network = nn.Linear(1, 1, bias=False)
    averaged = averaged_model(network, decay)
    for weight in weights:
        nn.init.constant_(network.weight, weight)
        averaged.update_parameters(network)
    return float(averaged.module.weight.detach())


def test_the_first_steps_count_for_more() -> None:
    # 1; then 2/11 of it and 9/11 of 2; then 3/12 of that and 9/12 of 4
    second = 2 / 11 * 1 + 9 / 11 * 2
    assert follow(0.9, [1.0, 2.0]) == pytest.approx(second)
    assert follow(0.9, [1.0, 2.0, 4.0]) == pytest.approx(3 / 12 * second + 9 / 12 * 4)


def test_the_start_is_soon_forgotten() -> None:
    plain = 0.9995**499
    assert plain > 0.7
    assert follow(0.9995, [1.0] + [0.0] * 499) < 1e-6


def test_in_the_end_the_decay_is_as_set() -> None:
    at_last = follow(0.9, [0.0] * 200 + [1.0])
    assert at_last == pytest.approx(0.1)


def test_the_network_itself_is_left_alone() -> None:
    network = nn.Linear(2, 1)
    averaged = averaged_model(network, 0.5)
    averaged.update_parameters(network)
    with torch.no_grad():
        network.weight.add_(1.0)
    averaged.update_parameters(network)
    assert torch.allclose(network.weight - averaged.module.weight, torch.full((1, 2), 2 / 11))
