"""The last pictures: a sample like those of val is usual, one of other pictures is not; it outlives a run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stages.drift.reference import (
    SIZES,
    Features,
    Reference,
    make_reference,
)
from stages.score.recent import RecentFeatures

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


def test_samples_like_vals_are_usual_and_others_are_not(reference: Reference, tmp_path: Path) -> None:
    alarms = 0
    for seed in range(100, 150):
        recent = RecentFeatures(tmp_path / f"{seed}.safetensors", reference)
        recent.add(features(200, seed))
        found = recent.drift()
        assert found is not None
        assert found.pictures == 200
        alarms += found.left
    assert alarms <= 5
    for other in ({"shift": 0.5}, {"scale": 1.5}, {"scale": 0.5}):
        recent = RecentFeatures(tmp_path / "other.safetensors", reference)
        recent.add(features(SIZES[-1], 5, **other))
        found = recent.drift()
        assert found is not None
        assert found.left
        assert "are unlike the training pictures" in str(found)


def test_the_last_pictures_count_and_are_kept_from_run_to_run(reference: Reference, tmp_path: Path) -> None:
    path = tmp_path / "recent.safetensors"
    assert RecentFeatures(path, reference).drift() is None
    RecentFeatures(path, reference).add(features(SIZES[-1], 5, shift=3.0))
    before = RecentFeatures(path, reference).drift()
    RecentFeatures(path, reference).add(
        np.concatenate([features(SIZES[-1] // 2, 6), features(SIZES[-1] // 2, 8)])
    )
    after = RecentFeatures(path, reference).drift()
    assert before is not None
    assert after is not None
    assert (before.left, after.left) == (True, False)
    other = make_reference(features(2000, 10), features(500, 11), seed=7)
    assert other is not None
    assert RecentFeatures(path, other).drift() is None, "those of another classifier do not count"


def test_a_damaged_file_of_recent_features_begins_anew(reference: Reference, tmp_path: Path) -> None:
    path = tmp_path / "recent.safetensors"
    path.write_bytes(b"no safetensors")
    recent = RecentFeatures(path, reference)
    recent.add(features(SIZES[0], 2))
    assert RecentFeatures(path, reference).drift() is not None
