"""`python -m tests.simulation [--far] FIRST LAST`: live through seeds, and print each that goes wrong."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from darkroom.schedule.executor import Jobs
from tests.simulation.far_hosts import FarHosts
from tests.simulation.run_loop import Hosts, simulate
from tests.simulation.world import World


def main(first: int, last: int, executor: Callable[[World], Jobs] = Hosts) -> int:
    """Return the number of seeds at which something is wrong."""
    wrong = 0
    for seed in range(first, last):
        with tempfile.TemporaryDirectory(dir=memory()) as folder:
            try:
                simulate(seed, Path(folder), executor)
            except Exception as error:
                wrong += 1
                print(f"seed {seed}: {type(error).__name__}: {error}", flush=True)
    print(f"{last - first} seeds, {wrong} wrong")
    return wrong


def memory() -> str | None:
    """A folder in memory, where there is one: each seed writes some files and syncs them."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


if __name__ == "__main__":
    words = [word for word in sys.argv[1:] if word != "--far"]
    sys.exit(bool(main(*map(int, words), FarHosts if "--far" in sys.argv else Hosts)))
