"""How fast a network is: pictures a second, milliseconds for one alone. Printed only: files must repeat."""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def timed(done: str, pictures: int) -> Iterator[None]:
    """Time the block, and print how many pictures were `done` in a second."""
    started = time.perf_counter()
    yield
    print(f"{pictures} pictures {done}: {pictures / (time.perf_counter() - started):.0f} a second")


def latency(look: Callable[[slice], object], pictures: int, *, times: int = 30) -> float:
    """Measure milliseconds for one picture alone: the median of so many looks, after one that warms up.

    `look` takes one of the `pictures`, as a slice of their rows, from memory to a result on the CPU.
    """
    moments = []
    for turn in range(times + 1):
        row = turn % pictures
        started = time.perf_counter()
        look(slice(row, row + 1))
        moments.append(time.perf_counter() - started)
    return 1000 * statistics.median(moments[1:])
