"""A function over many items in processes side by side, results in order, memory bounded."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from typing import TypeVar

from loky import ProcessPoolExecutor  # type: ignore[import-untyped]

Item = TypeVar("Item")
Result = TypeVar("Result")

AHEAD = 3  # items under way for each process: one at work, others waiting, so that none is ever idle
IDLE = 60  # seconds after which a process ends that nobody asks any more, as when its owner was killed


def cores() -> int:
    """How many this process was given: by whoever started it, else by the system."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    return int(given) if given.isdecimal() and int(given) else len(os.sched_getaffinity(0))


def in_order(function: Callable[[Item], Result], items: Iterable[Item], processes: int) -> Iterator[Result]:
    """Call `function` with each item in so many processes, and give its results in the items' order.

    At most `AHEAD` items for each process are under way, so that memory is bounded where results are taken
    slowly. One process means this one. Loky's processes start afresh and load the function's module alone,
    not the stage's; none is forked from a process with threads.
    """
    if processes == 1:
        yield from map(function, items)
        return
    waiting: deque[Future[Result]] = deque()
    with ProcessPoolExecutor(processes, timeout=IDLE, env={"OMP_NUM_THREADS": "1"}) as pool:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > AHEAD * processes:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
