"""Who gets which devices: values worked out by hand, and that nobody is passed over or kept waiting idly."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darkroom.base.meta import Resources, StageMeta
from darkroom.gpus.choice import (
    CountedDevices,
    Load,
    Request,
    blocking_devices,
    choose_devices,
    device_share,
    left_over,
    refusal_by_devices,
)
from darkroom.gpus.devices import Device
from darkroom.schedule.estimate import expected_seconds
from darkroom.schedule.plan import Node
from darkroom.schedule.pool import HostPool

A, B, C = Device("a", 16, 0), Device("b", 16, 1), Device("c", 8, 2)
ALL = ("a", "b", "c")


def names(devices: list[Device] | None) -> list[str] | None:
    return None if devices is None else [device.name for device in devices]


@pytest.mark.parametrize(
    ("request_", "loads", "expected"),
    [
        (Request(1, None, ALL), [Load(C), Load(A), Load(B)], ["a"]),  # the freest, as they are counted
        (Request(2, None, ALL), [Load(A), Load(B, leased=1), Load(C)], ["a", "c"]),
        (Request(3, None, ALL), [Load(A), Load(B, leased=1), Load(C)], None),  # all at once or none
        (Request(1, 8, ALL), [Load(A, leased=8), Load(B, leased=9)], ["a"]),  # shared where it fits
        (Request(1, 8, ALL), [Load(A, leased=8, outside=1)], None),
        (Request(1, 12, ALL), [Load(C)], None),
        (Request(1, None, ("c",)), [Load(A), Load(C)], ["c"]),  # what the run may use
        (Request(1, None, ALL), [Load(A, outside=8)], ["a"]),  # a desktop's windows
        (Request(1, None, ALL), [Load(A, outside=9)], None),
        (Request(1, None, ALL), [Load(A, outside=1, strangers=(7,))], None),  # somebody computes there
        (Request(1, 4, ALL), [Load(A, outside=1, strangers=(7,))], ["a"]),
    ],
)
def test_choice(request_: Request, loads: list[Load], expected: list[str] | None) -> None:
    assert names(choose_devices(request_, loads)) == expected


def test_slices_come_singly_and_exclusive_devices_whole() -> None:
    slices = [Load(replace(A, is_slice=True)), Load(replace(B, is_slice=True))]
    assert names(choose_devices(Request(1, None, ALL), slices)) == ["a"]
    assert choose_devices(Request(2, None, ALL), slices) is None
    alone = replace(A, exclusive=True)
    assert device_share(Request(1, 4, ALL), alone) == 16
    assert choose_devices(Request(1, 4, ALL), [Load(alone, leased=4)]) is None


def test_who_waits_keeps_what_becomes_free_until_it_is_enough() -> None:
    both, one = Request(2, None, ("a", "b")), Request(1, None, ("a", "b", "c"))
    loads = [Load(A), Load(B, leased=16), Load(C, leased=8)]
    assert choose_devices(both, loads) is None
    assert choose_devices(one, left_over([both], loads)) is None  # a is kept
    assert names(choose_devices(one, left_over([both], [*loads[:2], Load(C)]))) == ["c"]  # c is not wanted


def test_two_who_wait_keep_different_devices() -> None:
    one = Request(1, None, ALL)
    loads = [Load(A, leased=16), Load(B, leased=16), Load(C)]
    assert choose_devices(one, left_over([one], loads)) is None
    assert names(
        choose_devices(Request(1, 4, ("a",)), left_over([Request(1, 8, ("b",))], [Load(A), Load(B)]))
    ) == ["a"]


def test_who_waits_for_somebody_outside_keeps_nothing() -> None:
    everything = Request(3, None, ALL)
    loads = [Load(A), Load(B, outside=16, strangers=(7,)), Load(C)]
    assert choose_devices(everything, loads) is None
    assert names(choose_devices(Request(1, None, ALL), left_over([everything], loads))) == ["a"]


def test_a_whole_device_is_drained_for_who_waits_for_it() -> None:
    whole = Request(1, None, ("a",))
    loads = [Load(A, leased=8)]
    assert choose_devices(Request(1, 4, ("a",)), loads) is not None
    assert choose_devices(Request(1, 4, ("a",)), left_over([whole], loads)) is None


requests = st.builds(Request, st.integers(1, 3), st.none() | st.integers(1, 16), st.just(ALL))


def with_lease(load: Load, request: Request, chosen: list[Device]) -> Load:
    return (
        replace(load, leased=load.leased + device_share(request, load.device))
        if load.device in chosen
        else load
    )


@given(st.lists(requests, min_size=1, max_size=6), st.lists(st.integers(0, 16), min_size=3, max_size=3))
def test_what_later_ones_are_given_never_keeps_the_first_waiting(
    queue: list[Request], leased: list[int]
) -> None:
    """It gets its devices at once where it could, else as soon as today's leases end."""
    first, *others = queue
    before = [Load(d, min(part, d.memory)) for d, part in zip((A, B, C), leased, strict=True)]
    waiting, loads = [first], before
    for request in others:
        if chosen := choose_devices(request, left_over(waiting, loads)):
            loads = [with_lease(load, request, chosen) for load in loads]
            assert all(load.leased <= load.device.memory for load in loads)
        else:
            waiting.append(request)
    if choose_devices(first, before):
        assert choose_devices(first, loads)
    ended = [replace(now, leased=now.leased - then.leased) for now, then in zip(loads, before, strict=True)]
    if choose_devices(first, [replace(load, leased=0) for load in before]):
        assert choose_devices(first, ended)


def test_who_waits_leaves_what_it_does_not_ask_for() -> None:
    loads = [Load(A), Load(B, leased=16), Load(C)]
    assert [load.claimed for load in left_over([Request(1, 5, ALL)], loads)] == [5, 0, 0]
    assert [load.claimed for load in left_over([Request(1, 5, ALL), Request(1, 4, ALL)], loads)] == [9, 0, 0]
    assert [load.claimed for load in left_over([Request(1, None, ALL)], loads)] == [16, 0, 0]
    assert [load.claimed for load in left_over([Request(2, 9, ALL)], loads)] == [16, 16, 0]  # once B is free


def test_a_device_for_one_process_is_taken_whole_by_who_asks_for_a_part() -> None:
    alone = replace(A, exclusive=True)
    assert device_share(Request(1, 5, ALL), alone) == 16
    assert choose_devices(Request(1, 5, ALL), [Load(alone, outside=8)]) == [alone]
    assert choose_devices(Request(1, 8, ALL), [Load(alone, outside=8)]) == [alone]
    assert choose_devices(Request(1, 9, ALL), [Load(alone, outside=8)]) is None
    assert choose_devices(Request(1, 5, ALL), [Load(alone, outside=9)]) is None
    assert choose_devices(Request(1, 5, ALL), [Load(alone, leased=1)]) is None


def test_who_waits_waits_for_the_devices_that_it_could_use() -> None:
    loads = [Load(A), Load(B, leased=1), Load(C, leased=1)]
    assert blocking_devices(Request(1, None, ALL), loads) == loads[1:]
    assert blocking_devices(Request(1, None, ("a", "b")), loads) == [loads[1]]
    assert blocking_devices(Request(1, 9, ALL), [*loads[:2], Load(C)]) == []


@given(st.integers(1, 8), st.sets(st.integers(0, 2)))
def test_no_device_is_idle_while_requests_for_one_wait(waiting: int, busy: set[int]) -> None:
    """As many of those who wait find a device as there are free ones."""
    one = Request(1, None, ALL)
    loads = [Load(device, device.memory if n in busy else 0) for n, device in enumerate((A, B, C))]
    found = [choose_devices(one, left_over([one] * place, loads)) for place in range(waiting)]
    served = [chosen[0].name for chosen in found if chosen]
    assert len(served) == len(set(served)) == min(waiting, 3 - len(busy))


@pytest.mark.parametrize(
    ("resources", "devices", "expected"),
    [
        (Resources(gpu=3), (), None),  # on the CPU
        (Resources(gpu=1, gpu_required=True), (), "resources.gpu_required: there is no GPU here"),
        (Resources(gpu=4), (A, B, C), "resources.gpu: 4 GPUs asked for, there are 3 here"),
        (Resources(gpu=3, gpu_memory=8), (A, B, C), None),
        (
            Resources(gpu=3, gpu_memory=9),
            (A, B, C),
            "resources.gpu_memory: 9 bytes each asked for, there are 8",
        ),
        (
            Resources(gpu=1, gpu_memory=17),
            (A, B, C),
            "resources.gpu_memory: 17 bytes asked for, there are 16",
        ),
        (
            Resources(gpu=2),
            (A, replace(B, is_slice=True)),
            "resources.gpu: 2 GPUs asked for, there are 1 here, MIG slices apart",
        ),
    ],
)
def test_what_the_host_can_never_give_is_refused(
    resources: Resources, devices: tuple[Device, ...], expected: str | None
) -> None:
    why = refusal_by_devices(resources, devices)
    assert (why or "").startswith(expected or "")
    assert (why is None) == (expected is None)


def test_counted_devices_are_all_there_again_at_the_end() -> None:
    devices = CountedDevices((A, B))
    half, whole = Resources(gpu=2, gpu_memory=8), Resources(gpu=1)
    leases = [devices.take(half, "s"), devices.take(half, "s")]
    assert [lease and lease.devices for lease in leases] == [("a", "b"), ("a", "b")]
    assert devices.take(half, "s") is None
    assert devices.take(whole, "s") is None
    for lease in leases:
        assert lease is not None
        devices.give(lease)
    assert devices.take(Resources(gpu=2), "s") is not None
    impossible = devices.take(Resources(gpu=3), "s")
    assert impossible is not None
    assert impossible.devices == ()


@pytest.mark.parametrize(
    ("resources", "seconds"),
    [(Resources(gpu=1), 6.0), (Resources(gpu=1, gpu_memory=8), 3.0), (Resources(gpu=2), 12.0)],
)
def test_the_estimate_counts_devices(resources: Resources, seconds: float) -> None:
    nodes = [Node(name=name, meta=StageMeta(resources)) for name in "abcd"]
    pool = HostPool(9, 9, 1, 1, CountedDevices((A, B)))
    assert expected_seconds(nodes, set("abcd"), dict.fromkeys("abcd", 3.0), pool) == seconds
