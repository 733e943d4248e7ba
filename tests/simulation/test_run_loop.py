"""Ten thousand pipelines whose runs are hit by faults: dvc.lock is a serial run's at every moment."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from darkroom.schedule.executor import UnderWay
from tests.simulation.__main__ import live, memory
from tests.simulation.run_loop import simulate

CHUNK = 1_250


def lived(seed: int) -> list[tuple[Any, ...]]:
    with tempfile.TemporaryDirectory(dir=memory()) as folder:
        return simulate(seed, Path(folder))


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, 10_000, CHUNK))
def test_nothing_is_wrong_at_any_seed(first: int) -> None:
    assert live(first, first + CHUNK).wrong == ()


def test_a_seed_is_the_same_each_time() -> None:
    for seed in range(5):
        assert lived(seed) == lived(seed)


def test_the_seeds_have_every_fault() -> None:
    said = {what for seed in range(60) for _, _, what, *_ in lived(seed)}
    assert said == {"accepted", "death", "ended", "launch", "settled", "told"}
    attempts = {more[-1] for seed in range(60) for _, _, what, *more in lived(seed) if what == "launch"}
    assert attempts >= {1, 2, 3}


@pytest.mark.parametrize(
    "accepts",
    [
        lambda *_: True,
        lambda self, ended: self._attempts.pop(ended.stage, None) is not None,
    ],
    ids=["all", "those of given up attempts"],
)
def test_results_that_nobody_expects_would_be_found(
    monkeypatch: pytest.MonkeyPatch, accepts: Callable[..., bool]
) -> None:
    monkeypatch.setattr(UnderWay, "accepts", accepts)
    assert live(0, 150).wrong
