"""Ctrl-C, SIGTERM and a terminal that is closed: the run is told to stop, and keeps what has finished."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from flows.stage_process import GRACE_SECONDS

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_SAID = (
    f"\ndarkroom: stopping: what runs may write its checkpoints for {GRACE_SECONDS:.0f} s, what has finished"
    " is kept; Ctrl-C again ends it now\n"
)


@contextmanager
def stopping_on_signals(stop: threading.Event) -> Iterator[None]:
    """Set `stop` at the first signal; a second raises KeyboardInterrupt. Only the main thread hears them.

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

    heard = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, tell) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
