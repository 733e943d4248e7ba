"""Runs whose stages execute on hosts that die, are cut off and return: the protocol of darkroom.remote."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest

from darkroom.exchange.board import Board
from tests.simulation.__main__ import live, memory
from tests.simulation.far_hosts import FarHosts
from tests.simulation.run_loop import simulate

CHUNK = 500


def lived(seed: int) -> list[tuple[Any, ...]]:
    with tempfile.TemporaryDirectory(dir=memory()) as folder:
        return simulate(seed, Path(folder), FarHosts)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, 2_000, CHUNK))
def test_nothing_is_wrong_at_any_seed(first: int) -> None:
    assert live(first, first + CHUNK, FarHosts).wrong == ()


def test_a_seed_is_the_same_each_time() -> None:
    for seed in range(3):
        assert lived(seed) == lived(seed)


@pytest.mark.slow
def test_the_seeds_have_every_fault() -> None:
    said = {what for seed in range(60) for _, _, what, *_ in lived(seed)}
    faults = {"death", "host dies", "given up", "claim refused", "record refused"}
    assert said >= faults | {"submitted", "claimed", "handed in", "record accepted", "accepted"}


@pytest.mark.slow
def test_claims_that_two_hosts_get_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Board, "claim", lambda *_: True)
    assert live(0, 12, FarHosts).wrong
