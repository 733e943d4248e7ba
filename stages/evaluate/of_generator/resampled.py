"""The figures of generated pictures on halves of both sets, real ones and generated: how sure they are.

Halves of one set alone would leave out what the other one adds: precision depends on which real pictures
there are as much as on which generated ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from stages.evaluate.of_generator.metrics import frechet_distances, kernel_distances
from stages.evaluate.resampling import SEED, DrawCounts, Resampled, halves
from stages.generator.overlap import ROWS, Features, to_tensor


def resampled_distances(real: Features, generated: Features, *, neighbours: int, resamples: int) -> Resampled:
    """Every figure of features [M, D] against real ones [N, D], in halves of both: [R] each, by name."""
    of_real = np.stack(list(halves(len(real), resamples)))
    of_generated = np.stack(halves_of_generated(len(generated), resamples))
    drawn = list(zip(of_real, of_generated, strict=True))
    return {
        "frechet_distance": frechet_distances(real, generated, of_real, of_generated),
        "kernel_distance": kernel_distances(real, generated, of_real, of_generated),
        **resampled_overlap(real, generated, drawn, neighbours=neighbours),
    }


def halves_of_generated(pictures: int, resamples: int) -> list[DrawCounts]:
    """Halves of the generated pictures: others than those of as many real ones."""
    return list(halves(pictures, resamples, seed=SEED + 1))


def resampled_overlap(
    real: Features,
    generated: Features,
    drawn: Sequence[tuple[DrawCounts, DrawCounts]],
    *,
    neighbours: int,
) -> Resampled:
    """`stages.generator.overlap.overlap`'s figures of every two halves, real [N] and generated [M]: [R] each.

    Distances are measured once, and not again for each half. A half that has no k-th neighbour has nan.
    """
    around_real = _Balls.measure(real, generated, neighbours)
    around_generated = _Balls.measure(generated, real, neighbours)
    rows = []
    for of_real, of_generated in drawn:
        if min(of_real.sum(), of_generated.sum()) <= neighbours:
            rows.append((np.nan,) * 4)
            continue
        balls, held = around_real.holding(of_real, of_generated, neighbours)
        _, recalled = around_generated.holding(of_generated, of_real, neighbours)
        rows.append(
            (
                np.count_nonzero(held) / of_generated.sum(),
                np.count_nonzero(recalled) / of_real.sum(),
                held.sum() / neighbours / of_generated.sum(),
                np.count_nonzero(balls) / of_real.sum(),
            )
        )
    names = ("precision", "recall", "density", "coverage")
    return dict(zip(names, np.array(rows).T, strict=True))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Balls:
    """Which of M other points lie in the balls around N points, whichever of both are in a half."""

    near: npt.NDArray[np.int64]
    """[N, L]: the points nearest to each, itself first."""
    ball: npt.NDArray[np.int32]
    """[P]: the point around which a ball may hold another point."""
    other: npt.NDArray[np.int32]
    """[P]: that other point."""
    reach: npt.NDArray[np.int16]
    """[P]: it does so where the ball reaches to this one of the nearest points, or farther."""

    @classmethod
    def measure(cls, points: Features, others: Features, neighbours: int) -> "_Balls":
        """Find the balls of points [N, D], and which of the others [M, D] they hold."""
        # Of the 4k + 40 nearest points hardly ever fewer than k are in a half: once in 10^11 for k = 5.
        listed = min(len(points), 4 * neighbours + 40)
        all_points, all_others = to_tensor(points), to_tensor(others)
        near, pairs, reach = [], [], []
        for start, rows in enumerate(torch.split(all_points, ROWS)):
            nearest = torch.cdist(rows, all_points).topk(listed, dim=1, largest=False)
            near.append(nearest.indices.numpy())
            distances = torch.cdist(rows, all_others)
            found = (distances <= nearest.values[:, -1:]).nonzero()  # [p, 2]
            within = distances[found[:, 0], found[:, 1]]
            reach.append(_places(nearest.values, found[:, 0], within))
            pairs.append((found + torch.tensor([start * ROWS, 0])).numpy().astype(np.int32))
        ball, other = np.concatenate(pairs).T
        return cls(near=np.concatenate(near), ball=ball, other=other, reach=np.concatenate(reach))

    def holding(
        self, points: DrawCounts, others: DrawCounts, neighbours: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Count the other points in each ball, [N], and the balls around each other point, [M].

        Balls reach to the k-th neighbour among the points [N] of the half.
        """
        so_far = points[self.near].cumsum(axis=1)
        radius = (so_far <= neighbours).sum(axis=1)  # the place of the k-th neighbour; itself is the first
        inside = (self.reach <= radius[self.ball]) & (points[self.ball] > 0) & (others[self.other] > 0)
        return (
            np.bincount(self.ball[inside], minlength=len(points)),
            np.bincount(self.other[inside], minlength=len(others)),
        )


def _places(sorted_rows: torch.Tensor, rows: torch.Tensor, values: torch.Tensor) -> npt.NDArray[np.int16]:
    """The place [P] that each value [P] would have in its sorted row of [N, L], before equal ones."""
    places = np.empty(len(values), dtype=np.int16)
    ends = torch.searchsorted(rows, torch.arange(len(sorted_rows) + 1))
    for row, (start, end) in enumerate(zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True)):
        places[start:end] = torch.searchsorted(sorted_rows[row], values[start:end]).numpy()
    return places
