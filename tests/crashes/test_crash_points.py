"""A run that is killed, or fails, at one of its system calls ends equal to serial when it is run again."""

from pathlib import Path

import pytest

from tests.crashes import crash_points
from tests.crashes.crash_points import FAULTS, WHOLE_COMMAND, Bench, can_trace, hit_all, make_bench, points_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not can_trace(), reason="strace is missing, or may not trace here"),
]

SEED = 13
"""Other points with another one; `make faults` hits all of them."""


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return make_bench(tmp_path_factory.mktemp("bench"))


def hit_some(bench: Bench, seed: int, at_most: int, *faults: str) -> list[str]:
    """The findings at some points, by chance."""
    points = points_of(bench)
    assert {"rename", "mkdir", "unlink", "write", "fsync"} < {point.call for point in points}
    outcomes = hit_all(bench, crash_points.sample(points, faults, seed, at_most))
    told = [f"{o.fault} at {o.point}: {finding}" for o in outcomes for finding in o.findings]
    print(f"seed {seed}: {', '.join(f'{o.fault} at {o.point}' for o in outcomes)}")
    return told


def test_some_crash_points_and_failing_calls(bench: Bench) -> None:
    assert hit_some(bench, SEED, 6, *FAULTS) == []


def test_some_crash_points_of_the_whole_command(tmp_path: Path) -> None:
    assert hit_some(make_bench(tmp_path, WHOLE_COMMAND), SEED, 3, "KILL") == []
