"""Drift: the features of the pictures that came last, kept from run to run, and how far they lie off."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from stages.core.files import write_atomically
from stages.drift.reference import SIZES, Features, Reference


@dataclass(frozen=True, kw_only=True, slots=True)
class Drift:
    """How far a sample of pictures lies from the training pictures."""

    pictures: int
    """The size of the sample: that many came last."""
    distance: float
    usual: float
    """The median distance of samples of val of that size."""
    furthest: float
    """The greatest distance of such samples."""

    @property
    def left(self) -> bool:
        """Whether the sample lies further off than any of val."""
        return self.distance > self.furthest

    def __str__(self) -> str:
        against = f"of val's samples half lie within {self.usual:.3g}, all within {self.furthest:.3g}"
        said = "are unlike the training pictures" if self.left else "are like the training pictures"
        return f"the last {self.pictures} pictures {said}: distance {self.distance:.3g}; {against}"


class RecentFeatures:
    """Features of the last pictures that one classifier was shown, in a file that is replaced in one step.

    A kill loses those of one batch at most: they tell of a trend, and no row of a prediction is made of them.
    """

    def __init__(self, path: Path, reference: Reference) -> None:
        """Read what the file at `path` holds, unless it is of another reference or damaged."""
        self._path, self._reference = path, reference
        self._key = hashlib.sha256(reference.mean.tobytes() + reference.covariance.tobytes()).hexdigest()
        self._features = self._read()

    def _read(self) -> Features:
        none = np.zeros((0, len(self._reference.mean)), dtype=np.float32)
        try:
            found = load(self._path.read_bytes())
        except (OSError, SafetensorError):
            return none
        kept = found.get(self._key, none)
        return kept if kept.dtype == np.float32 and kept.shape[1:] == none.shape[1:] else none

    def add(self, features: Features) -> None:
        """Keep features [N, F] of pictures that have come, and as many of those before as a sample takes."""
        self._features = np.concatenate([self._features, features])[-SIZES[-1] :]
        write_atomically(self._path, save({self._key: np.ascontiguousarray(self._features)}))

    def drift(self) -> Drift | None:
        """How far the last pictures lie from the training pictures; None: they are too few.

        Raises:
            ModelError: A feature is not finite.

        """
        fitting = [number for number, size in enumerate(self._reference.sizes) if size <= len(self._features)]
        if not fitting:
            return None
        size = int(self._reference.sizes[fitting[-1]])
        return Drift(
            pictures=size,
            distance=self._reference.distance(self._features[-size:]),
            usual=float(self._reference.usual[fitting[-1]]),
            furthest=float(self._reference.furthest[fitting[-1]]),
        )
