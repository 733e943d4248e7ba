"""Darkroom's scheduler beside serial `dvc repro`, paraffin, snakemake, doit and `make -j`, in one run.

    python -m benchmarks.darkroom.scheduler [--rounds 5] [--only CASE]
        [--out benchmarks/darkroom/results/scheduler.md]

Each figure is the median of `rounds` runs of a fresh process on a fresh folder, start of Python included;
where there is nothing to do, on one folder.
"Scheduler alone" is darkroom without Prefect. The peers are installed into environments of their own.
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from benchmarks.darkroom import prefect_cost
from benchmarks.darkroom.pipelines import (
    Step,
    printers,
    sleepers,
    trivial,
    write_doit,
    write_dvc,
    write_dvc_dense,
    write_dvc_matrix,
    write_make,
    write_snakemake,
)
from benchmarks.machine import describe
from darkroom.processes import daemons
from darkroom.reporting.deliverers import SERVER_SECONDS
from darkroom.reporting.outbox import waiting_outboxes
from darkroom.server.clients import environment_of
from darkroom.server.sharing import RECORDER
from tests.darkroom.server.processes.temporary import temporary_server

BIN = Path(sys.executable).parent
ALONE = [sys.executable, "-m", "benchmarks.darkroom.scheduler_alone"]
# sqlmodel from 0.0.25 on refuses the times that paraffin 0.3 writes without a zone
PEERS = {
    "paraffin": ["paraffin==0.3.7", "sqlmodel<0.0.25"],
    "snakemake": ["snakemake==9.27.1"],
    "doit": ["doit==0.37.0"],
}
FEW = {"paraffin"}  # not with many stages: a worker that polls, minutes a round
LACKS = {
    "dvc repro": "runs one stage at a time",
    "paraffin": "entries in completion order; a worker polls a database",
    "snakemake": "judges by times and its own metadata, no content hashes in git, no cache",
    "doit": "hashes in a database of its own, nothing in git, no cache",
    "make -j": "judges by times alone, records nothing",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """A figure of one tool in one case."""

    case: str
    tool: str
    seconds: float
    spread: tuple[float, float]
    megabytes: float
    rounds: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Bar:
    """What one case must not exceed."""

    case: str
    said: str
    value: float
    limit: float

    @property
    def met(self) -> bool:
        """Whether it was not exceeded."""
        return self.value <= self.limit


def measure(
    case: str,
    tool: str,
    prepare: Callable[[Path], None],
    command: list[str],
    *,
    rounds: int,
    env: dict[str, str],
) -> Measured:
    """Median wall seconds and peak memory of `command` in `rounds` fresh folders."""

    def once() -> tuple[float, float]:
        with scratch() as folder:
            prepare(folder / "pipeline")
            taken = timed(command, folder / "pipeline", env)
            await_delivery(folder / "pipeline")
            return taken

    return summary(case, tool, [once() for _ in range(rounds)])


def measure_idle(
    case: str, steps: list[Step], commands: dict[str, list[str]], *, rounds: int, env: dict[str, str]
) -> list[Measured]:
    """The commands in turn in one folder whose stages have all run: there is nothing to do."""
    with scratch() as folder:
        write_dvc(folder / "pipeline", steps)
        subprocess.run(["dvc", "repro", "-q"], cwd=folder / "pipeline", env=env, check=True)
        taken = [
            {tool: timed(command, folder / "pipeline", env) for tool, command in commands.items()}
            for _ in range(rounds)
        ]
    return [summary(case, tool, [each[tool] for each in taken]) for tool in commands]


def await_delivery(root: Path) -> None:
    """Return when the server that a run has started has delivered and ended: the next one is not held up."""
    services = daemons.services_folder(root)
    started = services.exists()  # where there is none, nothing was started
    while started and (waiting_outboxes(root) or daemons.daemon_state(services, RECORDER).running):
        time.sleep(0.1)


def summary(case: str, tool: str, taken: list[tuple[float, float]]) -> Measured:
    """Of the seconds and megabytes of each round."""
    seconds, megabytes = [each for each, _ in taken], [each for _, each in taken]
    middle = statistics.median(seconds)
    print(f"{case:24} {tool:12} {middle:8.2f} s  {max(megabytes):6.0f} MB", flush=True)
    spread = (min(seconds), max(seconds))
    return Measured(
        case=case, tool=tool, seconds=middle, spread=spread, megabytes=max(megabytes), rounds=len(taken)
    )


def timed(command: list[str], folder: Path, env: dict[str, str]) -> tuple[float, float]:
    """Wall seconds and peak resident megabytes of the largest process of `command`; a failure is an error."""
    watcher = (
        "import resource, subprocess, sys, time; t = time.monotonic();"
        "done = subprocess.run(sys.argv[1:], stdout=subprocess.PIPE, stderr=subprocess.STDOUT);"
        "seconds = time.monotonic() - t; peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss;"
        "sys.stderr.buffer.write(done.stdout) if done.returncode else None;"
        "print(seconds, peak / 1024); sys.exit(done.returncode)"
    )
    done = subprocess.run(
        [sys.executable, "-c", watcher, *command],
        cwd=folder,
        env=env,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    seconds, peak = done.stdout.split()[-2:]
    return float(seconds), float(peak)


@contextmanager
def scratch() -> Iterator[Path]:
    """A temporary folder."""
    folder = Path(tempfile.mkdtemp(prefix="darkroom-benchmark-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def install_peers(folder: Path) -> dict[str, str]:
    """Search path with each peer's environment on it."""
    path = []
    for name, requirements in PEERS.items():
        venv = folder / name
        subprocess.run([BIN / "uv", "venv", "-q", "-p", sys.executable, venv], check=True)
        subprocess.run(
            [BIN / "uv", "pip", "install", "-q", "-p", venv / "bin/python", *requirements], check=True
        )
        path.append(str(venv / "bin"))
    env = dict(os.environ) | {"DVC_NO_ANALYTICS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    # darkroom's own programs first: paraffin brings a dvc with it
    env |= {SERVER_SECONDS: "0.1"}  # the server that a run starts ends once it has delivered
    return env | {"PATH": os.pathsep.join([str(BIN), *path, os.environ["PATH"]])}


def six(rounds: int, env: dict[str, str]) -> tuple[list[Measured], list[Bar]]:
    """6 stages of 3 s and one that joins them, 6 jobs: 6 s at the least."""
    steps = sleepers(6, 3)
    case, start_up = "6 x 3 s + join, 6 jobs", "its start-up: nothing to do"
    rows = compared(case, steps, 6, rounds, env)
    recorded = ["darkroom", "run", "--jobs", "6"]
    rows.append(measure(case, "darkroom run", dvc_repository(steps), recorded, rounds=rounds, env=env))
    served = f"{case}, server running"
    with scratch() as folder, temporary_server(folder / "server") as url:
        there = env | environment_of(folder / "server", url)
        row = measure(served, "darkroom run", dvc_repository(steps), recorded, rounds=rounds, env=there)
    rows.append(row)
    idle = {"darkroom": ALONE, "darkroom run": ["darkroom", "run"]}
    rows += measure_idle(start_up, trivial(7), idle, rounds=rounds, env=env)
    unserved = next(row.seconds for row in rows if (row.case, row.tool) == (case, "darkroom run"))
    return rows, [
        Bar(case=case, said="scheduler alone, of 6 s", value=seconds(rows, "darkroom") / 6, limit=1.3),
        Bar(case=case, said="darkroom run, no server running, of 6 s", value=unserved / 6, limit=1.15),
    ]


def three(rounds: int, env: dict[str, str]) -> tuple[list[Measured], list[Bar]]:
    """3 trivial stages: what a small run feels like."""
    case, prepare = "3 trivial, 2 jobs", dvc_repository(trivial(3))
    ways = {
        "darkroom": [*ALONE, "--jobs", "2"],
        "darkroom run": ["darkroom", "run", "--jobs", "2"],
        "dvc repro": ["dvc", "repro"],
    }
    rows = [measure(case, way, prepare, ways[way], rounds=rounds, env=env) for way in ways]
    ratio = seconds(rows, "darkroom run") / seconds(rows, "dvc repro")
    said = "darkroom run, no server running, of dvc repro"
    return rows, [Bar(case=case, said=said, value=ratio, limit=1.0)]


def hundred(rounds: int, env: dict[str, str]) -> tuple[list[Measured], list[Bar]]:
    """100 trivial stages from nothing, and the same with nothing left to do."""
    steps = trivial(100)
    new, again = "100 trivial, 2 jobs", "100, nothing to do"
    rows = compared(new, steps, 2, rounds, env)
    recorded = ["darkroom", "run", "--jobs", "2"]
    rows.append(measure(new, "darkroom run", dvc_repository(steps), recorded, rounds=rounds, env=env))
    ways = {
        "darkroom": [*ALONE, "--jobs", "2"],
        "darkroom run": ["darkroom", "run"],
        "dvc repro": ["dvc", "repro"],
    }
    idle = measure_idle(again, steps, ways, rounds=rounds, env=env)
    ratio = seconds(rows, "darkroom") / seconds(rows, "dvc repro")
    idle_ratio = seconds(idle, "darkroom run") / seconds(idle, "dvc repro")
    return [*rows, *idle], [
        Bar(case=new, said="scheduler alone, of serial dvc repro", value=ratio, limit=0.35),
        Bar(
            case=new,
            said="darkroom run, no server running, of serial dvc repro",
            value=seconds(rows, "darkroom run") / seconds(rows, "dvc repro"),
            limit=0.25,
        ),
        Bar(case=again, said="darkroom run, of dvc repro", value=idle_ratio, limit=0.5),
    ]


def growth(rounds: int, env: dict[str, str]) -> tuple[list[Measured], list[Bar]]:
    """500 trivial stages against 100."""
    rows = [
        measure(
            f"{n} trivial, growth",
            "darkroom",
            dvc_repository(trivial(n)),
            [*ALONE, "--jobs", "2"],
            rounds=rounds,
            env=env,
        )
        for n in (100, 500)
    ]
    return rows, [
        Bar(case="500 against 100", said="scheduler alone", value=rows[1].seconds / rows[0].seconds, limit=6)
    ]


def four_thousand(rounds: int, env: dict[str, str]) -> tuple[list[Measured], list[Bar]]:
    """4,000 stub stages in 4 levels by matrix, from nothing."""
    case = "4,000 stubs in 4 levels"

    def prepare(folder: Path) -> None:
        write_dvc_matrix(folder, width=1000, levels=4)

    row = measure(case, "darkroom", prepare, [*ALONE, "--jobs", "2"], rounds=rounds, env=env)
    return [row], [
        Bar(case=case, said="scheduler alone, minutes", value=row.seconds / 60, limit=4),
        Bar(case=case, said="scheduler alone, peak MB", value=row.megabytes, limit=1500),
    ]


def plan_thousand(rounds: int, env: dict[str, str]) -> tuple[list[Measured], list[Bar]]:
    """`darkroom plan` of 1,000 stages in 4 levels."""
    case = "plan of 1,000"

    def prepare(folder: Path) -> None:
        write_dvc_matrix(folder, width=250, levels=4)

    # exit code 3: there is work to do
    planned = ["sh", "-c", "darkroom plan --json > plan.json; test $? -eq 3"]
    row = measure(case, "darkroom", prepare, planned, rounds=rounds, env=env)
    return [row], [
        Bar(case=case, said="seconds", value=row.seconds, limit=3),
        Bar(case=case, said="peak MB", value=row.megabytes, limit=500),
    ]


def dense(rounds: int, env: dict[str, str]) -> tuple[list[Measured], list[Bar]]:
    """300 stages of which each reads what 300 others make: `darkroom plan`, and a run from nothing."""
    case, planned = "300 x 300", ["sh", "-c", "darkroom plan --json > plan.json; test $? -eq 3"]

    def prepare(folder: Path) -> None:
        write_dvc_dense(folder, makers=300, readers=300)

    rows = [
        measure(f"{case}: plan", "darkroom", prepare, planned, rounds=rounds, env=env),
        measure(f"{case}: run", "darkroom", prepare, [*ALONE, "--jobs", "2"], rounds=rounds, env=env),
    ]
    return rows, [
        Bar(case=row.case, said="seconds", value=row.seconds, limit=limit)
        for row, limit in zip(rows, (9, 80), strict=True)
    ]


def output(rounds: int, env: dict[str, str]) -> tuple[list[Measured], list[Bar]]:
    """A stage that prints very much, by darkroom without and with its display, and by DVC."""
    ways = {
        "darkroom": [*ALONE, "--jobs", "2"],
        "darkroom, shown": [*ALONE, "--jobs", "2", "--shown"],
        "dvc repro": ["dvc", "repro"],
    }
    rows, bars = [], []
    for what, step in printers().items():
        case = f"a stage prints {what}"
        prepare = dvc_repository([step])
        these = [measure(case, way, prepare, ways[way], rounds=rounds, env=env) for way in ways]
        rows += these
        bars += [
            Bar(
                case=case,
                said=f"{way}, of dvc repro",
                value=seconds(these, way) / seconds(these, "dvc repro"),
                limit=1.5,
            )
            for way in ("darkroom", "darkroom, shown")
        ]
    return rows, bars


def prefect(rounds: int, _env: dict[str, str]) -> tuple[list[Measured], list[Bar]]:
    """What Prefect adds to a stage: benchmarks/darkroom/prefect_cost.py tells more."""
    stages = 100
    found = prefect_cost.measure(stages, rounds)
    executed = found["executed"]
    cpu = Bar(
        case="Prefect's part",
        said="CPU seconds of recording 100 executed stages, server included",
        value=stages * (executed["run_cpu"] + executed["server_cpu"]),
        limit=prefect_cost.CPU_LIMIT,
    )
    return [], [
        cpu,
        *(
            Bar(
                case="Prefect's part",
                said=f"ms a stage, {case}",
                value=1000 * cost["part"],
                limit=1000 * cost["limit"],
            )
            for case, cost in found.items()
        ),
    ]


CASES = {
    "six": six,
    "three": three,
    "hundred": hundred,
    "growth": growth,
    "four-thousand": four_thousand,
    "plan": plan_thousand,
    "dense": dense,
    "output": output,
    "prefect": prefect,
}


def compared(case: str, steps: list[Step], jobs: int, rounds: int, env: dict[str, str]) -> list[Measured]:
    """The same steps by every tool."""
    paraffin = f"paraffin submit && paraffin worker --jobs {jobs}"
    tools: dict[str, tuple[Callable[[Path], None], list[str]]] = {
        "darkroom": (dvc_repository(steps), [*ALONE, "--jobs", str(jobs)]),
        "dvc repro": (dvc_repository(steps), ["dvc", "repro"]),
        "paraffin": (dvc_repository(steps), ["sh", "-c", paraffin]),
        "snakemake": (
            lambda folder: write_snakemake(folder, steps),
            ["snakemake", "-q", "--cores", str(jobs)],
        ),
        "doit": (lambda folder: write_doit(folder, steps), ["doit", "-n", str(jobs)]),
        "make -j": (lambda folder: write_make(folder, steps), ["make", "-s", f"-j{jobs}", "all"]),
    }
    return [
        measure(case, tool, *how, rounds=rounds, env=env)
        for tool, how in tools.items()
        if tool not in FEW or len(steps) <= 10
    ]


def dvc_repository(steps: list[Step]) -> Callable[[Path], None]:
    """Writes a DVC repository of `steps` into the folder it is given."""
    return lambda folder: write_dvc(folder, steps)


def seconds(rows: list[Measured], tool: str) -> float:
    """The figure of one tool among `rows`."""
    return next(row.seconds for row in rows if row.tool == tool)


def report(rows: list[Measured], bars: list[Bar], rounds: int) -> str:
    """The page that is committed."""
    lines = [
        "# The scheduler, measured",
        "",
        f"`python -m benchmarks.darkroom.scheduler --rounds {rounds}` on {describe()}.",
        "Medians (least to most), a fresh process each, on a fresh folder but where there is nothing to do;",
        "memory of the largest process. `darkroom` is the scheduler alone, `darkroom run` has Prefect, too:",
        "a server of its own that it starts, where none is said to run. The 100 stages are without paraffin:",
        "its worker polls, and a round takes minutes. `darkroom, shown` is the scheduler with its display.",
        "",
        "| case | tool | rounds | seconds | peak MB | what it lacks |",
        "|---|---|---|---|---|---|",
        *(
            f"| {r.case} | {r.tool} | {r.rounds} | {r.seconds:.2f} ({r.spread[0]:.2f} to {r.spread[1]:.2f}) "
            f"| {r.megabytes:.0f} | {LACKS.get(r.tool, '')} |"
            for r in rows
        ),
        "",
        "| bar | value | limit | met |",
        "|---|---|---|---|",
        *(
            f"| {b.case}: {b.said} | {b.value:.2f} | {b.limit:g} | {'yes' if b.met else '**no**'} |"
            for b in bars
        ),
    ]
    return "\n".join(lines) + "\n"


@click.command()
@click.option("--rounds", default=5, show_default=True)
@click.option("--only", multiple=True, type=click.Choice(list(CASES)), help="These cases; all if none.")
@click.option("--out", type=click.Path(path_type=Path), help="Write the page here, too.")
def main(rounds: int, only: tuple[str, ...], out: Path | None) -> None:
    """Measure, print, and write the page if `--out` names one."""
    rows: list[Measured] = []
    bars: list[Bar] = []
    with scratch() as folder:
        env = install_peers(folder)
        for name in only or CASES:
            more_rows, more_bars = CASES[name](rounds, env)
            rows += more_rows
            bars += more_bars
    text = report(rows, bars, rounds)
    print(text)
    if out:
        out.write_text(text)


if __name__ == "__main__":
    main()
