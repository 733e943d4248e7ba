"""The cache of decoded pictures: however much is decoded, it keeps within its limit, with what is used."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stages.intake import intake
from stages.intake.form import Form
from stages.intake.intake import take_in
from stages.intake.picture_cache import Facts, folder_for, keep_within

FORM = Form(
    width=16,
    height=16,
    channels=3,
    fit="pad",
    ground=0,
    max_pixels=1 << 20,
    refused=frozenset(),
    kept=frozenset(),
)
PICTURES = 10
RUN_BYTES = PICTURES * FORM.row_bytes
LONG_AGO = 1_000_000_000.0


def pictures(folder: Path, run: int) -> list[Path]:
    """Pictures of one run, which no other has."""
    folder.mkdir(exist_ok=True)
    draw = np.random.default_rng(run)
    paths = [folder / f"{run}-{n}.png" for n in range(PICTURES)]
    for path in paths:
        Image.fromarray(draw.integers(0, 255, (16, 16, 3), dtype=np.uint8)).save(path)
    return paths


def decoded(cache: Path, paths: list[Path]) -> list[Facts]:
    tasks = [(path, None) for path in paths]
    return list(take_in(tasks, FORM, folder_for(cache, FORM), processes=0, remember=True))


def grow_old(cache: Path) -> None:
    for path in cache.glob("*/*.rows"):
        os.utime(path, (LONG_AGO, path.stat().st_mtime - 1_000_000))


def held(cache: Path) -> int:
    return sum(path.stat().st_size for path in cache.glob("*/*"))


@pytest.mark.slow
def test_a_cache_keeps_within_its_limit_and_keeps_what_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, often = tmp_path / "cache", pictures(tmp_path / "pictures", 0)
    limit = 4 * RUN_BYTES + 100_000  # the index is a part of it
    monkeypatch.setattr(intake, "LIMIT_BYTES", limit)
    known = decoded(cache, often)
    for run in range(1, 40):
        decoded(cache, pictures(tmp_path / "pictures", run))
        assert decoded(cache, often) == known  # not decoded anew: their pixels stand where they stood
        grow_old(cache)
        assert held(cache) <= limit + 2 * RUN_BYTES


def test_what_was_used_of_late_is_kept_whatever_the_limit(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    decoded(cache, pictures(tmp_path / "pictures", 0))
    before = held(cache)
    keep_within(cache, 0)
    assert held(cache) == before
    grow_old(cache)
    keep_within(cache, 0)
    assert not list(cache.glob("*/*.rows"))


def test_a_picture_whose_pixels_were_removed_is_decoded_again(tmp_path: Path) -> None:
    cache, paths = tmp_path / "cache", pictures(tmp_path / "pictures", 0)
    known = decoded(cache, paths)
    grow_old(cache)
    keep_within(cache, 0)
    again = decoded(cache, paths)
    assert [facts.digest for facts in again] == [facts.digest for facts in known]
    assert decoded(cache, paths) == again
