"""A learning-rate range test: the loss of a few steps at rates that rise from step to step.

L. Smith 2015, https://arxiv.org/abs/1506.01186. A good peak lies well below where the loss turns up.
"""

import copy
import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from stages.classifier.network import Classifier
from stages.train_classifier.batches import Batch
from stages.train_classifier.params import RangeTestParams

SMOOTHING = 0.9  # of the loss from step to step: single batches scatter
HOPELESS = 4  # times the least loss so far: the test ends


def range_test(
    network: Classifier,
    batches: Iterable[Batch],
    params: RangeTestParams,
    *,
    optimizer_of: Callable[[Classifier], torch.optim.Optimizer],
    loss_of: Callable[[Classifier, Tensor, Tensor, Tensor], Tensor],
) -> list[dict[str, float]]:
    """The smoothed loss at each rate; `network` and the random generators stay as they are.

    Ends early where the loss is no longer finite, or far above its least.
    """
    trained = copy.deepcopy(network).train()
    optimizer = optimizer_of(trained)
    rows: list[dict[str, float]] = []
    smoothed = 0.0
    devices = [parameter.device for parameter in trained.parameters() if parameter.is_cuda][:1]
    with torch.random.fork_rng(devices=devices):
        for step, (rate, batch) in enumerate(zip(params.rates(), batches, strict=False), start=1):
            for group in optimizer.param_groups:
                group["lr"] = rate
            loss = loss_of(trained, *batch)
            smoothed = SMOOTHING * smoothed + (1 - SMOOTHING) * loss.item()
            unbiased = smoothed / (1 - SMOOTHING**step)  # the mean began at zero
            least = min((row["loss"] for row in rows), default=unbiased)
            if not math.isfinite(unbiased) or unbiased > HOPELESS * least:
                break
            rows.append({"log10_learning_rate": math.log10(rate), "loss": unbiased})
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    return rows
