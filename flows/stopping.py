"""Ctrl-C, SIGTERM and a cancel on Prefect's pages: the run is told to stop, and keeps what has finished."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LOOK_SECONDS = 2.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def stopping_on_signals(stop: threading.Event) -> Iterator[None]:
    """Set `stop` at the first signal; a second one raises KeyboardInterrupt. Only the main thread hears them.

    To be entered within the flow: Prefect's engine takes SIGTERM for itself when it starts one.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def tell(*_: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        os.write(sys.stderr.fileno(), b"\ndarkroom: stopping the running stages; what has finished stays\n")

    before = {number: signal.signal(number, tell) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def stopping_on_cancel(cancelled: Callable[[], bool], stop: threading.Event) -> Iterator[None]:
    """Set `stop` once `cancelled` says so; it is asked every LOOK_SECONDS, in a thread of its own.

    Prefect itself ends only runs that one of its workers started.
    """
    over = threading.Event()

    def watch() -> None:
        while not over.wait(LOOK_SECONDS):
            if cancelled():
                stop.set()
                return

    thread = threading.Thread(target=watch, name="cancel", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
