"""A run of stages that only take time on real worker processes: how far from the best possible it ends.

    python -m benchmarks.darkroom.hosts.real [--stages 1000] [--hosts 8] [--seconds 5]
        [--out benchmarks/darkroom/results/real_hosts.md]

All workers, the run and Prefect's server share this machine; each worker has a home, a cache and checkouts of
its own, and executes one stage at once. The run is recorded by the project's own server while it goes on.
"""

import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path

import click
import psutil

from benchmarks.darkroom.hosts.random_graphs import Shape, drawn, longest_path, lower_bound, stages_of
from benchmarks.darkroom.pipelines import commit_dvc
from benchmarks.machine import describe
from darkroom.reporting.outbox import waiting_outboxes
from darkroom.server.places import DATABASE, server_folder
from tests.darkroom.remote.hosts import HostProcess, set_pools

LIMIT = 1.25
RECORDER = "darkroom.tracking.recorder_process"
LOOK_SECONDS = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """What a run took."""

    path: float
    """Seconds of the longest path."""
    bound: float
    """Seconds that are possible at best."""
    makespan: float
    delivered: float
    """Seconds from the run's start until Prefect was told of all."""
    rows: int
    """Of the server's database."""
    cpu: dict[str, float]
    """Seconds of processor time of the run, the server and the workers with their stages."""
    lock_bytes: int
    storage_bytes: int


class Meter:
    """The processor time of processes with all that came of them, as it was when they were last seen."""

    def __init__(self) -> None:
        self._seconds: dict[str, dict[int, float]] = {}

    def look(self, name: str, processes: Iterable[psutil.Process]) -> None:
        """Note how much each has used."""
        for process in processes:
            with suppress(psutil.Error):
                times = process.cpu_times()
                used = times.user + times.system + times.children_user + times.children_system
                self._seconds.setdefault(name, {})[process.pid] = used

    def seconds(self) -> dict[str, float]:
        """All that was seen."""
        return {name: sum(by_pid.values()) for name, by_pid in self._seconds.items()}


def recorders(root: Path) -> list[psutil.Process]:
    """The processes that tell Prefect of the project's runs."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if str(root) in words and any(RECORDER in word for word in words):
            found.append(process)
    return found


def measure(stages: int, hosts: int, seconds: float, seed: int) -> Found:
    """One run in a fresh folder; its workers and its server are gone afterwards."""
    stubs = drawn(Shape(stages, stages, seconds), seed)
    with tempfile.TemporaryDirectory(prefix="darkroom-hosts-") as name, ExitStack() as at_end:
        folder = Path(name)
        root, storage, meter = folder / "repo", folder / "storage", Meter()
        commit_dvc(root, {"stages": dict(stages_of(stubs))})
        storage.mkdir()
        set_pools(root, storage)
        workers = [HostProcess(folder, f"host{number}", storage, {}, jobs=1) for number in range(hosts)]
        for worker in workers:
            at_end.callback(worker.process.wait)
            at_end.callback(worker.process.kill)
        for worker in workers:
            worker.wait_until_said("works for pool")
        at_end.callback(lambda: [process.terminate() for process in recorders(root)])
        env = os.environ | {"DVC_SITE_CACHE_DIR": str(folder / "site"), "DVC_NO_ANALYTICS": "1"}
        log = at_end.enter_context((folder / "run.txt").open("wb"))
        began = time.monotonic()
        run = subprocess.Popen(
            [sys.executable, "-m", "darkroom.cli.main", "run"], cwd=root, env=env, stdout=log, stderr=log
        )
        at_end.callback(run.kill)

        def look() -> None:
            meter.look("run", [psutil.Process(run.pid)] if run.returncode is None else [])
            meter.look("server", recorders(root))
            meter.look("workers and stages", [psutil.Process(worker.process.pid) for worker in workers])

        while run.poll() is None:
            look()
            time.sleep(LOOK_SECONDS)
        makespan = time.monotonic() - began
        assert run.returncode == 0, (folder / "run.txt").read_text()[-4000:]
        while waiting_outboxes(root):
            look()
            time.sleep(LOOK_SECONDS)
        look()
        return Found(
            path=longest_path(stubs),
            bound=lower_bound(stubs, hosts),
            makespan=makespan,
            delivered=time.monotonic() - began,
            rows=rows(server_folder(root) / DATABASE),
            cpu=meter.seconds(),
            lock_bytes=(root / "dvc.lock").stat().st_size,
            storage_bytes=sum(path.stat().st_size for path in storage.rglob("*") if path.is_file()),
        )


def rows(database: Path) -> int:
    """The rows of all tables."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        counts = (connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for (name,) in tables)
        return sum(counts)


def report(found: Found, stages: int, command: str) -> str:
    """The page that is committed."""
    ratio = found.makespan / found.bound
    met = "met" if ratio <= LIMIT else "not met"
    server = found.cpu.get("server", 0.0)
    processor_time = [
        f"| processor time, {name} | {1000 * used / stages:.0f} ms a stage |"
        for name, used in found.cpu.items()
    ]
    lines = [
        "# A run on real workers",
        "",
        f"`{command}` on {describe()}.",
        "The stages of a random graph only sleep. Workers, run and Prefect's server share the machine.",
        "The best possible is the longest path, or the seconds of all commands divided by the workers,",
        "if that is more.",
        "",
        "| what | figure |",
        "|---|---|",
        f"| longest path | {found.path:.0f} s |",
        f"| best possible | {found.bound:.0f} s |",
        f"| the run | {found.makespan:.0f} s |",
        f"| of the best possible | {ratio:.3f}; the limit of {LIMIT} is {met} |",
        f"| Prefect was told of all after | {found.delivered:.0f} s |",
        *processor_time,
        f"| the server's share of all processor time | {100 * server / sum(found.cpu.values()):.0f} % |",
        f"| rows in the server's database | {found.rows / stages:.1f} a stage |",
        f"| rows that the server writes in a second of processor time | {found.rows / server:.0f} |"
        if server
        else "| rows that the server writes | none |",
        f"| dvc.lock | {found.lock_bytes / stages:.0f} bytes a stage |",
        f"| storage | {found.storage_bytes / stages:.0f} bytes a stage |",
    ]
    return "\n".join(lines) + "\n"


@click.command(help=__doc__)
@click.option("--stages", type=click.IntRange(min=1), default=1_000)
@click.option("--hosts", type=click.IntRange(min=1), default=8)
@click.option("--seconds", type=float, default=5.0, help="What a stage takes on average.")
@click.option("--seed", type=int, default=0)
@click.option("--out", type=click.Path(path_type=Path), help="Where to write the page.")
def main(stages: int, hosts: int, seconds: float, seed: int, out: Path | None) -> None:
    """Measure, print, and write the page if `--out` names one."""
    words = f"--stages {stages} --hosts {hosts} --seconds {seconds:g} --seed {seed}"
    command = f"python -m benchmarks.darkroom.hosts.real {words}"
    text = report(measure(stages, hosts, seconds, seed), stages, command)
    print(text)
    if out:
        out.write_text(text)


if __name__ == "__main__":
    main()
