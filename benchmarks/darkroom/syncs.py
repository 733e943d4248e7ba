"""What it costs that every record survives a power cut: trivial stages with and without the syncs, in turn.

    python -m benchmarks.darkroom.syncs [--rounds 7] [--stages 100]

Each figure is the median of fresh processes on fresh folders of the disk that TMPDIR names; "without" makes
fsync and syncfs return at once.
"""

import os
import statistics
import subprocess
import sys
from pathlib import Path

import click

from benchmarks.darkroom.pipelines import trivial, write_dvc
from benchmarks.darkroom.scheduler import scratch, timed
from benchmarks.machine import describe

ALONE = "import runpy; runpy.run_module('benchmarks.darkroom.scheduler_alone', run_name='__main__')"
COUNTED = "import atexit, os; n = []; real = os.fsync; os.fsync = lambda d: n.append(d) or real(d); "
COUNTED += "atexit.register(lambda: print('syncs:', len(n))); "
WAYS = {
    "with": ALONE,
    "without": "import os\nfrom darkroom.base import files\n"
    f"os.fsync = files.sync_file_system = lambda _: None\n{ALONE}",
}


@click.command()
@click.option("--rounds", default=7, show_default=True)
@click.option("--stages", default=100, show_default=True)
def main(rounds: int, stages: int) -> None:
    """Measure and print."""
    env = dict(os.environ) | {"PYTHONPATH": str(Path(__file__).parents[2])}
    taken: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(rounds):
        for way, program in WAYS.items():
            taken[way].append(once(program, stages, env))
    print(f"{stages} trivial stages, {rounds} rounds, on {describe()}")
    for way, seconds in taken.items():
        middle, least, most = statistics.median(seconds), min(seconds), max(seconds)
        print(f"{way:8} {middle:6.2f} s ({least:.2f} to {most:.2f})")
    cost = statistics.median(taken["with"]) - statistics.median(taken["without"])
    print(f"{1000 * cost / stages:.1f} ms a stage; {counted(stages, env)}")


def once(program: str, stages: int, env: dict[str, str]) -> float:
    """Wall seconds of one run in a fresh repository."""
    with scratch() as folder:
        write_dvc(folder / "pipeline", trivial(stages))
        return timed([sys.executable, "-c", program], folder / "pipeline", env)[0]


def counted(stages: int, env: dict[str, str]) -> str:
    """How many syncs one run makes."""
    with scratch() as folder:
        write_dvc(folder / "pipeline", trivial(stages))
        command = [sys.executable, "-c", COUNTED + ALONE]
        done = subprocess.run(
            command, cwd=folder / "pipeline", env=env, check=True, capture_output=True, text=True
        )
    return done.stdout.splitlines()[-1]


if __name__ == "__main__":
    main()
