"""What tests ask of real processes."""

import time
from typing import Any

import psutil

LOOK_SECONDS = 0.02
WAITED = 4
"""Times a look's own duration, before the next: what is waited for needs the processor, too."""
WAITED_MOST = 1.0
"""Seconds: what is waited for may be over soon."""


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_for(condition: Any, seconds: float = 240) -> bool:
    """Whether the condition held once: it is not asked again, since it may hold for a moment only.

    What comes at all comes sooner: only a failure takes so long, and a busy machine is none.
    """
    end = (looked := time.monotonic()) + seconds
    while not condition():
        if time.monotonic() >= end:
            return False
        time.sleep(max(LOOK_SECONDS, min(WAITED * (time.monotonic() - looked), WAITED_MOST)))
        looked = time.monotonic()
    return True
