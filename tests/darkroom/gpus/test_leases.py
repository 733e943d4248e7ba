"""Leases of declared devices: all or nothing, in the order of arrival, free when the holders are gone."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from darkroom.base.meta import Resources
from darkroom.gpus import lease_notes, leases
from darkroom.gpus.choice import Load
from darkroom.gpus.devices import Device, Gpus, Use, declared_devices
from darkroom.gpus.lease_folder import user_name
from darkroom.gpus.lease_notes import HeldShare, HostLeases, LeaseHolder
from darkroom.gpus.leases import HostDevices, load_of, outside_in_words
from darkroom.schedule.pool import Lease
from tests.darkroom import repositories
from tests.darkroom.shapes import Shape
from tests.darkroom.waiting import alive, wait_for
from tests.places import ROOT

ME = user_name(os.geteuid())
ONE, HALF = Resources(gpu=1), Resources(gpu=1, gpu_memory=8_000_000_000)


class Runs:
    """Several runs on one host of declared devices."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.said: list[tuple[str, str]] = []
        self._made: list[HostDevices] = []

    def make(self, name: str, gpus: str = "2x16GB", use: slice = slice(None)) -> HostDevices:
        devices = declared_devices(gpus)
        me = LeaseHolder(pid=os.getpid(), user=ME, run=name, repository=f"/repo/{name}")
        run = HostDevices(
            Gpus(devices), devices[use], self.folder, me, lambda stage, on: self.said.append((stage, on))
        )
        self._made.append(run)
        return run

    def held(self, gpus: str = "2x16GB") -> dict[str, list[str]]:
        with HostLeases(self.folder) as folder:
            return {
                device.name: sorted(part.holder.stage if part.holder else "?" for part in folder.held(device))
                for device in declared_devices(gpus)
            }

    def waiting(self) -> list[str]:
        with HostLeases(self.folder) as folder:
            return [waiter.holder.stage for waiter in folder.waiting()]

    def close(self) -> None:
        for run in self._made:
            run.close()


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[Runs]:
    made = Runs(tmp_path / "leases")
    yield made
    made.close()


def taken(run: HostDevices, resources: Resources, stage: str) -> Lease:
    lease = run.take(resources, stage)
    assert lease is not None
    return lease


def test_a_lease_names_its_devices_and_notes_who_holds_them(runs: Runs) -> None:
    run = runs.make("r1")
    lease = taken(run, Resources(gpu=2), "train")
    assert lease.env == {"CUDA_VISIBLE_DEVICES": "gpu-0,gpu-1"}
    assert len(lease.descriptors) == 2
    with HostLeases(runs.folder) as folder:
        (part,) = folder.held(declared_devices("2x16GB")[1])
    assert part.bytes == 16_000_000_000
    assert part.holder is not None
    assert (part.holder.user, part.holder.run, part.holder.stage) == (ME, "r1", "train")
    assert part.holder.repository == "/repo/r1"
    run.give(lease)
    assert runs.held() == {"gpu-0": [], "gpu-1": []}


def test_all_devices_or_none(runs: Runs) -> None:
    one, other = runs.make("r1"), runs.make("r2")
    lease = taken(one, ONE, "a")
    assert other.take(Resources(gpu=2), "b") is None
    assert runs.held() == {"gpu-0": ["a"], "gpu-1": []}
    one.give(lease)
    assert taken(other, Resources(gpu=2), "b").devices == ("gpu-0", "gpu-1")


def test_stages_share_where_their_memory_fits_together_however_it_is_cut(runs: Runs) -> None:
    one, other = runs.make("r1", "1x16GB"), runs.make("r2", "1x16GB")
    quarter = Resources(gpu=1, gpu_memory=4_000_000_000)
    held = [taken(run, quarter, f"q{n}") for n, run in enumerate((one, other, one, other))]
    assert one.take(quarter, "more") is None
    one.give(held[0])
    one.give(held[2])
    assert other.take(ONE, "whole") is None
    taken(other, HALF, "h")  # in the two quarters that are free now, which do not lie side by side
    assert runs.held("1x16GB") == {"gpu-0": ["h", "q1", "q3"]}
    assert one.take(quarter, "more") is None


def test_only_devices_that_the_run_may_use(runs: Runs) -> None:
    run = runs.make("r1", use=slice(1, 2))
    assert taken(run, ONE, "a").devices == ("gpu-1",)
    assert run.take(ONE, "b") is None
    assert taken(runs.make("r2"), ONE, "c").devices == ("gpu-0",)


def test_what_this_host_can_never_give_is_not_waited_for(runs: Runs) -> None:
    lease = taken(runs.make("r1"), Resources(gpu=3), "a")
    assert (lease.devices, lease.env) == ((), {})


def test_what_is_not_held_can_be_given_back(runs: Runs) -> None:
    run = runs.make("r1")
    run.give(taken(run, Resources(gpu=3), "never to be had here"))
    lease = taken(run, ONE, "a")
    run.give(lease)
    run.give(lease)
    assert runs.held() == {"gpu-0": [], "gpu-1": []}


def test_first_come_first_served(runs: Runs) -> None:
    first, second, third = (runs.make(name, "1x16GB") for name in ("r1", "r2", "r3"))
    lease = taken(first, ONE, "a")
    for run, stage in ((second, "b"), (third, "c"), (first, "d")):
        assert run.take(ONE, stage) is None
        run.waits(ONE, stage)
    assert runs.waiting() == ["b", "c", "d"]
    first.give(lease)
    assert first.take(ONE, "d") is None
    assert third.take(ONE, "c") is None
    lease = taken(second, ONE, "b")
    second.give(lease)
    assert first.take(ONE, "d") is None
    assert third.take(ONE, "c") is not None
    assert runs.waiting() == ["d"]


def test_who_stops_waiting_or_dies_keeps_nobody(runs: Runs) -> None:
    first, second, third = (runs.make(name, "1x16GB") for name in ("r1", "r2", "r3"))
    lease = taken(first, ONE, "a")
    second.waits(ONE, "b")
    third.waits(ONE, "c")
    second.waits(None, "")
    assert runs.waiting() == ["c"]
    first.waits(ONE, "d")
    third.close()  # as the kernel does for who is killed
    runs._made.remove(third)
    first.give(lease)
    assert taken(first, ONE, "d").devices == ("gpu-0",)
    assert runs.waiting() == []


def test_who_waits_and_does_not_look_keeps_its_place_but_no_device(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (runs.make(name, "1x16GB") for name in ("r1", "r2"))
    lease = taken(first, ONE, "a")
    second.waits(ONE, "b")
    first.give(lease)
    assert first.take(ONE, "c") is None
    monkeypatch.setattr(lease_notes, "ATTENTIVE_SECONDS", 0.0)
    lease = taken(first, ONE, "c")
    monkeypatch.undo()
    first.waits(ONE, "d")
    first.give(lease)
    second.waits(ONE, "b")
    assert first.take(ONE, "d") is None
    assert second.take(ONE, "b") is not None


def test_a_run_keeps_its_place_for_its_most_urgent_stage(runs: Runs) -> None:
    first, second = (runs.make(name, "1x16GB") for name in ("r1", "r2"))
    lease = taken(first, ONE, "a")
    first.waits(HALF, "small")
    second.waits(HALF, "b")
    first.waits(ONE, "large")
    assert runs.waiting() == ["large", "b"]
    first.give(lease)
    assert first.take(HALF, "small") is None  # now behind all who wait
    assert second.take(HALF, "b") is None
    assert taken(first, ONE, "large").devices == ("gpu-0",)
    assert runs.waiting() == ["b"]


def test_a_wait_for_others_is_said_once(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "SAY_AFTER_SECONDS", 0.0)
    first, second = (runs.make(name, "1x16GB") for name in ("r1", "r2"))
    lease = taken(first, ONE, "a")
    first.waits(ONE, "own")  # on a stage of its own, which everybody sees run
    assert runs.said == []
    for _ in range(3):
        second.waits(ONE, "b")
    ((stage, words),) = runs.said
    assert stage == "b"
    assert words.startswith("gpu-0 (held by a of /repo/r1 since ")
    assert words.endswith(f" ({ME}'s run r1, pid {os.getpid()}))")
    first.give(lease)
    second.waits(ONE, "c")
    assert runs.said[1][0] == "c"
    assert runs.said[1][1].startswith("who came before: own of /repo/r1 since ")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no note",
        "[]",
        "[" * 60_000,
        json.dumps({"pid": 1}),
        json.dumps({"pid": 1, "run": "r", "repository": "/", "stage": "s", "since": 1e300}),
        json.dumps({"pid": -1, "run": "r", "repository": "/", "stage": "s", "since": 1}),
        json.dumps({"pid": 1, "run": "r", "repository": "/", "stage": "s", "since": "today"}),
        json.dumps({"pid": 1, "run": "r", "repository": "/", "stage": "s", "since": 1 << 40}),
    ],
)
def test_what_is_held_counts_whatever_its_note_says(runs: Runs, text: str) -> None:
    run = runs.make("r1", "1x16GB")
    lease = taken(run, HALF, "a")
    (file,) = runs.folder.iterdir()
    file.write_text(text)
    with HostLeases(runs.folder) as folder:
        (part,) = folder.held(declared_devices("1x16GB")[0])
    assert (part.bytes, part.user, part.holder) == (8_000_000_000, ME, None)
    assert part.in_words == f"{ME}, who did not write down for what"
    assert run.take(ONE, "b") is None
    run.give(lease)
    assert runs.held("1x16GB") == {"gpu-0": []}


def test_what_a_killed_run_has_left_counts_for_nothing_and_is_removed(runs: Runs) -> None:
    runs.make("r1")
    for kind in ("device.gpu-0", "queue", "gate"):
        (runs.folder / f"darkroom-lease.{kind}.{'0' * 16}").touch()
        (runs.folder / f"darkroom-lease.{kind}.{'1' * 16}").touch(0o600)  # killed while it made it
    others = [runs.folder / "darkroom-lease.txt", runs.folder / "queue", runs.folder / "device.gpu-0"]
    for path in others:
        path.write_text("somebody else's")
    assert runs.held() == {"gpu-0": [], "gpu-1": []}
    taken(runs.make("r2"), Resources(gpu=2), "a")
    assert runs.held() == {"gpu-0": ["a"], "gpu-1": ["a"]}
    left = {path.name for path in runs.folder.iterdir()}
    assert {path.name for path in others} < left
    assert len(left) == len(others) + 2
    assert [path.read_text() for path in others] == ["somebody else's"] * 3


def test_a_folder_that_was_removed_is_made_anew(runs: Runs) -> None:
    run = runs.make("r1")
    runs.folder.rmdir()
    taken(run, ONE, "a")
    assert runs.held() == {"gpu-0": ["a"], "gpu-1": []}


class Reading:
    """A reader of devices that says what it was told to."""

    def __init__(self, use: Use | None) -> None:
        self._use = use

    def use(self, device: Device) -> Use | None:  # noqa: ARG002
        return self._use


def test_what_others_use_of_a_device_counts_once() -> None:
    (device,) = declared_devices("1x16GB")
    me = LeaseHolder(pid=os.getpid(), user=ME, run="r1", repository="/repo")
    child = subprocess.Popen(["sleep", "100"])

    def load(use: Use | None, *held: HeldShare) -> Load:
        return load_of(device, held, Gpus((device,), Reading(use)))

    try:
        mine = HeldShare(5, ME, me)
        assert load(Use(9, {child.pid: 7, os.getpid(): 1})) == Load(device, 0, 9, (child.pid, os.getpid()))
        assert load(Use(9, {child.pid: 7, os.getpid(): 1}), mine) == Load(device, 5, 4)
        assert load(Use(3, {child.pid: 7}), mine) == Load(device, 5, 0)
        assert load(Use(9, {1: 6}), mine) == Load(
            device, 5, 6, (1,)
        )  # more than what is left of all that is used
        assert load(Use(9, {1: 2, 10**8: 9}), mine) == Load(
            device, 5, 4, (1,)
        )  # one that cannot be seen is nobody
        assert load(Use(9, {1: 2}), HeldShare(5, ME, None), HeldShare(2, ME, None)) == Load(
            device, 7, 2, (1,)
        )
        assert load(None, mine) == Load(device, 5, device.memory)
    finally:
        child.kill()
        child.wait()


def test_what_others_use_in_words() -> None:
    (device,) = declared_devices("1x16GB")
    assert outside_in_words(Load(device, 0, 1_250_000_000)) == "1.2 GB in use outside darkroom"
    assert (
        outside_in_words(Load(device, 0, 2 * 10**9, (7, 8))) == "2.0 GB in use outside darkroom by pid 7, 8"
    )


def test_a_want_of_descriptors_is_said_and_waited_for(runs: Runs) -> None:
    run = runs.make("r1")
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    top = os.open("/dev/null", os.O_RDONLY)
    resource.setrlimit(resource.RLIMIT_NOFILE, (top + 1, before[1]))
    try:
        assert run.take(ONE, "a") is None
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        os.close(top)
    assert runs.said[0][0] == "a"
    assert "Too many open files; raise `ulimit -n`" in runs.said[0][1]
    assert run.take(ONE, "a") is not None


def test_what_is_in_the_way_is_said_of_each_device(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "SAY_AFTER_SECONDS", 0.0)
    devices = declared_devices("2x16GB")
    me = LeaseHolder(pid=os.getpid(), user=ME, run="r2", repository="/repo/r2")
    said: list[str] = []
    gpus = Gpus(devices, Reading(Use(10**10, {1: 10**10})))
    run = HostDevices(gpus, devices[:1], runs.folder, me, lambda _, words: said.append(words))
    taken(runs.make("r1"), HALF, "a")
    assert run.take(ONE, "b") is None
    run.waits(ONE, "b")
    (words,) = said
    assert words.startswith("gpu-0 (held by a of /repo/r1 since ")
    assert words.endswith("; 10.0 GB in use outside darkroom by pid 1)")
    run.close()


def test_memory_in_use_is_in_the_way_whoever_uses_it(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "SAY_AFTER_SECONDS", 0.0)
    devices = declared_devices("1x16GB")
    me = LeaseHolder(pid=os.getpid(), user=ME, run="r2", repository="/repo/r2")
    for use, words in (
        (Use(10**10), "10.0 GB in use outside darkroom"),
        (Use(0, {1: 0}), "0.0 GB in use outside darkroom by pid 1"),
    ):
        said: list[str] = []
        run = HostDevices(
            Gpus(devices, Reading(use)), devices, runs.folder, me, lambda _, on, said=said: said.append(on)
        )
        assert run.take(ONE, "b") is None
        run.waits(ONE, "b")
        assert said == [f"gpu-0 ({words})"]
        run.close()


def test_who_decides_and_who_waits_is_written_down_with_the_stage_and_since_when(runs: Runs) -> None:
    seen: list[dict[str, Any]] = []

    class Looking(Reading):
        """Is asked of the device while the run decides."""

        def use(self, device: Device) -> Use | None:
            (gate,) = runs.folder.glob("darkroom-lease.gate.*")
            seen.append(json.loads(gate.read_text()))
            return super().use(device)

    devices = declared_devices("1x16GB")
    me = LeaseHolder(pid=os.getpid(), user=ME, run="r2", repository="/repo/r2")
    run = HostDevices(Gpus(devices, Looking(Use())), devices, runs.folder, me, lambda *_: None)
    before = time.time()
    lease = taken(run, ONE, "a")
    run.waits(ONE, "b")
    (decides,) = seen
    assert (decides["run"], decides["stage"]) == ("r2", "a")
    with HostLeases(runs.folder) as folder:
        (waiter,) = folder.waiting()
        (part,) = folder.held(devices[0])
    assert part.holder is not None
    assert (waiter.holder.stage, part.holder.stage) == ("b", "a")
    assert all(
        before <= since <= time.time() for since in (decides["since"], waiter.holder.since, part.holder.since)
    )
    run.give(lease)
    run.close()


def test_a_wait_is_not_said_at_once(runs: Runs) -> None:
    first, second = (runs.make(name, "1x16GB") for name in ("r1", "r2"))
    taken(first, ONE, "a")
    second.waits(ONE, "b")
    assert runs.said == []


def test_nothing_leaks(runs: Runs) -> None:
    run = runs.make("r1")
    before = set(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for _ in range(5):
        lease = taken(run, Resources(gpu=2), "a")
        assert run.take(ONE, "b") is None
        run.waits(ONE, "b")
        run.give(lease)
        run.waits(None, "")
    assert set(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


RUN = """
import sys
from pathlib import Path
from darkroom.gpus import host, leases
from darkroom.schedule.events import StageFinished
from darkroom.runs.engine import RunOptions, run_pipeline

journal = Path(sys.argv[1]).open("a", buffering=1)

class Watched(leases.HostDevices):
    # Notes what each refused look saw: free devices, and how many who wait come before.
    def take(self, resources, stage):
        self.free = self.ahead = 0
        lease = super().take(resources, stage)
        journal.write(f"{lease is not None:d} {self.free} {self.ahead}\\n")
        return lease

    def _loads(self, folder):
        loads = super()._loads(folder)
        self.free = sum(load.leased == 0 for load in loads)
        return loads

    def _before(self, folder, request):
        before = list(super()._before(folder, request))
        self.ahead = len(before)
        return before

host.HostDevices = Watched
report = run_pipeline(RunOptions(jobs=9))
print(report.errors)
sys.exit(0 if report.well else 1)
"""

PIPELINE = """
stages:
  s:
    matrix: {{n: {numbers}}}
    cmd: sh use.sh
    meta: {{resources: {{gpu: 1}}}}
"""

# A folder that can be made once is the witness: a device that is held twice makes the stage fail.
USE = """set -e
mkdir "$HELD/$CUDA_VISIBLE_DEVICES"
echo "$CUDA_VISIBLE_DEVICES $(date +%s%N)" >> "$HELD/starts"
sleep 0.02
echo "$CUDA_VISIBLE_DEVICES $(date +%s%N)" >> "$HELD/ends"
rmdir "$HELD/$CUDA_VISIBLE_DEVICES"
"""


def environment(tmp_path: Path, gpus: str) -> dict[str, str]:
    held = tmp_path / "held"
    held.mkdir()
    outside = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
    ours = {"DARKROOM_GPUS": gpus, "DARKROOM_LEASES": str(tmp_path / "leases"), "HELD": str(held)}
    return {**outside, **ours, "PYTHONPATH": str(ROOT)}


def start(root: Path, script: str, env: dict[str, str], *words: object) -> subprocess.Popen[Any]:
    return subprocess.Popen([sys.executable, "-c", script, *map(str, words)], cwd=root, env=env)


@pytest.mark.slow
def test_three_runs_of_200_stages_on_four_devices(tmp_path: Path) -> None:
    """Without Prefect, whose records of 200 stages are not what is tested here."""
    gpus = "4x16GB"
    env = environment(tmp_path, gpus)
    roots = []
    for name, count in (("a", 67), ("b", 67), ("c", 66)):
        files = {"dvc.yaml": PIPELINE.format(numbers=list(range(count))), "use.sh": USE}
        roots.append(repositories.make(tmp_path / name, Shape("leases", files), tmp_path))
    began = time.monotonic()
    processes = [start(root, RUN, env, tmp_path / "journal") for root in roots]
    assert [process.wait(250) for process in processes] == [0, 0, 0]
    seconds = time.monotonic() - began

    stages = Counter(line.split()[0] for line in (tmp_path / "held/ends").read_text().splitlines())
    assert stages.total() == 200
    assert set(stages) == {device.name for device in declared_devices(gpus)}
    looks = [tuple(map(int, line.split())) for line in (tmp_path / "journal").read_text().splitlines()]
    assert sum(got for got, _, _ in looks) == 200
    idle = [look for look in looks if not look[0] and look[1] > look[2]]
    assert not idle, "a look found more free devices than there were who came before, and took none"
    with HostLeases(tmp_path / "leases") as folder:
        assert [folder.held(device) for device in declared_devices(gpus)] == [[], [], [], []]
        assert folder.waiting() == []
    assert list((tmp_path / "leases").iterdir()) == []
    print(f"{seconds:.1f} s, {dict(stages)}, {len(looks)} looks")


HOLD = """
stages:
  s:
    cmd: sh -c 'echo $$ > "$HELD/pid.new"; mv "$HELD/pid.new" "$HELD/pid"; sleep 100'
    meta: {resources: {gpu: 2}}
"""
PLAIN_RUN = """
from darkroom.runs.engine import RunOptions, run_pipeline
run_pipeline(RunOptions())
"""


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["run", "stage"])
def test_devices_are_free_once_their_holders_are_killed_and_not_before(tmp_path: Path, victim: str) -> None:
    gpus = declared_devices("2x16GB")
    root = repositories.make(tmp_path / "r", Shape("holder", {"dvc.yaml": HOLD}), tmp_path)
    run = start(root, PLAIN_RUN, environment(tmp_path, "2x16GB"))
    pid_file = tmp_path / "held/pid"
    assert wait_for(pid_file.exists, 60)
    stage = int(pid_file.read_text())
    with HostLeases(tmp_path / "leases") as folder:
        assert [part.holder.stage for gpu in gpus for part in folder.held(gpu) if part.holder] == ["s", "s"]
        os.kill(run.pid if victim == "run" else stage, signal.SIGKILL)
        assert wait_for(lambda: not any(folder.held(gpu) for gpu in gpus), 60)
        assert not alive(stage)
    run.wait(60)
