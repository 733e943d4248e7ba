"""A power cut leaves dvc.lock old or new, and in the cache all that it names."""

from collections.abc import Iterator
from dataclasses import replace
from random import Random

import pytest

from tests.crashes.crash_points import Bench, can_trace, make_bench
from tests.crashes.power_loss import Recorded, cuts, disk_of, record, run_after

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not can_trace(), reason="strace is missing, or may not trace here"),
]

SEED = 7
RUNS = 4


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return make_bench(tmp_path_factory.mktemp("bench"))


@pytest.fixture(scope="module")
def recorded(bench: Bench) -> Recorded:
    return record(bench)


def afresh(recorded: Recorded, bench: Bench) -> Recorded:
    """With the disk as it was before the run."""
    disk = disk_of(bench.before)
    return replace(recorded, before=replace(disk, root=recorded.before.root))


def unsynced(recorded: Recorded) -> Iterator[str]:
    """What would be found if nothing but the journal's files were synced."""
    calls = [call for call in recorded.calls if call.name not in ("fsync", "fdatasync", "syncfs")]
    for cut in cuts(replace(recorded, calls=calls), Random(SEED)):
        yield from cut.findings


def test_dvc_lock_is_old_or_new_and_what_it_names_is_whole_in_the_cache(
    bench: Bench, recorded: Recorded
) -> None:
    told = list(cuts(afresh(recorded, bench), Random(SEED)))
    assert len(told) > 300
    assert [f"after call {cut.after}: {what}" for cut in told for what in cut.findings] == []


def test_the_next_run_ends_as_a_serial_one(bench: Bench, recorded: Recorded) -> None:
    rng = Random(SEED)
    told = rng.sample(list(cuts(afresh(recorded, bench), rng)), RUNS)
    found = {cut.after: run_after(bench, cut, f"cut-{number}") for number, cut in enumerate(told)}
    print(f"seed {SEED}: after the calls {sorted(found)}")
    assert {after: what for after, what in found.items() if what} == {}


def test_without_any_sync_a_cut_would_be_found_to_lose_what_dvc_lock_names(
    bench: Bench, recorded: Recorded
) -> None:
    found = list(unsynced(afresh(recorded, bench)))
    assert any("is neither old nor new" in what for what in found)
    assert any("in the cache" in what for what in found)
