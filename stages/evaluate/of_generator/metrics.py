"""How good generated pictures are, from features [N, D] of real and of generated ones.

The features are whatever layer the caller trusts: here the classifier's layer before its head. Distances
on them compare two generators under the same classifier, never with figures taken on Inception features.
No single figure suffices: a generator collapsed to a few good pictures scores well on precision and on
conditional accuracy, and only recall and coverage tell.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import poly_mmd

from stages.evaluate.resampling import DrawCounts
from stages.generator.overlap import ROWS, Features, require_at_least, to_tensor


def frechet_distance(real: Features, generated: Features) -> float:
    """Frechet distance between gaussians fitted to [N, D] and [M, D] (Heusel et al. 2017); 0 is best.

    Raises:
        DataError: fewer than two pictures in a set.

    """
    require_at_least(2, real, generated)
    metric = FrechetInceptionDistance(feature=_ReadyFeatures(real.shape[1])).set_dtype(torch.float64)
    metric.update(to_tensor(real), real=True)
    metric.update(to_tensor(generated), real=False)
    return float(metric.compute())


def kernel_distance(
    real: Features, generated: Features, *, subsets: int, subset_size: int, seed: int
) -> float:
    """KID (Binkowski et al. 2018): unbiased squared MMD with a cubic kernel, the mean over random subsets.

    0 is best; being unbiased, it may come out a little below.

    Raises:
        DataError: a set smaller than `subset_size`.

    """
    require_at_least(subset_size, real, generated)
    draw = torch.Generator().manual_seed(seed)
    distances = [
        poly_mmd(_subset(real, subset_size, draw), _subset(generated, subset_size, draw))
        for _ in range(subsets)
    ]
    return float(torch.stack(distances).mean())


@dataclass(frozen=True, kw_only=True, slots=True)
class Memorisation:
    """How near pictures lie to those of the training."""

    distance: float
    """Median distance to the nearest training picture, in grey levels a pixel (root of the mean square)."""
    memorised: float
    """Share that lies nearer than all but one in a hundred of the pictures never trained on."""


MEMORISED = 0.01  # of the pictures never trained on lie as near by chance


def memorisation(distances: Features, unseen_distances: Features) -> Memorisation:
    """Compare distances [N] to the nearest training picture with those [M] of pictures never trained on."""
    return Memorisation(
        distance=float(np.median(distances)),
        memorised=float((distances < np.quantile(unseen_distances, MEMORISED)).mean()),
    )


def nearest(pictures: Features, training: Features) -> tuple[Features, npt.NDArray[np.int64]]:
    """Distance of each of [N, D] to the nearest of [M, D], root of the mean square, and which that is."""
    among, squares = torch.from_numpy(training), torch.from_numpy(training).square().sum(dim=1)  # [M]
    distances, places = [], []
    for rows in torch.split(torch.from_numpy(pictures), ROWS):
        # |a - b|^2 by one product of matrices: exact enough, and several times as fast
        found = (squares - 2 * rows @ among.T).min(dim=1)
        distances.append((found.values + rows.square().sum(dim=1)).clamp_min(0))
        places.append(found.indices)
    mean_square = torch.cat(distances).numpy() / pictures.shape[1]
    return np.sqrt(mean_square), torch.cat(places).numpy()


def conditional_accuracy(predicted: npt.NDArray[np.int64], asked: npt.NDArray[np.int64]) -> float:
    """Share of generated pictures [N] that a classifier takes for the class asked for."""
    return float((predicted == asked).mean())


def resampled_distances(
    real: Features,
    generated: Features,
    real_drawn: Iterable[DrawCounts],
    generated_drawn: Iterable[DrawCounts],
) -> npt.NDArray[np.float64]:
    """Frechet distance of the pictures in every draw of both: [R].

    All are a little greater than that of all pictures, as those of fewer pictures are.
    """
    return np.array(
        [
            frechet_distance(np.repeat(real, of_real, axis=0), np.repeat(generated, of_generated, axis=0))
            for of_real, of_generated in zip(real_drawn, generated_drawn, strict=True)
        ]
    )


class _ReadyFeatures(nn.Module):
    """torchmetrics asks for a network that makes features; ours are made already."""

    def __init__(self, dimensions: int) -> None:
        super().__init__()
        self.num_features = dimensions

    def forward(self, features: Tensor) -> Tensor:
        return features


def _subset(features: Features, size: int, draw: torch.Generator) -> Tensor:
    return to_tensor(features)[torch.randperm(len(features), generator=draw)[:size]]
