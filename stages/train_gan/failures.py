"""Failures of adversarial training, noticed while it runs: one network wins outright, or a collapse."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

from stages.core.errors import TrainingError
from stages.generator.overlap import manifold_overlap
from stages.train_gan.params import FailureParams

SIDE = 16  # pixels: details below say nothing of which pictures there are
NEIGHBOURS = 5


def recall(real: npt.NDArray[np.uint8], generated: npt.NDArray[np.uint8]) -> float:
    """Share of real pictures [N, H, W, C] that lie among generated ones [M, H, W, C], seen from far away."""
    neighbours = min(NEIGHBOURS, len(real) - 1, len(generated) - 1)
    if neighbours < 1:
        return 1.0  # nothing to tell of a single picture
    return manifold_overlap(_coarse(real), _coarse(generated), neighbours=neighbours).recall


def _coarse(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    pictures: Tensor = torch.tensor(images).permute(0, 3, 1, 2).float()  # [N, C, H, W]
    small = F.adaptive_avg_pool2d(pictures, (min(SIDE, pictures.shape[2]), min(SIDE, pictures.shape[3])))
    flat: npt.NDArray[np.float32] = small.flatten(1).numpy()
    return flat


def troubles(
    steps: Sequence[Mapping[str, float]], recalled: float, params: FailureParams, *, wins: bool, young: bool
) -> Iterator[str]:
    """What is wrong after an epoch, each with the step since when; `steps` are the figures of its steps.

    `wins`: whether a discriminator that tells all apart is a failure of this loss. `young`: whether a low
    recall is none yet.
    """
    since = won_since(steps, params) if wins else None
    if since is not None:
        yield (
            f"step {since}: the discriminator wins outright, it tells real and fake pictures apart"
            f" more often than {params.discriminator_accuracy_max} of the time since; lower"
            " train-gan.discriminator_learning_rate, or augment"
        )
    if recalled < params.recall_min and not young:
        yield (
            f"step {len(steps)}: collapse, only {recalled:.4f} of the real pictures lie among generated ones;"
            " lower train-gan.class_weight or the learning rates, or train longer"
        )


def won_since(steps: Sequence[Mapping[str, float]], params: FailureParams) -> int | None:
    """The step, from 1, since when the discriminator tells nearly all apart; None if not at the end."""
    accuracies = pd.DataFrame(steps)[["d_accuracy_real", "d_accuracy_fake"]].min(axis=1)
    window = min(params.window, len(accuracies))
    above = accuracies.rolling(window).mean().to_numpy() > params.discriminator_accuracy_max
    if not above[-1]:
        return None
    within = np.flatnonzero(~above)  # the first steps too, which fill no window
    return int(within[-1]) + 3 - window if len(within) else 1


def fail(
    history: Sequence[Mapping[str, float]], found: Sequence[str], params: FailureParams, *, epochs: int
) -> None:
    """End training if `found`, the last epoch's troubles, have lasted, or if it was the last epoch of all.

    Raises:
        TrainingError: Training has failed; the message has all troubles, and since which epoch.

    """
    lasting = len(history) >= params.patience and all(row["troubles"] for row in history[-params.patience :])
    if found and (lasting or len(history) == epochs):
        now = len(history)
        since = 1 + max(
            (epoch for epoch, row in enumerate(history, start=1) if not row["troubles"]), default=0
        )
        met = [f"epoch {now}, {trouble}" for trouble in found]
        met += [f"in trouble since epoch {since}"] if since < now else []
        raise TrainingError(f"{'; '.join(met)}; no generator is written; if none is wanted: train-gan: null")
