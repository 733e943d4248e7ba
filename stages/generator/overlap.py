"""How far the features of generated and real pictures overlap: precision, recall, density and coverage."""

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from stages.core.errors import DataError

Features = npt.NDArray[np.floating]

ROWS = 1000  # of the distance matrix at a time: 80 MB against 10,000 pictures


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifold:
    """How the two sets overlap, each taken as the union of balls that reach to the k-th neighbour."""

    precision: float
    """Share of generated pictures that lie among the real ones (Kynkaanniemi et al. 2019)."""
    recall: float
    """Share of real pictures that lie among the generated ones (Kynkaanniemi et al. 2019)."""
    density: float
    """How many real balls hold a generated picture, over k; may pass 1 (Naeem et al. 2020)."""
    coverage: float
    """Share of real balls that hold a generated picture (Naeem et al. 2020)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Overlap:
    """Precision, recall, density and coverage picture by picture; their means are `Manifold`'s."""

    precision: npt.NDArray[np.bool_]
    """[M]: does a generated picture lie among the real ones."""
    recall: npt.NDArray[np.bool_]
    """[N]: does a real picture lie among the generated ones."""
    density: npt.NDArray[np.float64]
    """[M]: in how many real balls does a generated picture lie, over k."""
    coverage: npt.NDArray[np.bool_]
    """[N]: does a real ball hold a generated picture."""

    def figures(self) -> Manifold:
        """The means over all pictures."""
        return Manifold(**{entry.name: float(getattr(self, entry.name).mean()) for entry in fields(self)})


def manifold_overlap(real: Features, generated: Features, *, neighbours: int) -> Manifold:
    """Precision, recall, density and coverage of features [N, D] against [M, D].

    Raises:
        DataError: A set has no more than `neighbours` pictures.

    """
    return overlap(real, generated, neighbours=neighbours).figures()


def overlap(real: Features, generated: Features, *, neighbours: int) -> Overlap:
    """How features [N, D] overlap with [M, D], picture by picture.

    Raises:
        DataError: A set has no more than `neighbours` pictures.

    """
    require_at_least(neighbours + 1, real, generated)
    reals, fakes = to_tensor(real), to_tensor(generated)
    real_radii, fake_radii = _radii(reals, neighbours), _radii(fakes, neighbours)
    real_found: list[Tensor] = []  # is a real picture among the generated ones
    balls_filled: list[Tensor] = []  # does a real ball hold a generated picture
    balls_around = torch.zeros(len(fakes))  # in how many real balls a generated picture lies
    for rows, radii in zip(torch.split(reals, ROWS), torch.split(real_radii, ROWS), strict=True):
        distances = torch.cdist(rows, fakes)  # [rows, M]
        inside = distances <= radii[:, None]
        balls_around += inside.sum(dim=0)
        balls_filled.append(inside.any(dim=1))
        real_found.append((distances <= fake_radii).any(dim=1))
    return Overlap(
        precision=(balls_around > 0).numpy(),
        recall=torch.cat(real_found).numpy(),
        density=balls_around.double().numpy() / neighbours,
        coverage=torch.cat(balls_filled).numpy(),
    )


def _radii(points: Tensor, neighbours: int) -> Tensor:
    """Distance of every point to its k-th neighbour, [N]; itself is the nearest, hence k + 1."""
    radii = [
        torch.cdist(rows, points).kthvalue(neighbours + 1, dim=1).values for rows in torch.split(points, ROWS)
    ]
    return torch.cat(radii)


def to_tensor(features: Features) -> Tensor:
    """Features [N, D] of either kind as a tensor float64 [N, D]."""
    # cdist squares differences of sums: in float32 near neighbours would drown in rounding.
    return torch.from_numpy(np.asarray(features, dtype=np.float64))


def require_at_least(pictures: int, real: Features, generated: Features) -> None:
    """Refuse features [N, D] of too few pictures, and features that are not finite.

    Raises:
        DataError: There are fewer than so many real or generated pictures, or a feature is NaN or infinite.

    """
    for name, features in (("real", real), ("generated", generated)):
        if len(features) < pictures:
            raise DataError(
                f"{len(features)} {name} pictures, the metric needs {pictures}: take more samples"
            )
        if not (finite := np.isfinite(features).all(axis=1)).all():
            raise DataError(
                f"{(~finite).sum()} of {len(features)} {name} pictures have features that are NaN or "
                f"infinite, first number {(~finite).argmax()}: train the network that makes them again"
            )
