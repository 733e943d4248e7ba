"""Runs whose stages execute on hosts that die, are cut off and return: the protocol of darkroom.remote."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest

from darkroom.remote.attempt import Notes, RemoteAttempt
from darkroom.remote.board import Board
from darkroom.remote.orders import Order
from tests.simulation.__main__ import main, memory
from tests.simulation.far_hosts import FarHosts
from tests.simulation.run_loop import simulate

CHUNK = 300


def lived(seed: int) -> list[tuple[Any, ...]]:
    with tempfile.TemporaryDirectory(dir=memory()) as folder:
        return simulate(seed, Path(folder), FarHosts)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, 600, CHUNK))
def test_nothing_is_wrong_at_any_seed(first: int) -> None:
    assert main(first, first + CHUNK, FarHosts) == 0


def test_a_seed_is_the_same_each_time() -> None:
    for seed in range(3):
        assert lived(seed) == lived(seed)


@pytest.mark.slow
def test_the_seeds_have_every_fault() -> None:
    said = {what for seed in range(60) for _, _, what, *_ in lived(seed)}
    faults = {"death", "host dies", "given up", "claim refused", "record refused"}
    assert said >= faults | {"submitted", "claimed", "handed in", "record accepted", "accepted"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("owner", "name", "value"),
    [
        (Order, "key", property(lambda _: "the same")),
        (Board, "claim", lambda *_: True),
        (Notes, "forget", lambda *_: None),
        (RemoteAttempt, "_drop", lambda *_: None),
    ],
    ids=["old work taken over", "two claims", "attempts not forgotten", "attempts not revoked"],
)
def test_a_protocol_with_a_gap_would_be_found(
    monkeypatch: pytest.MonkeyPatch, owner: type, name: str, value: object
) -> None:
    monkeypatch.setattr(owner, name, value)
    assert main(0, 150, FarHosts) > 0
