"""Which lines of an output are passed on to a receiver that cannot take all of them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from darkroom.base.text import format_count

_TELLING = ("error", "exception", "traceback", "fatal", "fail", "panic", "out of memory", "killed")


class Excerpt:
    """The first lines of an output, those that look like errors, and the last ones; how many lack is said.

    `first` lines are passed on, and with `per_second` as many more as time goes by: an output that is slow
    enough is passed on whole. At most `errors` lines are passed on beyond that because they look like errors.
    `whole` says where the whole output is, as the end of a sentence.
    """

    def __init__(
        self,
        *,
        first: int,
        errors: int,
        last: int,
        whole: str,
        per_second: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most, self._per_second, self._clock = first, per_second, clock
        self._room, self._filled, self._open = float(first), clock(), True
        self._errors, self._whole = errors, whole
        self._lacking = 0
        self._last: deque[str] = deque(maxlen=last)

    def take(self, lines: Sequence[str]) -> list[str]:
        """Take in the next lines of the output; those that are passed on."""
        self._refill()
        room = min(int(self._room), len(lines)) if self._open else 0
        self._room -= room
        passed = [*self._note(), *lines[:room]] if room else []
        if room == len(lines):
            return passed
        self._open = False
        left = list(lines[room:])
        telling = list(islice(telling_lines(left), self._errors))
        self._errors -= len(telling)
        for line in telling:
            left.remove(line)
        self._lacking += len(left)
        self._last.extend(left)
        return passed + telling

    def catch_up(self) -> list[str]:
        """How many lines lack up to now, and the last of them: nothing more comes, or not for a while."""
        last = list(self._last)
        self._lacking -= len(last)
        return [*self._note(), *last]

    def _refill(self) -> None:
        now = self._clock()
        self._room = min(self._most, self._room + (now - self._filled) * self._per_second)
        self._filled = now
        # Once it has been too much, what is passed on are long pieces with few gaps between them.
        self._open |= self._room >= self._most / 2

    def _note(self) -> Iterator[str]:
        if self._lacking:
            yield f"darkroom: {format_count(self._lacking, 'line')} left out here; {self._whole}"
        self._lacking = 0
        self._last.clear()


def telling_lines(lines: Sequence[str]) -> Iterator[str]:
    """The lines that look like errors. Looks at many lines at once: most often there are none."""
    text = "\n".join(lines).lower()
    if not any(word in text for word in _TELLING):
        return
    if len(lines) == 1:
        yield lines[0]
        return
    middle = len(lines) // 2
    yield from telling_lines(lines[:middle])
    yield from telling_lines(lines[middle:])
