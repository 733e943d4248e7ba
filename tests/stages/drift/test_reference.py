"""The reference: distances as worked by hand and as torchmetrics has them; read as it was written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torchmetrics.image.fid import _compute_fid

from stages.core.errors import DataError, ModelError
from stages.drift.reference import (
    SIZES,
    Features,
    Reference,
    make_reference,
    read_reference,
    write_reference,
)

WIDTH = 12


def features(count: int, seed: int, *, shift: float = 0.0, scale: float = 1.0) -> Features:
    """Gaussian features whose axes are not independent."""
    mixing = np.random.default_rng(99).normal(size=(WIDTH, WIDTH))
    drawn = np.random.default_rng(seed).normal(size=(count, WIDTH)) * scale + shift
    return (drawn @ mixing).astype(np.float32)


@pytest.fixture(scope="module")
def reference() -> Reference:
    made = make_reference(features(2000, 0), features(500, 1), seed=7)
    assert made is not None
    return made


def test_distance_of_two_pictures_worked_by_hand() -> None:
    # In one dimension the distance is (m - M)^2 + (s - S)^2: here (3 - 0)^2 + (sqrt(2) - 2)^2.
    one = np.zeros(1, dtype=np.float32)
    known = Reference(
        mean=one,
        covariance=np.array([[4.0]], dtype=np.float32),
        sizes=np.array([50]),
        usual=one,
        furthest=one,
    )
    sample = np.array([[2.0], [4.0]], dtype=np.float32)  # mean 3, variance 2
    assert known.distance(sample) == pytest.approx(9 + (2**0.5 - 2) ** 2)


@pytest.mark.parametrize("count", [5, 60, 300])
def test_distance_is_torchmetrics_for_samples_smaller_and_larger_than_their_width(
    reference: Reference, count: int
) -> None:
    sample = features(count, 3, shift=0.3)
    moments = [torch.from_numpy(one.astype(np.float64)) for one in (reference.mean, reference.covariance)]
    double = torch.from_numpy(sample.astype(np.float64))
    theirs = _compute_fid(*moments, double.mean(dim=0), torch.cov(double.T))
    assert reference.distance(sample) == pytest.approx(float(theirs), rel=1e-4)


def test_reference_is_read_as_it_was_written_and_the_same_seed_gives_the_same_bytes(
    reference: Reference, tmp_path: Path
) -> None:
    paths = [tmp_path / name for name in ("one", "two")]
    for path in paths:
        write_reference(path, make_reference(features(2000, 0), features(500, 1), seed=7))
    assert paths[0].read_bytes() == paths[1].read_bytes()
    read = read_reference(paths[0])
    assert read is not None
    sample = features(100, 4)
    assert read.distance(sample) == reference.distance(sample)


def test_too_few_pictures_have_no_reference_and_that_is_written_too(tmp_path: Path) -> None:
    assert make_reference(features(2000, 0), features(SIZES[0] - 1, 1), seed=7) is None
    write_reference(tmp_path / "none", None)
    assert read_reference(tmp_path / "none") is None


def test_what_cannot_be_compared_is_refused_in_a_line(reference: Reference, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="features of 3 numbers, the reference has 12"):
        reference.distance(np.zeros((60, 3), dtype=np.float32))
    with pytest.raises(ModelError, match="not finite"):
        reference.distance(np.full((60, WIDTH), np.nan, dtype=np.float32))
    (tmp_path / "damaged").write_bytes(b"{}")
    for name in ("damaged", "missing"):
        with pytest.raises(DataError, match="cannot be read"):
            read_reference(tmp_path / name)
