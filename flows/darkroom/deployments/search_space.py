"""What a sweep tries: parameters with several values, as a grid or as random draws.

Values are written as for `dvc exp run -S`, in Hydra's grammar: choices `train.lr=0.1,0.2` and numbers
`train.epochs=range(1,10,2)`. Random draws may also use intervals: `train.lr=interval(0.001,0.1)`, uniform in
the logarithm by `tag(log,interval(0.001,0.1))`, whole numbers by `int(interval(8,64))`. A file other than
params.yaml stands before the key: `other.yaml:train.lr=...`.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override
from hydra.errors import HydraException

from darkroom.base.errors import UsageError

DIGITS = 6
"""The significant digits of a drawn number: what is written into params.yaml can be read."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One setting of all parameters of a sweep."""

    name: str
    """The sweep's, and a hash of the settings: in every sweep of that name the same for the same trial."""
    settings: tuple[str, ...]
    """`key=value`, or `file:key=value`, a parameter."""


@dataclass(frozen=True, slots=True)
class Axis:
    """A parameter and its values: a list of them, or an interval to draw from."""

    key: str
    values: tuple[str, ...]
    interval: IntervalSweep | None = None

    def draw(self, rng: random.Random) -> str:
        """One value."""
        return _within(self.interval, rng) if self.interval else rng.choice(self.values)


def make_trials(sweep: str, given: Sequence[str], draws: int, seed: int) -> list[Trial]:
    """All combinations of the values, or so many `draws` of them; none twice.

    Where there are fewer combinations than draws, there are fewer trials.

    Raises:
        UsageError: A parameter cannot be read, or an interval is given without `draws`.

    """
    axes = [parse_axis(text) for text in given]
    settings = _drawn(axes, draws, seed) if draws else _grid(axes)
    return [Trial(_name(sweep, one), one) for one in dict.fromkeys(settings)]


def parse_axis(text: str) -> Axis:
    """A parameter as it is given.

    Raises:
        UsageError: The text has no key, no values, or an interval that cannot be drawn from.

    """
    left, equals, value = text.partition("=")
    file, colon, key = left.rpartition(":")
    if not (key and equals and value):
        raise UsageError(f"-S {text}: a key and its values are needed, such as train.lr=0.1,0.2")
    try:
        override = OverridesParser.create().parse_override(f"{key}={value}")
    except HydraException as error:
        raise UsageError(f"-S {text}: {' '.join(str(error).split())}") from error
    name = f"{file}{colon}{override.key_or_group}"
    interval = override.value()
    if isinstance(interval, IntervalSweep):
        return Axis(name, (), _checked(interval, text))
    return Axis(name, tuple(_values(override)))


def _values(override: Override) -> Iterator[str]:
    if override.is_sweep_override():
        return iter(override.sweep_string_iterator())
    return iter([override.get_value_element_as_str()])


def _checked(interval: IntervalSweep, text: str) -> IntervalSweep:
    start, end = float(interval.start or 0), float(interval.end or 0)
    if not start < end:
        raise UsageError(f"-S {text}: an interval goes from the smaller number to the larger")
    if "log" in interval.tags and start <= 0:
        raise UsageError(f"-S {text}: an interval over powers of ten starts above 0")
    return interval


def _within(interval: IntervalSweep, rng: random.Random) -> str:
    start: Any = interval.start
    end: Any = interval.end
    logarithmic = "log" in interval.tags
    if isinstance(start, int) and isinstance(end, int):
        if not logarithmic:
            return str(rng.randint(start, end))
        return str(round(math.exp(rng.uniform(math.log(start), math.log(end)))))
    drawn = math.exp(rng.uniform(math.log(start), math.log(end))) if logarithmic else rng.uniform(start, end)
    return f"{drawn:.{DIGITS}g}"


def _grid(axes: Sequence[Axis]) -> Iterator[tuple[str, ...]]:
    for one in axes:
        if one.interval:
            raise UsageError(
                f"-S {one.key}: an interval has infinitely many values; choose how many to try by --draws"
            )
    for values in itertools.product(*(one.values for one in axes)):
        yield tuple(f"{one.key}={value}" for one, value in zip(axes, values, strict=True))


def _drawn(axes: Sequence[Axis], draws: int, seed: int) -> Iterator[tuple[str, ...]]:
    """Draw as many different settings as asked for; fewer where no new ones are found any more."""
    rng = random.Random(seed)
    seen: set[tuple[str, ...]] = set()
    for _ in range(100 * draws):
        drawn = tuple(f"{one.key}={one.draw(rng)}" for one in axes)
        if drawn not in seen:
            seen.add(drawn)
            yield drawn
        if len(seen) == draws:
            return


def _name(sweep: str, settings: Sequence[str]) -> str:
    return f"{sweep}-{hashlib.sha256(chr(10).join(sorted(settings)).encode()).hexdigest()[:8]}"
