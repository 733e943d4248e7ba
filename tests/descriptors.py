"""A process that may open only a few more files."""

from __future__ import annotations

import contextlib
import itertools
import resource
from collections.abc import Iterator
from pathlib import Path


def open_descriptors() -> set[int]:
    """The file descriptors of this process that are open."""
    listed = {int(path.name) for path in Path("/proc/self/fd").iterdir()}
    return {number for number in listed if Path(f"/proc/self/fd/{number}").exists()}


@contextlib.contextmanager
def few_descriptors(free: int) -> Iterator[None]:
    """Only so many file descriptors more than are open now."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = open_descriptors()
    unused = (number for number in itertools.count() if number not in taken)
    limit = next(itertools.islice(unused, free, None))
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
