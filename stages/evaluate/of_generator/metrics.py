"""How good generated pictures are, from features [N, D] of real and of generated ones.

The features are whatever layer the caller trusts: here the classifier's layer before its head. Distances
on them compare two generators under the same classifier, never with figures taken on Inception features.
No single figure suffices: a generator collapsed to a few good pictures scores well on precision and on
conditional accuracy, and only recall and coverage tell.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from stages.evaluate.resampling import DrawCounts
from stages.generator.overlap import ROWS, Features, require_at_least, to_tensor


def frechet_distance(real: Features, generated: Features) -> float:
    """Frechet distance between gaussians fitted to [N, D] and [M, D] (Heusel et al. 2017); 0 is best.

    Raises:
        DataError: Fewer than two pictures in a set.

    """
    require_at_least(2, real, generated)
    (mean, root), (other_mean, other_root) = map(_gaussian, (real, generated))
    # With covariances R'R and S'S the trace of the root of their product is the sum of R S's singular values.
    shared = np.linalg.svd(root @ other_root.T, compute_uv=False).sum()
    return float(
        np.square(mean - other_mean).sum() + np.square(root).sum() + np.square(other_root).sum() - 2 * shared
    )


def frechet_distances(
    real: Features, generated: Features, real_drawn: DrawCounts, generated_drawn: DrawCounts
) -> npt.NDArray[np.float64]:
    """Frechet distance of the pictures in every draw, of real ones [R, N] and of generated ones [R, M]: [R].

    A draw has no picture twice; where it has fewer than two real or two generated ones there is nan.
    """
    drawn = zip(real_drawn > 0, generated_drawn > 0, strict=True)
    return np.array(
        [
            frechet_distance(real[reals], generated[fakes]) if min(reals.sum(), fakes.sum()) > 1 else np.nan
            for reals, fakes in drawn
        ]
    )


def _gaussian(features: Features) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The mean of features [N, D], [D], and R of their covariance R'R, [min(N, D), D].

    Of a few pictures with many features the covariance itself would be large and singular; R is neither.
    """
    values = features.astype(np.float64)
    mean = values.mean(axis=0)
    triangle = np.linalg.qr((values - mean) / np.sqrt(len(values) - 1), mode="r")
    return mean, np.asarray(triangle, dtype=np.float64)  # which numpy's types take for two matrices


def kernel_distance(real: Features, generated: Features) -> float:
    """KID (Binkowski et al. 2018): the unbiased squared MMD with a cubic kernel, of [N, D] and [M, D].

    0 is best; being unbiased, it may come out a little below. It is that of all pictures, where others take
    the mean over random subsets of them: the same value on average, without a choice of subsets to vary by.

    Raises:
        DataError: Fewer than two pictures in a set.

    """
    require_at_least(2, real, generated)
    ones = (np.ones((1, len(features)), dtype=np.int64) for features in (real, generated))
    return float(kernel_distances(real, generated, *ones)[0])


def kernel_distances(
    real: Features, generated: Features, real_drawn: DrawCounts, generated_drawn: DrawCounts
) -> npt.NDArray[np.float64]:
    """KID of the pictures in every draw, of real ones [R, N] and of generated ones [R, M]: [R].

    Gretton et al., "A kernel two-sample test" (2012), its unbiased estimate: no picture is compared with
    itself. A draw has no picture twice; where it has fewer than two real or two generated ones there is nan.
    """
    reals, fakes = to_tensor(real), to_tensor(generated)
    of_real, of_fakes = (torch.from_numpy(drawn).double() for drawn in (real_drawn, generated_drawn))
    within = _kernel_means(reals, of_real) + _kernel_means(fakes, of_fakes)
    across = _kernel_sums(reals, fakes, of_real, of_fakes) / (of_real.sum(dim=1) * of_fakes.sum(dim=1))
    return (within - 2 * across).numpy()


def _kernel_means(features: Tensor, drawn: Tensor) -> Tensor:
    """The mean kernel of two different pictures of each draw: [R]."""
    number = drawn.sum(dim=1)
    same = drawn @ _cubic(features.square().sum(dim=1), features.shape[1])
    return (_kernel_sums(features, features, drawn, drawn) - same) / (number * (number - 1))


def _kernel_sums(first: Tensor, second: Tensor, of_first: Tensor, of_second: Tensor) -> Tensor:
    """The kernel summed over all pairs of each draw [R, N] and [R, M]: [R]."""
    total = torch.zeros(len(of_first), dtype=torch.float64)
    parts = zip(torch.split(first, ROWS), torch.split(of_first, ROWS, dim=1), strict=True)
    for rows, drawn in parts:
        kernel = _cubic(rows @ second.T, first.shape[1])
        total += ((drawn @ kernel) * of_second).sum(dim=1)
    return total


def _cubic(products: Tensor, dimensions: int) -> Tensor:
    """KID's kernel: (x y / D + 1)^3."""
    return (products / dimensions + 1) ** 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Memorisation:
    """How near pictures lie to those of the training."""

    distance: float
    """Median distance to the nearest training picture, in grey levels a pixel (root of the mean square)."""
    memorised: float
    """Share that lies nearer (not: as near) than all but one in a hundred pictures never trained on."""


MEMORISED = 0.01  # of the pictures never trained on lie nearer by chance


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
