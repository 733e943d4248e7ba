"""What Prefect adds to a run, a stage: `run_recorded` on a running server beside the scheduler alone.

    python -m benchmarks.darkroom.prefect_cost [--stages 100] [--rounds 5]
        [--out benchmarks/darkroom/results/prefect_cost.md]

Each run is a fresh process; the seconds are those of the call, imports left out, the wait for the server at
its end included.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import psutil

from benchmarks.darkroom.pipelines import trivial, write_dvc
from benchmarks.machine import describe
from darkroom.server.clients import client_of
from darkroom.server.temporary import temporary_server

LIMITS = {"executed": 0.1, "restored": 0.1, "skipped": 0.01}
RUN = """
import json, sys, time
from pathlib import Path
from darkroom.runs.engine import RunOptions, run_pipeline
options, how = RunOptions(repo=Path.cwd(), jobs=2), sys.argv[1]
if how == "recorded":
    from darkroom.tracking.pipeline import run_recorded
started, cpu = time.monotonic(), time.process_time()
if how == "recorded":
    record, lost = run_recorded(options, Path.cwd())
    assert lost is None, lost
    report = record.report
else:
    report = run_pipeline(options)
assert report.well, report.errors
print(json.dumps({"seconds": time.monotonic() - started, "cpu": time.process_time() - cpu}))
"""


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds of one run, a stage."""

    alone: float
    recorded: float
    server_cpu: float

    @property
    def part(self) -> float:
        """Prefect's."""
        return self.recorded - self.alone


def measure(stages: int = 100, rounds: int = 5) -> dict[str, Any]:
    """Medians of `rounds` of what a stage costs, in seconds, by what becomes of it."""
    costs: dict[str, list[Cost]] = {case: [] for case in LIMITS}
    with tempfile.TemporaryDirectory(prefix="darkroom-benchmark-") as name:
        folder = Path(name)
        served = folder / "server"
        with temporary_server(served) as url, client_of(served, url):
            for number in range(rounds):
                for case, cost in one_round(folder / str(number), stages).items():
                    costs[case].append(cost)
                    print(f"{case:10} {1000 * cost.part:7.1f} ms a stage", flush=True)
    return {case: medians(found) | {"limit": LIMITS[case]} for case, found in costs.items()}


def one_round(folder: Path, stages: int) -> dict[str, Cost]:
    """Fresh repositories: all executed, all restored, then all up to date, with and without Prefect."""
    # Without a dep DVC's run-cache keeps nothing of a stage.
    steps = [replace(step, deps=["in.txt"]) for step in trivial(stages)]
    costs = {}
    for how in ("alone", "recorded"):
        write_dvc(folder / how, steps)
        (folder / how / "in.txt").write_text("1\n")
    for case in LIMITS:
        if case == "restored":
            for how in ("alone", "recorded"):
                (folder / how / "dvc.lock").unlink()
        costs[case] = compared(folder, stages)
    return costs


def compared(folder: Path, stages: int) -> Cost:
    """A run alone beside a recorded one."""
    alone = timed(folder, "alone")
    before = server_cpu()
    recorded = timed(folder, "recorded")
    return Cost(alone / stages, recorded / stages, (server_cpu() - before) / stages)


def timed(folder: Path, how: str) -> float:
    """Seconds of the run of a fresh process."""
    done = subprocess.run(
        [sys.executable, "-c", RUN, how], cwd=folder / how, check=True, stdout=subprocess.PIPE, text=True
    )
    return float(json.loads(done.stdout.splitlines()[-1])["seconds"])


def server_cpu() -> float:
    """Seconds of processor time that the temporary server has taken, once it rests."""
    (process,) = [
        child for child in psutil.Process().children() if "darkroom.server.serving" in child.cmdline()
    ]
    while True:
        before = sum(process.cpu_times()[:2])
        time.sleep(0.5)
        if sum(process.cpu_times()[:2]) - before < 0.05:
            return float(sum(process.cpu_times()[:2]))


def medians(costs: list[Cost]) -> dict[str, float]:
    """The median of each figure, and the least and the most of Prefect's part."""
    parts = [cost.part for cost in costs]
    return {
        "alone": statistics.median(cost.alone for cost in costs),
        "recorded": statistics.median(cost.recorded for cost in costs),
        "part": statistics.median(parts),
        "least": min(parts),
        "most": max(parts),
        "server_cpu": statistics.median(cost.server_cpu for cost in costs),
    }


def report(found: dict[str, Any], stages: int, rounds: int) -> str:
    """The page that is committed."""
    lines = [
        "# Prefect's part, a stage",
        "",
        f"`python -m benchmarks.darkroom.prefect_cost --stages {stages} --rounds {rounds}` on {describe()}.",
        f"Median of {rounds} (least to most), {stages} trivial stages, 2 jobs, a server on SQLite that runs",
        "already; milliseconds a stage.",
        "",
        "| stages | scheduler alone | recorded | Prefect's part | server's processor time | limit | met |",
        "|---|---|---|---|---|---|---|",
    ]
    for case, figures in found.items():
        ms = {name: f"{1000 * value:.1f}" for name, value in figures.items()}
        met = "yes" if figures["part"] <= figures["limit"] else "**no**"
        part = f"{ms['part']} ({ms['least']} to {ms['most']})"
        row = (case, ms["alone"], ms["recorded"], part, ms["server_cpu"], ms["limit"], met)
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines) + "\n"


@click.command(help=__doc__)
@click.option("--stages", type=click.IntRange(min=1), default=100)
@click.option("--rounds", type=click.IntRange(min=1), default=5)
@click.option("--out", type=click.Path(path_type=Path), help="Where to write the page.")
def main(stages: int, rounds: int, out: Path | None) -> None:
    """Measure, print, and write the page if `--out` names one."""
    text = report(measure(stages, rounds), stages, rounds)
    print(text)
    if out:
        out.write_text(text)


if __name__ == "__main__":
    main()
