"""The reference: mean and covariance of the training pictures' features, and the distances that are usual.

Features are a classifier's layer before its head. The distance of a sample is the squared Frechet distance
between two gaussians, one fitted to the training pictures and one to the sample (D. Dowson, B. Landau 1982;
M. Heusel et al. 2017, https://arxiv.org/abs/1706.08500). A small sample lies further off by chance alone, so
what is usual is measured for several sizes, on pictures of val: the classifier was not trained on them, as it
was not on those that come.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load, save

from stages.core.errors import DataError, ModelError
from stages.core.files import write_atomically

Features = npt.NDArray[np.float32]
"""[N, F]: a row a picture."""

SIZES = (50, 100, 200, 400)
"""Pictures in a sample. With fewer than the first nothing can be said; more than the last add little."""
DRAWS = 200
"""Samples of val of each size; so one in about so many samples of pictures like val's lies further off."""
TRAIN_MOST = 10_000
"""Training pictures, drawn at random, that the mean and the covariance are taken of."""
ARRAYS = {"mean", "covariance", "sizes", "usual", "furthest"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Reference:
    """What samples of pictures are compared with."""

    mean: Features
    """float32 [F]."""
    covariance: Features
    """float32 [F, F]."""
    sizes: npt.NDArray[np.int64]
    """int64 [S]: pictures in a sample, rising."""
    usual: npt.NDArray[np.float32]
    """float32 [S]: the median distance of samples of val, by size."""
    furthest: npt.NDArray[np.float32]
    """float32 [S]: the greatest distance of samples of val, by size."""

    def distance(self, features: Features) -> float:
        """The squared Frechet distance of features [N, F] from those of the training pictures.

        Raises:
            ModelError: The features have another width, or are not all finite.

        """
        if features.shape[1:] != self.mean.shape:
            raise ModelError(f"features of {features.shape[1]} numbers, the reference has {len(self.mean)}")
        require_finite(features)
        sample, covariance = features.astype(np.float64), self.covariance.astype(np.float64)
        mean, variance = self.mean.astype(np.float64), float(np.trace(covariance))
        return frechet(sample, sample @ square_root(covariance), mean, variance)


def require_finite(features: Features) -> None:
    """Refuse features that are not numbers.

    Raises:
        ModelError: One is not finite.

    """
    if not np.isfinite(features).all():
        raise ModelError("the classifier's features are not finite; train it again")


def square_root(covariance: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The symmetric root [F, F] of a covariance [F, F]; what rounding made negative counts as 0."""
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray((vectors * np.sqrt(np.clip(values, 0.0, None))) @ vectors.T)


def frechet(
    sample: npt.NDArray[np.float64],
    rooted: npt.NDArray[np.float64],
    mean: npt.NDArray[np.float64],
    variance: float,
) -> float:
    """|m - M|^2 + tr(C) + tr(S) - 2 tr((C S)^(1/2)) of a sample [N, F] with mean m and covariance S.

    `rooted` is sample @ C^(1/2), and `variance` is tr(C). The last trace is the sum of the singular values of
    the centred `rooted`, over the root of N - 1.
    """
    centred, narrow = (rows - rows.mean(axis=0) for rows in (sample, rooted))
    gram = narrow @ narrow.T if len(narrow) < narrow.shape[1] else narrow.T @ narrow
    common = np.sqrt(np.clip(np.linalg.eigvalsh(gram), 0.0, None)).sum() / (len(sample) - 1) ** 0.5
    spread = (centred**2).sum() / (len(sample) - 1)
    return max(0.0, float(((sample.mean(axis=0) - mean) ** 2).sum() + variance + spread - 2 * common))


def make_reference(train: Features, val: Features, *, seed: int) -> Reference | None:
    """The reference of features of train [N, F] and of val [M, F]; None: they are too few to say anything.

    Samples of val are drawn with replacement, and are no larger than val.

    Raises:
        ModelError: A feature is not finite.

    """
    sizes = [size for size in SIZES if size <= len(val)]
    if not sizes or len(train) < SIZES[0]:
        return None
    require_finite(train)
    require_finite(val)
    known = train.astype(np.float64)
    mean, covariance = known.mean(axis=0), np.atleast_2d(np.cov(known, rowvar=False))
    unseen = val.astype(np.float64)
    rooted, variance = unseen @ square_root(covariance), float(np.trace(covariance))
    generator = np.random.default_rng(seed)
    distances = []
    for size in sizes:
        draws = generator.integers(len(unseen), size=(DRAWS, size))
        distances.append([frechet(unseen[draw], rooted[draw], mean, variance) for draw in draws])
    return Reference(
        mean=mean.astype(np.float32),
        covariance=covariance.astype(np.float32),
        sizes=np.array(sizes, dtype=np.int64),
        usual=np.median(distances, axis=1).astype(np.float32),
        furthest=np.max(distances, axis=1).astype(np.float32),
    )


def write_reference(path: Path, reference: Reference | None) -> None:
    """Write the reference to `path`, atomically; None: a file that says that there is none."""
    arrays = {name: np.ascontiguousarray(getattr(reference, name)) for name in ARRAYS} if reference else {}
    write_atomically(path, save(arrays))


def read_reference(path: Path) -> Reference | None:
    """What `write_reference` wrote.

    Raises:
        DataError: The file is missing or damaged.

    """
    try:
        arrays = load(path.read_bytes())
    except (OSError, SafetensorError) as error:
        raise DataError(f"{path}: cannot be read ({error}); `evaluate` writes it") from None
    if not arrays:
        return None
    if set(arrays) != ARRAYS:
        raise DataError(f"{path}: holds {sorted(arrays)}, not {sorted(ARRAYS)}; `evaluate` writes it")
    return Reference(**arrays)
