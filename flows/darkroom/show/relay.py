"""Passes events on from a thread of its own, so that nobody who works waits for a display."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence

from darkroom.base.text import format_count
from darkroom.schedule.events import Event, StageAgain, StageBar, StageFinished, StageLine

WAITING_LINES = 2000
"""The most lines of a stage that wait to be shown."""


class Relay:
    """Takes events from any thread, and tells them in their order, several at a time.

    Lines beyond WAITING_LINES of a stage are left out, and a line says how many. All other events are told.
    """

    def __init__(self, tell: Callable[[Sequence[Event]], None]) -> None:
        self._tell = tell
        self._changed = threading.Condition()
        self._events: list[Event] = []
        self._lines: Counter[str] = Counter()
        self._left_out: Counter[str] = Counter()
        self._closing = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._deliver, name="display", daemon=True)
        self._thread.start()

    def __call__(self, event: Event) -> None:
        """Pass the event on soon."""
        with self._changed:
            if isinstance(event, StageLine | StageBar):
                if self._lines[event.stage] >= WAITING_LINES:
                    self._left_out[event.stage] += isinstance(event, StageLine)
                    return
                self._lines[event.stage] += 1
            elif isinstance(event, StageFinished | StageAgain):
                self._say_left_out(event.stage)
            self._events.append(event)
            self._changed.notify()

    def close(self) -> None:
        """Return when all is told; an error of the display's is raised here."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()
        if self._error:
            raise self._error

    def _deliver(self) -> None:
        while events := self._next():
            if self._error is None:
                try:
                    self._tell(events)
                except BaseException as error:  # the run goes on, and hears of it in the end
                    self._error = error

    def _next(self) -> list[Event]:
        """What has come since the last call, waited for; nothing more where it is the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._events or self._closing)
            for stage in list(self._left_out):
                self._say_left_out(stage)
            events, self._events = self._events, []
            self._lines.clear()
            return events

    def _say_left_out(self, stage: str) -> None:
        if number := self._left_out.pop(stage, 0):
            said = f"darkroom: {format_count(number, 'line')} left out here; the stage's log has all of them"
            self._events.append(StageLine(stage, said))
