"""What Prefect adds to a run, a stage: a run that is recorded beside the scheduler alone.

    python -m benchmarks.darkroom.prefect_cost [--stages 100] [--rounds 5]
        [--out benchmarks/darkroom/results/prefect_cost.md]

Each run is a fresh process; the seconds are those of the call, imports left out. What it tells is delivered
after it, by the project's own server, which is started for it and ends: its processor time is counted whole.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from benchmarks.darkroom.pipelines import trivial, write_dvc
from benchmarks.machine import describe
from darkroom.reporting.outbox import waiting_outboxes

LIMITS = {"executed": 0.1, "restored": 0.1, "skipped": 0.01}
CPU_LIMIT = 4.0
"""Seconds of processor time for recording 100 executed stages, the server included."""

RUN = """
import json, sys, time
from pathlib import Path
from darkroom.runs.engine import RunOptions, run_pipeline
options, how = RunOptions(repo=Path.cwd(), jobs=2), sys.argv[1]
if how == "recorded":
    from darkroom.reporting.deliverers import Destination
    from darkroom.reporting.pipeline import run_reported
started, cpu = time.monotonic(), time.process_time()
if how == "recorded":
    record, lost = run_reported(options, Path.cwd(), Destination("", "", 0))
    assert lost is None, lost
    report = record.report
else:
    report = run_pipeline(options)
assert report.well, report.errors
print(json.dumps({"seconds": time.monotonic() - started, "cpu": time.process_time() - cpu}))
"""
DELIVER = """
import resource, subprocess, sys
subprocess.run([sys.executable, "-m", "darkroom.tracking.recorder_process", sys.argv[1], ""], check=True)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_utime + used.ru_stime)
"""


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds of one run, a stage."""

    alone: float
    recorded: float
    run_cpu: float
    """Of processor time, that the recorded run takes more."""
    server_cpu: float
    """Of processor time, that the delivery takes, the server's start included."""

    @property
    def part(self) -> float:
        """Prefect's."""
        return self.recorded - self.alone


def measure(stages: int = 100, rounds: int = 5) -> dict[str, Any]:
    """Medians of `rounds` of what a stage costs, in seconds, by what becomes of it."""
    costs: dict[str, list[Cost]] = {case: [] for case in LIMITS}
    with tempfile.TemporaryDirectory(prefix="darkroom-benchmark-") as name:
        for number in range(rounds):
            for case, cost in one_round(Path(name) / str(number), stages).items():
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
    alone, cpu_alone = timed(folder, "alone")
    recorded, cpu = timed(folder, "recorded")
    server = delivery_cpu(folder / "recorded")
    return Cost(alone / stages, recorded / stages, (cpu - cpu_alone) / stages, server / stages)


def timed(folder: Path, how: str) -> tuple[float, float]:
    """Seconds of the run of a fresh process, and its processor time."""
    command = [sys.executable, "-c", RUN, how]
    done = subprocess.run(command, cwd=folder / how, check=True, stdout=subprocess.PIPE, text=True)
    found = json.loads(done.stdout.splitlines()[-1])
    return float(found["seconds"]), float(found["cpu"])


def delivery_cpu(root: Path) -> float:
    """Seconds of processor time that a fresh server takes to deliver what waits."""
    env = os.environ | {"DARKROOM_SERVER_SECONDS": "0.1"}
    command = [sys.executable, "-c", DELIVER, str(root)]
    done = subprocess.run(command, env=env, check=True, stdout=subprocess.PIPE, text=True)
    assert not waiting_outboxes(root)
    return float(done.stdout)


def medians(costs: list[Cost]) -> dict[str, float]:
    """The median of each figure, and the least and the most of Prefect's part."""
    parts = [cost.part for cost in costs]
    return {
        "alone": statistics.median(cost.alone for cost in costs),
        "recorded": statistics.median(cost.recorded for cost in costs),
        "part": statistics.median(parts),
        "least": min(parts),
        "most": max(parts),
        "run_cpu": statistics.median(cost.run_cpu for cost in costs),
        "server_cpu": statistics.median(cost.server_cpu for cost in costs),
    }


def report(found: dict[str, Any], stages: int, rounds: int) -> str:
    """The page that is committed."""
    lines = [
        "# Prefect's part, a stage",
        "",
        f"`python -m benchmarks.darkroom.prefect_cost --stages {stages} --rounds {rounds}` on {describe()}.",
        f"Median of {rounds} (least to most), {stages} trivial stages, 2 jobs, SQLite; milliseconds a stage.",
        "Processor time: what a recorded run takes more, and its delivery, a server's start included.",
        "",
        "| stages | scheduler alone | recorded | Prefect's part | CPU: run | delivery | limit | met |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for case, figures in found.items():
        ms = {name: f"{1000 * value:.1f}" for name, value in figures.items()}
        met = "yes" if figures["part"] <= figures["limit"] else "**no**"
        part = f"{ms['part']} ({ms['least']} to {ms['most']})"
        row = (
            *(case, ms["alone"], ms["recorded"], part, ms["run_cpu"], ms["server_cpu"]),
            *(ms["limit"], met),
        )
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
