"""A function over many items in processes side by side, results in order, memory bounded."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, Future
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


def in_order(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    processes: int,
    *,
    crashed: Callable[[Item], Result],
) -> Iterator[Result]:
    """Call `function` with each item in so many processes, and give its results in the items' order.

    At most `AHEAD` items for each process are under way, so that memory is bounded where results are taken
    slowly. Loky's processes start afresh and load the function's module alone, not the stage's; none is
    forked from a process with threads. Where one of them crashes, as code of decoders may, `crashed` gives
    the results of all items that were under way, and the others go on. So one process is not this one; 0
    means this one, for what cannot crash.
    """
    if not processes:
        yield from map(function, items)
        return
    items = iter(items)
    broken = True
    while broken:
        broken = False
        under_way: deque[tuple[Item, Future[Result] | None]] = deque()
        try:
            with _pool(processes) as pool:
                for item in items:
                    under_way.append((item, None))  # before it is handed over, which a broken pool refuses
                    under_way[-1] = item, pool.submit(function, item)
                    if len(under_way) > AHEAD * processes:
                        yield _first(under_way)
                while under_way:
                    yield _first(under_way)
        except BrokenExecutor:
            broken = True
            for item, future in under_way:
                yield crashed(item) if _is_lost(future) else future.result()  # type: ignore[union-attr]


def one_by_one(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result | None]:
    """Call `function` with each item in a process of its own kind; None for an item that crashes it."""
    items = iter(items)
    broken = True
    while broken:
        broken = False
        try:
            with _pool(1) as pool:
                for item in items:
                    yield pool.submit(function, item).result()
        except BrokenExecutor:
            broken = True
            yield None


def _pool(processes: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(processes, timeout=IDLE, env={"OMP_NUM_THREADS": "1"})


def _first(under_way: "deque[tuple[Item, Future[Result] | None]]") -> Result:
    """The result of the first item, which is taken away once it has one."""
    future = under_way[0][1]
    assert future is not None
    result = future.result()
    under_way.popleft()
    return result


def _is_lost(future: "Future[Result] | None") -> bool:
    """Whether the item has no result because a process crashed."""
    return future is None or not future.done() or isinstance(future.exception(), BrokenExecutor)
