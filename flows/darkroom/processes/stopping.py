"""Ctrl-C, SIGTERM and a closed terminal: the run is told to stop, and keeps what has finished.

Python handles a signal only between two of its own steps. While the kernel waits for a dead network mount
there is no such step. Then a thread handles the signal and ends the process. Nothing is half recorded by
that: everything is written beside its place and then renamed, and the kernel frees the locks.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from darkroom.base.exits import Exit
from darkroom.processes.stage_process import GRACE_SECONDS

HANGING_SECONDS = 4.0
"""A run that has not read, written or computed for so long after the first signal hangs."""

LAST_SECONDS = 1.0
"""What a run has for an end in good order after the second signal, or where no stage runs yet."""

_LOOK_SECONDS = 0.3
_LITTLE_BYTES, _LITTLE_SECONDS = 1 << 16, 0.1
"""What other threads move and compute between two looks: a run that does no more hangs."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_SAID = (
    f"\ndarkroom: stopping: what runs may write its checkpoints for {GRACE_SECONDS:.0f} s, what has finished"
    " is kept; Ctrl-C again ends it now\n"
)
_SAID_LAST = (
    "\ndarkroom: interrupted while a file or a disk did not answer (a network mount?); what has finished is"
    " kept, the same again goes on\n"
)


@contextmanager
def stopping_on_signals(stop: threading.Event, at_work: Callable[[], bool]) -> Iterator[None]:
    """Set `stop` at the first signal; a second raises KeyboardInterrupt. Only the main thread hears them.

    While `at_work` says that stages are being executed, which end in their time, the run does not hang.
    A closing terminal may send its signal twice and means it once; what was ignored (nohup) stays so.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def tell(number: int, _: object) -> None:
        if stop.is_set():
            if number != signal.SIGHUP:
                raise KeyboardInterrupt
            return
        stop.set()
        with suppress(OSError):  # the terminal may be gone
            os.write(sys.stderr.fileno(), _SAID.encode())

    with _handled(tell), _ended_where_it_hangs(stop.set, _Hanging(at_work).after):
        yield


@contextmanager
def leaving_on_signals() -> Iterator[None]:
    """Leave the block at the first signal: before anything runs there is nothing to be kept.

    Raises:
        KeyboardInterrupt: A signal came.

    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(_: int, __: object) -> None:
        raise KeyboardInterrupt

    with _handled(leave), _ended_where_it_hangs(lambda: None, lambda _, since: since >= LAST_SECONDS):
        yield


@contextmanager
def _handled(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    heard = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, handler) for number in heard}
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)


GivesUp = Callable[[int, float], bool]
"""Given how many signals came and the seconds since the last: whether to end the process."""


@contextmanager
def _ended_where_it_hangs(unheard: Callable[[], None], gives_up: GivesUp) -> Iterator[None]:
    """End the process where the main thread, after a signal, neither leaves nor gets on.

    `unheard` is called where it does not hear the signal.
    """
    read_end, write_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    before = signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
    left = threading.Event()
    args = (read_end, left, unheard, gives_up)
    watch = threading.Thread(target=_watch, args=args, name="signals", daemon=True)
    watch.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        left.set()
        os.write(write_end, b"\0")
        watch.join()
        os.close(read_end)
        os.close(write_end)


def _watch(read_end: int, left: threading.Event, unheard: Callable[[], None], gives_up: GivesUp) -> None:
    # Blocked here, they are the main thread's to hear; what it has not heard at a second look, it cannot.
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    ready = select.poll()
    ready.register(read_end, select.POLLIN)
    count, last, pending = 0, 0.0, False
    while not left.is_set():
        came = 0
        if ready.poll(_LOOK_SECONDS * 1000):
            came = sum(number in _SIGNALS for number in os.read(read_end, 256))
        elif not count:
            before, pending = pending, not signal.sigpending().isdisjoint(_SIGNALS)
            came = int(before and pending)
            if came:
                unheard()
        if came:
            count, last = count + came, time.monotonic()
        if count and not left.is_set() and gives_up(count, time.monotonic() - last):
            with suppress(OSError):
                os.write(sys.stderr.fileno(), _SAID_LAST.encode())
            os._exit(Exit.INTERRUPTED)


class _Hanging:
    """Whether a run that was told to stop gets on: its stages end in their time, and then it records."""

    def __init__(self, at_work: Callable[[], bool]) -> None:
        self._at_work = at_work
        self._moved, self._computed = 0, 0.0
        self._since = float("inf")

    def after(self, signals: int, seconds: float) -> bool:
        """Whether it has hung for long enough, given the signals and the seconds since the last one."""
        if signals > 1 and seconds >= LAST_SECONDS:
            return True
        now, moved, computed = time.monotonic(), _moved_bytes(), time.process_time()
        busy = moved - self._moved > _LITTLE_BYTES or computed - self._computed > _LITTLE_SECONDS
        if busy or self._since > now or self._at_work():
            self._moved, self._computed, self._since = moved, computed, now
        return now - self._since >= HANGING_SECONDS


def _moved_bytes() -> int:
    """What this process has read and written up to now, by whatever way."""
    lines = Path("/proc/self/io").read_text(encoding="ascii").splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(("rchar", "wchar")))
