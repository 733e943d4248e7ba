"""Live through seeds, and print each that goes wrong: `python -m tests.simulation [--far] FIRST LAST`.

A seed is the same each time, in whichever process, so that the number of one that went wrong is all that is
needed to see it again.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click

from benchmarks.machine import describe
from darkroom.schedule.executor import Jobs
from tests.simulation.far_hosts import FarHosts
from tests.simulation.run_loop import Hosts, simulate
from tests.simulation.world import World

CHUNK = 500
"""Seeds that a process lives through before it tells of them."""


@dataclass(frozen=True, slots=True)
class Lived:
    """Seeds that were lived through."""

    seeds: int = 0
    wrong: tuple[str, ...] = ()
    """What is wrong, a line for each seed at which something is."""
    cpu: float = 0.0
    """Seconds of processor time."""

    def __add__(self, other: Lived) -> Lived:
        return Lived(self.seeds + other.seeds, self.wrong + other.wrong, self.cpu + other.cpu)


def live(first: int, last: int, executor: Callable[[World], Jobs] = Hosts) -> Lived:
    """Live through the seeds from `first` to below `last`."""
    wrong, began = [], time.process_time()
    for seed in range(first, last):
        with tempfile.TemporaryDirectory(dir=memory()) as folder:
            try:
                simulate(seed, Path(folder), executor)
            except Exception as error:
                wrong.append(f"seed {seed}: {type(error).__name__}: {error}")
                print(wrong[-1], flush=True)
    return Lived(last - first, tuple(wrong), time.process_time() - began)


def memory() -> str | None:
    """A folder in memory, where there is one: each seed writes some files and syncs them."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


def side_by_side(first: int, last: int, executor: Callable[[World], Jobs], processes: int) -> Iterator[Lived]:
    """The same in processes side by side; what was lived through so far, again and again."""
    starts = range(first, last, CHUNK)
    ends = [min(start + CHUNK, last) for start in starts]
    lived = Lived()
    with ProcessPoolExecutor(processes) as pool:
        for part in pool.map(partial(live, executor=executor), starts, ends):
            lived += part
            yield lived


def page(lived: Lived, first: int, *, far: bool, command: str) -> str:
    """The page that is committed."""
    what = "whose stages execute on other hosts" if far else "whose stages execute in one place"
    lines = [
        "# Simulated runs",
        "",
        f"`{command}` on {describe()}.",
        f"Each seed is a pipeline with five runs of it, {what}. Four of the runs are hit by faults.",
        "",
        "| first seed | seeds | at which something is wrong | processor time a seed |",
        "|---|---|---|---|",
        f"| {first:,} | {lived.seeds:,} | {len(lived.wrong)} | {1000 * lived.cpu / lived.seeds:.1f} ms |",
        *(f"\n    {line}" for line in lived.wrong),
    ]
    return "\n".join(lines) + "\n"


@click.command(help=__doc__)
@click.option("--far", is_flag=True, help="Stages execute on hosts that die, are cut off and return.")
@click.option("--processes", type=click.IntRange(min=1), default=1, help="Processes side by side.")
@click.option("--out", type=click.Path(path_type=Path), help="Where to write the page.")
@click.argument("first", type=int)
@click.argument("last", type=int)
def main(far: bool, processes: int, out: Path | None, first: int, last: int) -> None:
    """Print the seeds at which something is wrong; the page says how far this came, even if it is killed."""
    words = f"{'--far ' if far else ''}--processes {processes} {first} {last}"
    lived = Lived()
    for lived in side_by_side(first, last, FarHosts if far else Hosts, processes):
        if out:
            out.write_text(page(lived, first, far=far, command=f"python -m tests.simulation {words}"))
    each = 1000 * lived.cpu / max(1, lived.seeds)
    print(f"{lived.seeds} seeds, {len(lived.wrong)} wrong, {each:.1f} ms each")
    sys.exit(bool(lived.wrong))


if __name__ == "__main__":
    main()
