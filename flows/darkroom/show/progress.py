"""The progress of a stage, read from its output: from lines that any training prints, without darkroom.

It understands a line for each finished epoch, `epoch 3/10 loss 0.31 accuracy 0.91 left 40 s` (also step,
batch, iteration, round; `Epoch [3/10]`; `loss=0.31`), a line without figures at the epoch's start, and tqdm's
bars.
"""

from __future__ import annotations

import datetime
import math
import re
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from darkroom.base.text import format_duration
from darkroom.show.markdown import inline_text, markdown_table

ROWS = 30
"""How many epochs a table of them shows: the last ones."""

FIGURES = 6
NAME_CHARACTERS = 24
LINE_CHARACTERS = 500  # a longer one tells of something else
BAR_CELLS = 30

_COUNT = re.compile(
    r"\W*(epoch|step|batch|iteration|round)s?\W{1,3}(\d{1,9})\s*(?:/|of)\s*(\d{1,9})\b(.*)", re.I
)
_BAR = re.compile(r"(.*?)\s*\d{1,3}%\|[^|]*\|\s*(\d{1,9})/(\d{1,9}) \[[\d:]+<([\d:]+|\?)(?:, *([^\]]*))?\]")
_NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?", re.I)
_WORD = re.compile(r"[a-z][\w/@.-]*", re.I)
_NAME_WORDS = 2
_LEFT = re.compile(r"\bleft (\d+(?:\.\d+)?) s\b")


@dataclass(frozen=True, slots=True)
class Step:
    """What one line tells."""

    unit: str
    """`epoch`; empty: a bar that says not what it counts."""
    number: int
    total: int
    done: float
    """How many of the total are done."""
    figures: tuple[tuple[str, str], ...] = ()
    left: float | None = None
    """Seconds, as the stage judges."""

    @property
    def share(self) -> float:
        """The part that is done, from 0 to 1."""
        return min(1.0, self.done / self.total)

    def counts_other_than(self, before: Step) -> bool:
        """Whether a line before it counted something else, or the same from its beginning."""
        return (self.unit, self.total) != (before.unit, before.total) or self.done < before.done


def is_bar(line: str) -> bool:
    """Whether it is one of tqdm's, of which the next one takes the place."""
    return "%|" in line and _BAR.search(line) is not None


def step_of(line: str) -> Step | None:
    """What a line tells of the progress; None: nothing."""
    if ("/" not in line and " of " not in line) or len(line) > LINE_CHARACTERS:
        return None
    if "%|" in line and (bar := _BAR.search(line)):
        return _of_bar(*bar.groups())
    if count := _COUNT.match(line):
        return _of_count(*count.groups())
    return None


def _of_count(unit: str, number: str, total: str, rest: str) -> Step | None:
    """A line with figures says that it is done, one without that it begins."""
    left = _LEFT.search(rest)
    figures = _figures(_LEFT.sub("", rest))
    done = int(number) if figures or left else int(number) - 1
    if not 0 <= done <= int(total) or not int(total):
        return None
    seconds = float(left[1]) if left else None
    return Step(unit.lower(), int(number), int(total), done, figures, seconds)


def _of_bar(head: str, number: str, total: str, left: str, tail: str | None) -> Step | None:
    """tqdm's, alone or within an epoch that stands before it."""
    if not int(total):
        return None
    _, _, postfix = (tail or "").partition(",")  # what comes first is the rate
    figures, share = _figures(postfix), int(number) / int(total)
    outer = _COUNT.match(head)
    if outer is None:
        return Step("", int(number), int(total), int(number), figures, _seconds(left))
    unit, epoch, epochs = outer[1].lower(), int(outer[2]), int(outer[3])
    if not 1 <= epoch <= epochs:
        return None
    return Step(unit, epoch, epochs, epoch - 1 + min(1.0, share), figures)


def _figures(text: str) -> tuple[tuple[str, str], ...]:
    """The numbers in a line that have a name of one or two words before them."""
    found: list[tuple[str, str]] = []
    words: list[str] = []
    for token in re.split(r"[\s=:,;|()\[\]]+", text):
        if _NUMBER.fullmatch(token):
            if words:
                found.append((" ".join(words[-_NAME_WORDS:])[-NAME_CHARACTERS:], token))
            words = []
        elif _WORD.fullmatch(token):
            words.append(token)
    return tuple(found[:FIGURES])


def _seconds(text: str) -> float | None:
    """`1:02:03` or `02:03`."""
    if "?" in text:
        return None
    parts = [int(part or 0) for part in text.split(":")]
    return float(sum(part * 60**place for place, part in enumerate(reversed(parts))))


@dataclass(slots=True)
class StageProgress:
    """How far one stage is, and how it got there. For one thread at a time."""

    clock: Callable[[], float] = time.monotonic
    last: Step | None = field(init=False, default=None)
    _began: tuple[float, float] = field(init=False, default=(0.0, 0.0))
    _took: float = field(init=False, default=0.0)
    _epochs: deque[Step] = field(init=False, default_factory=lambda: deque(maxlen=ROWS))

    def take(self, line: str) -> bool:
        """Note what a line tells. False: it tells nothing."""
        step = step_of(line)
        if step is None:
            return False
        before, self._took = self.last, self.clock()
        if (
            before is None
            or (step.unit, step.total) != (before.unit, before.total)
            or step.done < before.done
        ):
            self._began = self._took, step.done  # another thing is counted now
            self._epochs.clear()
        self.last = step
        if step.figures and step.done == step.number and step.unit:
            self._epochs.append(step)
        return True

    def left(self) -> float | None:
        """The seconds left: as the stage says, else estimated from the pace since its first line."""
        if self.last is None:
            return None
        if self.last.left is not None:
            return max(0.0, self.last.left - (self.clock() - self._took))
        since, done = self._began
        made, elapsed = self.last.done - done, self._took - since
        if made <= 0 or elapsed <= 0:
            return None
        return max(0.0, (self.last.total - self.last.done) * elapsed / made - (self.clock() - self._took))

    def words(self) -> str:
        """`epoch 3/10, about 40 s left, loss 0.31`; empty where nothing is known.

        A narrow terminal cuts the end off, so the figures stand there.
        """
        if self.last is None:
            return ""
        named = f"{self.last.unit} {self.last.number}/{self.last.total}".strip()
        figures = [f"{name} {value}" for name, value in self.last.figures[:2]]
        return ", ".join([named, *self._left_in_words(), *figures])

    def _left_in_words(self) -> Iterator[str]:
        left = self.left()
        if left is not None and self.last is not None and self.last.share < 1:
            yield f"about {format_duration(left)} left"

    def page(self, now: datetime.datetime) -> str:
        """The progress as markdown, a few kilobytes at most."""
        if self.last is None:
            return ""
        full = math.floor(self.last.share * BAR_CELLS)
        bar = f"`{'█' * full}{'░' * (BAR_CELLS - full)}` {self.last.share:.0%}"
        parts = [f"**{inline_text(self.words())}** (at {now:%H:%M:%S})", bar, *self._table()]
        return "\n\n".join(parts) + "\n"

    def _table(self) -> Iterator[str]:
        """The epochs that are done, the last first."""
        if not self._epochs:
            return
        names = [name for name, _ in self._epochs[-1].figures]
        rows = [
            [str(step.number), *(dict(step.figures).get(name, "") for name in names)]
            for step in reversed(self._epochs)
        ]
        yield markdown_table([self._epochs[-1].unit, *names], rows)
