"""Many runs at once on one database: what it takes, and whether all of it is recorded.

    python -m benchmarks.darkroom.load [--runs 10] [--stages 50] [--out benchmarks/darkroom/results/load.md]

Each run is a `darkroom run` of its own in a repository of its own; all start together. Once on PostgreSQL and
Redis with two API servers, each of which serves every other run, once on SQLite with Prefect's one server.
What the API holds afterwards is counted against the stages in each dvc.lock. Needs Debian's packages
`postgresql` and `redis-server`.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import click
import yaml
from prefect import get_client
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterParentFlowRunId,
    FlowRunFilterParentTaskRunId,
)
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.sorting import FlowRunSort

from benchmarks.darkroom.pipelines import trivial, write_dvc
from benchmarks.darkroom.servers import Servers, missing, one_server, two_servers
from benchmarks.machine import describe
from darkroom.server.clients import client_set_to

CASES: dict[str, Callable[[], AbstractContextManager[Servers]]] = {
    "PostgreSQL, Redis, two API servers": two_servers,
    "SQLite, one server": one_server,
}
PAGE = 200  # the most that the API gives at once
DARKROOM = [sys.executable, "-c", "from darkroom.cli.main import main; main()"]


@dataclass(frozen=True, slots=True)
class Ended:
    """A `darkroom run`."""

    root: Path
    code: int
    seconds: float
    warnings: tuple[str, ...]
    """That something was not recorded."""
    stages: frozenset[str]
    """What dvc.lock says was done."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Recorded:
    """What the server knows, asked of its API."""

    runs: Counter[str]
    """By their final states."""
    stages: Counter[str]
    """Flow runs of stages by their final states."""
    lost: int
    """Stages in a dvc.lock without a completed flow run under their run's."""
    twice: int
    """Flow runs of a stage beyond its first."""

    @classmethod
    def counted(cls, client: SyncPrefectClient, ended: Sequence[Ended]) -> "Recorded":
        """Count them, and hold them against what the runs have left."""
        top = FlowRunFilter(parent_task_run_id=FlowRunFilterParentTaskRunId(is_null_=True))
        found = client.read_flow_runs(flow_run_filter=top, limit=PAGE)
        runs = {run.tags[0]: run for run in found}  # the name of its repository
        children = {name: _children(client, run) for name, run in runs.items()}
        done = {name: {one.name for one in some if _well(one)} for name, some in children.items()}
        every = [one for some in children.values() for one in some]
        return cls(
            runs=Counter(str(run.state_name) for run in found),
            stages=Counter(str(run.state_name) for run in every),
            lost=sum(len(one.stages - done.get(one.root.name, set())) for one in ended),
            twice=len(every) - sum(len({one.name for one in some}) for some in children.values()),
        )


def _children(client: SyncPrefectClient, run: FlowRun) -> list[FlowRun]:
    under = FlowRunFilter(parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=[run.id]))
    found: list[FlowRun] = []
    while page := client.read_flow_runs(
        flow_run_filter=under, limit=PAGE, offset=len(found), sort=FlowRunSort.ID_DESC
    ):
        found += page
    return found


def _well(run: FlowRun) -> bool:
    return run.state is not None and run.state.is_completed()


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """All runs of one case, and what the server knows of them."""

    ended: list[Ended]
    seconds: float
    """From the first start to the last end."""
    recorded: Recorded
    complaints: Counter[str]
    """Errors in the servers' own logs."""


def measure(runs: int, stages: int) -> dict[str, Outcome]:
    """Each case after the other, in fresh repositories."""
    found = {}
    with tempfile.TemporaryDirectory(prefix="darkroom-load-") as name:
        for number, (case, serve) in enumerate(CASES.items()):
            folders = list(_repositories(Path(name) / str(number), runs, stages))
            with serve() as servers:
                found[case] = one_case(folders, servers)
            print(f"{case}: {found[case].seconds:.1f} s", flush=True)
    return found


def _repositories(folder: Path, runs: int, stages: int) -> Iterator[Path]:
    """Copies of one, each with a name of its own."""
    write_dvc(folder / "pattern", trivial(stages))
    for number in range(runs):
        yield shutil.copytree(folder / "pattern", folder / f"load-{number}")


def one_case(folders: list[Path], servers: Servers) -> Outcome:
    """All runs at once; then what the server has of them, asked of the last API server."""
    started = time.monotonic()
    processes = [_start(folder, servers, number) for number, folder in enumerate(folders)]
    ended = _ends(folders, processes, started)
    seconds = max(one.seconds for one in ended)
    last = len(servers.urls) - 1
    with (
        client_set_to(servers.urls[last], servers.client_environment(last)),
        get_client(sync_client=True) as client,
    ):
        recorded = Recorded.counted(client, ended)
    return Outcome(ended=ended, seconds=seconds, recorded=recorded, complaints=servers.complaints())


def _start(folder: Path, servers: Servers, number: int) -> subprocess.Popen[bytes]:
    """Each run tells the next of the servers."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    environ |= servers.client_environment(number % len(servers.urls)) | {"DARKROOM_PATIENCE": "600"}
    environ |= {
        "DVC_NO_ANALYTICS": "1",
        "DO_NOT_TRACK": "1",
        "DVC_SITE_CACHE_DIR": str(folder.parent / "site"),
    }
    with _log(folder).open("w") as log:
        return subprocess.Popen([*DARKROOM, "run"], cwd=folder, env=environ, stdout=log, stderr=log)


def _log(folder: Path) -> Path:
    """Beside the repository, of which it is no part."""
    return folder.with_suffix(".log")


def _ends(folders: list[Path], processes: list[subprocess.Popen[bytes]], started: float) -> list[Ended]:
    """Each run with the moment of its own end."""
    ends: dict[int, float] = {}
    while len(ends) < len(processes):
        for number, process in enumerate(processes):
            if number not in ends and process.poll() is not None:
                ends[number] = time.monotonic() - started
        time.sleep(0.05)
    return [
        Ended(folder, process.returncode, ends[number], _warnings(_log(folder)), _locked(folder / "dvc.lock"))
        for number, (folder, process) in enumerate(zip(folders, processes, strict=True))
    ]


def _locked(lock: Path) -> frozenset[str]:
    return frozenset(yaml.safe_load(lock.read_text())["stages"]) if lock.exists() else frozenset()


def _warnings(log: Path) -> tuple[str, ...]:
    return tuple(line for line in log.read_text().splitlines() if line.startswith("warning: "))


def report(found: dict[str, Outcome], runs: int, stages: int) -> str:
    """The page that is committed."""
    lines = [
        "# Many runs at once on one database",
        "",
        f"`python -m benchmarks.darkroom.load --runs {runs} --stages {stages}` on {describe()}.",
        f"{runs} `darkroom run` processes start together, each with {stages} stages of one `echo`:",
        f"{runs * stages} stage runs. Servers, database and runs share the machine. Recorded is what the API",
        "holds afterwards, against what stands in each dvc.lock.",
        "",
        "| | " + " | ".join(found) + " |",
        "|---|" + "---|" * len(found),
    ]
    rows: dict[str, Callable[[Outcome], str]] = {
        "all done after": lambda one: f"{one.seconds:.1f} s",
        "the first run's end": lambda one: f"{min(run.seconds for run in one.ended):.1f} s",
        "stage runs a second": lambda one: f"{runs * stages / one.seconds:.1f}",
        "runs with exit code 0": lambda one: str(sum(run.code == 0 for run in one.ended)),
        "stages in dvc.lock": lambda one: str(sum(len(run.stages) for run in one.ended)),
        "runs recorded": lambda one: counted(one.recorded.runs),
        "stage runs recorded": lambda one: counted(one.recorded.stages),
        "lost": lambda one: str(one.recorded.lost),
        "recorded twice": lambda one: str(one.recorded.twice),
        "runs that say so": lambda one: str(sum(bool(run.warnings) for run in one.ended)),
        "errors in the servers' logs": lambda one: str(one.complaints.total()),
    }
    lines += [f"| {name} | {' | '.join(map(cell, found.values()))} |" for name, cell in rows.items()]
    for case, one in found.items():
        warned = [f"{run.root.name}: {warning}" for run in one.ended for warning in run.warnings]
        said = [f"{number} times {text}" for text, number in one.complaints.most_common(10)]
        for what, texts in (("What the runs say", warned), ("Errors in the servers' logs", said)):
            lines += ["", f"{what} ({case}):", "", *(f"- `{text}`" for text in texts)] if texts else []
    return "\n".join(lines) + "\n"


def counted(counts: Counter[str]) -> str:
    """`500 Completed, 2 Running`."""
    return ", ".join(f"{number} {word}" for word, number in counts.most_common())


@click.command(help=__doc__)
@click.option("--runs", type=click.IntRange(1), default=10)
@click.option("--stages", type=click.IntRange(1), default=50)
@click.option("--out", type=click.Path(path_type=Path), help="Where to write the page.")
def main(runs: int, stages: int, out: Path | None) -> None:
    """Measure, print, and write the page if `--out` names one."""
    if lacking := missing():
        raise click.ClickException(lacking)
    text = report(measure(runs, stages), runs, stages)
    print(text)
    if out:
        out.write_text(text)


if __name__ == "__main__":
    main()
