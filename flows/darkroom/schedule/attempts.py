"""The retry policy: which stages of a run are started again, and when."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from darkroom.processes.stage_process import Ending, StageResult
from darkroom.schedule.events import StageAgain

FIRST_WAIT_SECONDS = 2.0
"""The seconds before the first retry; they double for each further one."""

LONGEST_WAIT_SECONDS = 120.0

LOSSES = 5
"""How many lost hosts a stage of one run outlives; they are none of its retries."""

NOT_ITS_FAULT = (Ending.KILLED, Ending.OUT_OF_MEMORY, Ending.LOST)
"""Endings that are worth another attempt. A time-out is not: the same work would take as long again."""


class Attempts:
    """The attempts at each stage of one run.

    `retries` says of each stage how often it may be begun once more after a kill.
    """

    def __init__(self, retries: Mapping[str, int]) -> None:
        self._retries = retries
        self._begun: Counter[str] = Counter()
        self._apart: Counter[str] = Counter()
        self._lost: Counter[str] = Counter()

    def begin(self, name: str) -> int:
        """Count an attempt; its number, from 1."""
        self._begun[name] += 1
        return self._begun[name]

    def number_of(self, name: str) -> int:
        """How many attempts at the stage were begun."""
        return self._begun[name]

    def after(self, name: str, result: StageResult) -> StageAgain | None:
        """The next attempt after one that did not end well; None: there is none."""
        if result.ending is Ending.LOST:
            self._lost[name] += 1
            return self.apart(name, result.describe()) if self._lost[name] <= LOSSES else None
        retry = self._begun[name] - self._apart[name]
        if result.ending not in NOT_ITS_FAULT or retry > self._retries[name]:
            return None
        seconds = min(FIRST_WAIT_SECONDS * 2 ** (retry - 1), LONGEST_WAIT_SECONDS)
        return StageAgain(name, result.describe(), seconds, retry, self._retries[name])

    def apart(self, name: str, reason: str) -> StageAgain:
        """The next attempt after one that something beside it ended: it is none of the stage's retries."""
        self._apart[name] += 1
        return StageAgain(name, reason, 0.0, 0, 0)
