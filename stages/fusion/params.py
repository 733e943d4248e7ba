"""The methods of fusion and of alignment by name, and the parameters of weights."""

from collections.abc import Sequence
from typing import Literal

Method = Literal["average", "maximum", "laplacian", "wavelet", "exposure", "guided", "features"]

Registration = Literal["check", "none", "ecc", "features"]
"""check: refuse pictures that seem moved, turned or scaled, in doubt take them; none: take them as they are;
ecc: move and turn them by how alike they are, for small motions; features: move, turn and scale them by
points found in both, for large ones."""

NEARLY = 1e-5 + 1e-8
"""How far a sum of weights may be from 1: as in numpy's isclose."""


def check_weights(weights: Sequence[float]) -> None:
    """Refuse weights that are not an average's.

    Raises:
        ValueError: One is negative, or they do not sum to 1.

    """
    if min(weights, default=0.0) < 0:
        raise ValueError(f"a weight is negative: {min(weights):g}")
    if not abs(sum(weights) - 1.0) <= NEARLY:  # NaN is not
        raise ValueError(f"weights must sum to 1, these sum to {sum(weights):g}")
