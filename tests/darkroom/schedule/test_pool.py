from __future__ import annotations

from typing import Any

import pytest

from darkroom.base.errors import MetaError
from darkroom.base.meta import (
    MetricMeta,
    Resources,
    StageMeta,
    parse_bytes,
    parse_meta,
    parse_metric_meta,
)
from darkroom.schedule.pool import HostPool, Lease, NoDevices, refuse_too_large, thread_env


def test_everything_that_a_stage_may_say() -> None:
    meta = {
        "resources": {"cpu": 2, "memory": "4GB", "gpu": 1, "gpu_memory": "8 GiB"},
        "priority": -3,
        "timeout": "1.5h",
        "retries": 2,
        "keep_daemons": True,
        "owner": {"anything": "of others"},
    }
    resources = Resources(2, 4_000_000_000, 1, 8 * 1024**3)
    expected = StageMeta(resources, priority=-3, timeout=5400.0, retries=2, keep_daemons=True)
    assert parse_meta(meta, "dvc.yaml: train") == expected


@pytest.mark.parametrize("meta", [None, "text", ["list"], {}])
def test_meta_of_others_says_nothing(meta: Any) -> None:
    assert parse_meta(meta, "x") == StageMeta()


OF_OTHERS = """
author category comment created dataset desc description doc experiment framework group image info labels link
memo metrics model name note notes owner params prior project property purpose reason release report results
review runtime seed series source sources state status summary tags target task team test ticket title type
url version
"""


@pytest.mark.parametrize("key", OF_OTHERS.split())
def test_keys_of_others_are_no_slips_of_ours(key: str) -> None:
    assert parse_meta({key: 1}, "x") == StageMeta()


@pytest.mark.parametrize(
    ("meta", "error"),
    [
        ({"resources": {"cpus": 1}}, "resources.cpus: unknown key; did you mean 'cpu'?"),
        (
            {"resources": {"disk": 1}},
            "resources.disk: unknown key; known are cpu, memory, gpu, gpu_memory, gpu_required",
        ),
        ({"resource": {"cpu": 1}}, "resource: unknown key; did you mean 'resources'?"),
        ({"RESOURCES": {"cpu": 1}}, "RESOURCES: unknown key; did you mean 'resources'?"),
        ({"Timeout": 3}, "Timeout: unknown key; did you mean 'timeout'?"),
        ({"time-out": 3}, "time-out: unknown key; did you mean 'timeout'?"),
        ({"max_time": "1h"}, "max_time: unknown key; did you mean 'timeout'?"),
        ({"retry": 2}, "retry: unknown key; did you mean 'retries'?"),
        ({"daemons": "keep"}, "daemons: unknown key; did you mean 'keep_daemons'?"),
        ({"keep_daemons": "yes"}, "keep_daemons: 'yes' is neither true nor false"),
        ({"prio": 3}, "prio: unknown key; did you mean 'priority'?"),
        ({"priorty": 3}, "priorty: unknown key; did you mean 'priority'?"),
        ({"gpu": 1}, "gpu: belongs under meta.resources"),
        ({"cpu": 2}, "cpu: belongs under meta.resources"),
        ({"memory": "4GB"}, "memory: belongs under meta.resources"),
        ({"gpu_required": True}, "gpu_required: belongs under meta.resources"),
        ({"GPUs": 1}, "GPUs: belongs under meta.resources, as 'gpu'"),
        ({"gpu-memory": "8GB"}, "gpu-memory: belongs under meta.resources, as 'gpu_memory'"),
        ({"resources": {"ram": "4GB"}}, "resources.ram: unknown key; did you mean 'memory'?"),
        ({"resources": {"cpu": 1, "retries": 2}}, "resources.retries: belongs under meta"),
        ({"resources": [1]}, "resources: must be a mapping of cpu, memory, gpu, gpu_memory, gpu_required"),
        ({"resources": {"cpu": 0}}, "resources.cpu: 0 is not a whole number from 1 on"),
        ({"resources": {"cpu": True}}, "resources.cpu: True is not a whole number from 1 on"),
        (
            {"resources": {"memory": "4XB"}},
            "resources.memory: '4XB' is not a size; write it as 500MB, 8GB or 8GiB",
        ),
        (
            {"resources": {"memory": {"first": "4GB", "factor": 2}}},
            "resources.memory.factor: says nothing without another attempt; add retries: 2",
        ),
        (
            {"resources": {"memory": {"first": "4GB", "factor": 1}}, "retries": 1},
            "resources.memory.factor: 1 is not above 1",
        ),
        (
            {"resources": {"memory": {"first": "4GB"}}, "retries": 1},
            "resources.memory: write a size, or what grows as {first: 16GB, factor: 2}",
        ),
        (
            {"resources": {"gpu_memory": "8GB"}},
            "resources.gpu_memory: says nothing without a number of devices; add gpu: 1",
        ),
        (
            {"resources": {"gpu": 0, "gpu_required": True}},
            "resources.gpu_required: says nothing without a number of devices; add gpu: 1",
        ),
        (
            {"resources": {"gpu": 1, "gpu_required": "yes"}},
            "resources.gpu_required: 'yes' is neither true nor false",
        ),
        ({"timeout": "soon"}, "timeout: 'soon' is not a time; write it as 90 (seconds), 15m, 2h or 1d"),
        ({"priority": "high"}, "priority: 'high' is not a whole number"),
        ({"retries": -1}, "retries: -1 is not a whole number from 0 on"),
        ({"retries": 1.0}, "retries: 1.0 is not a whole number from 0 on"),
        ({"priority": True}, "priority: True is not a whole number"),
        ({"timeout": True}, "timeout: True is not a time; write it as 90 (seconds), 15m, 2h or 1d"),
        ({"timeout": 0}, "timeout: 0 is not a time; write it as 90 (seconds), 15m, 2h or 1d"),
        ({"timeout": "1w"}, "timeout: '1w' is not a time; write it as 90 (seconds), 15m, 2h or 1d"),
        ({"resources": {"gpu": -1}}, "resources.gpu: -1 is not a whole number from 0 on"),
        ({"changes_deps": "a"}, "changes_deps: must be a list of paths, as the stage's deps have them"),
        ({"changes_deps": ["a", 1]}, "changes_deps: must be a list of paths, as the stage's deps have them"),
    ],
)
def test_wrong_keys_and_values_are_refused_with_their_path(meta: Any, error: str) -> None:
    with pytest.raises(MetaError) as caught:
        parse_meta(meta, "dvc.yaml: train")
    assert str(caught.value) == f"dvc.yaml: train.meta.{error}"


def test_everything_that_a_metrics_file_may_say() -> None:
    meta = {"higher_is_better": ["f1"], "lower_is_better": ["*.loss"], "absent_value": -1, "owner": "anna"}
    meta["measured_with"] = {"*.loss": "judge"}
    assert parse_metric_meta(meta, "x") == MetricMeta(("f1",), ("*.loss",), -1, {"*.loss": "judge"})
    assert parse_metric_meta(None, "x") == parse_metric_meta(["of others"], "x") == MetricMeta()


@pytest.mark.parametrize("key", OF_OTHERS.split())
def test_keys_of_others_in_a_metrics_file_are_no_slips_of_ours(key: str) -> None:
    assert parse_metric_meta({key: 1}, "x") == MetricMeta()


@pytest.mark.parametrize(
    ("meta", "error"),
    [
        ({"higher": ["f1"]}, "higher: unknown key; did you mean 'higher_is_better'?"),
        ({"lower_is_beter": []}, "lower_is_beter: unknown key; did you mean 'lower_is_better'?"),
        (
            {"higher_is_better": "f1"},
            "higher_is_better: must be a list of figures' names, as `dvc metrics show` has them,"
            " with * for any text",
        ),
        ({"absent_value": "none"}, "absent_value: 'none' is not a number"),
        (
            {"measured_with": ["judge"]},
            "measured_with: must be a mapping of figures' names to the name of what measured them",
        ),
        ({"absent_value": True}, "absent_value: True is not a number"),
        (
            {"higher_is_better": ["a", "b"], "lower_is_better": ["b"]},
            "lower_is_better: 'b' stands under higher_is_better too",
        ),
    ],
)
def test_what_a_metrics_file_says_wrongly_is_refused_with_its_path(meta: Any, error: str) -> None:
    with pytest.raises(MetaError) as caught:
        parse_metric_meta(meta, "dvc.yaml: train.metrics.m.json")
    assert str(caught.value) == f"dvc.yaml: train.metrics.m.json.meta.{error}"


@pytest.mark.parametrize(
    ("name", "direction"),
    [
        ("val.map", 1),
        ("val.map_drop", -1),  # the name with most letters that fits decides
        ("val.map.[x]+", 1),
        ("found.right", 1),
        ("found.wrong", -1),
        ("kappa", 0),
        ("xfound.wrong", 0),
        ("both.ways", 0),  # two names fit as well
    ],
)
def test_the_closest_name_says_which_way_is_better(name: str, direction: int) -> None:
    meta = MetricMeta(("val.map*", "found.right", "both.*"), ("*.map_drop", "found.*", "*.ways"))
    assert meta.direction(name) == direction


def test_a_pool_gives_no_more_than_there_is() -> None:
    pool = HostPool(jobs=3, cpus=4, memory=100, threads=1)
    large = pool.take(Resources(cpu=3, memory=60))
    assert large is not None
    assert pool.take(Resources(cpu=2)) is None
    assert pool.take(Resources(memory=50)) is None
    small = pool.take(Resources(cpu=1, memory=40))
    plain = pool.take(Resources())
    assert small is not None
    assert plain is not None
    assert pool.take(Resources()) is None
    pool.give(large)
    assert pool.take(Resources(cpu=3, memory=60)) is not None


def test_a_stage_that_wants_more_cores_than_there_are_gets_all_of_them() -> None:
    pool = HostPool(jobs=9, cpus=2, memory=1, threads=1)
    lease = pool.take(Resources(cpu=16))
    assert lease is not None
    assert pool.take(Resources(cpu=1)) is None
    pool.give(lease)
    assert pool.take(Resources(cpu=1)) is not None


def test_more_memory_than_the_host_has_is_refused() -> None:
    with pytest.raises(
        MetaError, match=r"^train.meta.resources.memory: 101 bytes asked for, the host has 100"
    ):
        refuse_too_large(iter([("train", Resources(memory=101))]), 100)


def test_thread_variables_from_outside_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    variables = thread_env(2)
    assert "OMP_NUM_THREADS" not in variables
    assert variables["MKL_NUM_THREADS"] == "2"


def test_the_least_of_each_number_is_one() -> None:
    meta = {"resources": {"cpu": 1, "gpu": 0}, "retries": 0, "changes_deps": ["a", "b"]}
    assert parse_meta(meta, "x") == StageMeta(Resources(cpu=1), changes_deps=("a", "b"))


@pytest.mark.parametrize(
    ("text", "count"),
    [
        (7, 7),
        ("7", 7),
        (" 8 GB ", 8 * 10**9),
        ("1.5kb", 1500),
        ("2MB", 2 * 10**6),
        ("3TB", 3 * 10**12),
        ("1KiB", 1024),
        ("2MiB", 2 * 1024**2),
        ("3GIB", 3 * 1024**3),
        ("1TiB", 1024**4),
        ("5B", 5),
    ],
)
def test_sizes_in_bytes(text: object, count: int) -> None:
    assert parse_bytes(text, "x") == count


@pytest.mark.parametrize("text", ["0", "0GB", "-1", "1 0", "GB", True, "1PB", "1.GB"])
def test_no_sizes(text: object) -> None:
    with pytest.raises(MetaError) as caught:
        parse_bytes(text, "x.memory")
    assert str(caught.value) == f"x.memory: {text!r} is not a size; write it as 500MB, 8GB or 8GiB"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [(90, 90.0), ("90", 90.0), ("1.5 s", 1.5), ("15m", 900.0), ("2h", 7200.0), ("1d", 86400.0)],
)
def test_times_in_seconds(text: object, seconds: float) -> None:
    assert parse_meta({"timeout": text}, "x").timeout == seconds


def test_a_pool_takes_and_gives_back_to_the_last_of_each() -> None:
    pool = HostPool(jobs=1, cpus=2, memory=10, threads=3)
    for asked in (Resources(cpu=2, memory=10), Resources(memory=10), Resources(cpu=1), Resources()):
        lease = pool.take(asked)
        assert lease is not None
        assert pool.take(Resources()) is None
        pool.give(lease)
    assert pool.take(Resources(memory=11)) is None


def test_a_stage_gets_as_many_threads_as_it_asks_for_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    pool = HostPool(jobs=9, cpus=4, memory=1, threads=3)
    threads = []
    for cpu in (None, 1, 4, 9):
        lease = pool.take(Resources(cpu=cpu))
        assert lease is not None
        threads.append(lease.env["OMP_NUM_THREADS"])
        pool.give(lease)
    assert threads == ["3", "1", "4", "4"]


class Watched(NoDevices):
    """Devices that hand out a lease of their own, and note what they are asked."""

    def __init__(self) -> None:
        self.asked: list[object] = []

    def take(self, resources: Resources, stage: str) -> Lease | None:
        self.asked.append((resources, stage))
        return (
            Lease(resources, {"OMP_NUM_THREADS": "5", "CUDA": "a"}, ("a",), (3,))
            if resources.gpu < 3
            else None
        )

    def give(self, lease: Lease) -> None:
        self.asked.append(lease.devices)

    def waits(self, resources: Resources | None, stage: str) -> None:
        self.asked.append((resources, stage))

    def close(self) -> None:
        self.asked.append("close")


def test_devices_are_asked_for_what_nothing_else_is_lacking_for() -> None:
    devices, one = Watched(), Resources(gpu=1, cpu=2)
    pool = HostPool(jobs=2, cpus=2, memory=1, threads=3, devices=devices)
    lease = pool.take(one, "train")
    assert lease is not None
    assert (lease.devices, lease.descriptors) == (("a",), (3,))
    assert (lease.env["CUDA"], lease.env["OMP_NUM_THREADS"]) == ("a", "5")
    assert pool.take(one, "no cores are left") is None
    many = Resources(gpu=3)
    assert pool.take(many, "many") is None
    pool.waits([(Resources(), "plain"), (one, "cores"), (many, "many"), (Resources(gpu=4), "later")])
    pool.waits([(Resources(), "plain"), (one, "cores")])
    pool.give(lease)
    pool.close()
    assert devices.asked == [
        (one, "train"),
        (many, "many"),
        (many, "many"),
        (None, ""),
        ("a",),
        "close",
    ]
    assert pool.take(one, "again") is not None  # all of it was given back


def test_a_host_without_devices_holds_none() -> None:
    lease = NoDevices().take(Resources(gpu=2), "train")
    assert lease == Lease(Resources(gpu=2))


def test_as_much_memory_as_the_host_has_is_not_refused() -> None:
    refuse_too_large(iter([("a", Resources()), ("b", Resources(memory=100))]), 100)


def test_memory_that_grows_is_multiplied_up_to_what_there_is() -> None:
    meta = parse_meta({"resources": {"memory": {"first": "4GB", "factor": 1.5}}, "retries": 3}, "x")
    first = meta.resources
    assert first.memory == 4_000_000_000
    assert first.after_out_of_memory().memory == 6_000_000_000
    assert first.after_out_of_memory(5_000_000_000).memory == 5_000_000_000
    assert Resources(cpu=1).after_out_of_memory() == Resources(cpu=1)
