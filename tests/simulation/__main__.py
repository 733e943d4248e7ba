"""`python -m tests.simulation FIRST LAST`: live through these seeds, and print each that goes wrong."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.simulation.run_loop import simulate


def main(first: int, last: int) -> int:
    """Return the number of seeds at which something is wrong."""
    wrong = 0
    for seed in range(first, last):
        with tempfile.TemporaryDirectory(dir=memory()) as folder:
            try:
                simulate(seed, Path(folder))
            except Exception as error:
                wrong += 1
                print(f"seed {seed}: {type(error).__name__}: {error}", flush=True)
    print(f"{last - first} seeds, {wrong} wrong")
    return wrong


def memory() -> str | None:
    """A folder in memory, where there is one: each seed writes some files and syncs them."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


if __name__ == "__main__":
    sys.exit(bool(main(*map(int, sys.argv[1:]))))
