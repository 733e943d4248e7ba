"""Exponential averages of the weights over the steps of training."""

from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

Weights = list[Tensor] | tuple[Tensor, ...]


def averaged_model(network: nn.Module, decay: float) -> AveragedModel:
    """A copy of the network that follows it; a step's part in it is one minus `decay`, at first more.

    After n steps the decay is at most (1 + n) / (10 + n), so that the random weights of the start are soon
    forgotten, however slow the average is (`num_updates` of TensorFlow's ExponentialMovingAverage).
    """

    def average(averaged: Weights, current: Weights, steps: Tensor | int) -> None:
        done = int(steps)
        average_by = get_ema_multi_avg_fn(min(decay, (1 + done) / (10 + done)))  # type: ignore[no-untyped-call]
        average_by(averaged, current, steps)

    return AveragedModel(network, multi_avg_fn=average, use_buffers=True)
