"""How many stages of a run are offered to workers at once."""

from __future__ import annotations

import contextlib

from darkroom.base.meta import Resources
from darkroom.gpus.host import Host
from darkroom.remote.capacity import LEAST_WAITING, WAITING_SHARE, Claims, SplitPool
from darkroom.schedule.pool import HostPool, Lease

FAR, FAR_GPU, SLURM = Resources(pool="hosts"), Resources(gpu=1, pool="hosts"), Resources(pool="cluster")


def split(claims: Claims | None) -> SplitPool:
    return SplitPool(HostPool(1, 1, 1, 1), Host.for_stages([], 1), {"hosts": 100, "cluster": 100}, claims)


def taken(pool: SplitPool, kind: Resources) -> list[Lease]:
    leases = []
    while lease := pool.take(kind):
        leases.append(lease)
    return leases


def test_few_wait_for_a_worker_and_more_once_some_have_one() -> None:
    claims = Claims(["hosts"])
    pool = split(claims)
    leases = taken(pool, FAR)
    assert len(leases) == LEAST_WAITING
    with contextlib.ExitStack() as attempts:
        for _ in leases:
            claim = attempts.enter_context(claims.of_attempt(FAR))
            claim()
            claim()  # it is seen at each look
        assert len(taken(pool, FAR)) == LEAST_WAITING + LEAST_WAITING // WAITING_SHARE
    for lease in leases:
        pool.give(lease)
    assert taken(pool, FAR) == [], "those that were offered since still wait"


def test_what_no_worker_takes_keeps_nobody_waiting_who_asks_for_something_else() -> None:
    pool = split(Claims(["hosts"]))
    assert len(taken(pool, FAR_GPU)) == len(taken(pool, FAR)) == LEAST_WAITING


def test_a_cluster_is_given_all_at_once_and_so_is_an_estimate() -> None:
    assert len(taken(split(Claims(["hosts"])), SLURM)) == 100
    assert len(taken(split(None), FAR)) == 100
