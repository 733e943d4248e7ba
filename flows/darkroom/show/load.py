"""How much of the host is in use at the moment, for the live display of a run."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import psutil

from darkroom.gpus.devices import Gpus, host_gpus

PERIOD = 1.0  # seconds for which a reading holds: the display is drawn more often
GIB = 1 << 30


@dataclass(slots=True)
class HostLoad:
    """Cores, memory and GPUs in use, read at most once a second."""

    clock: Callable[[], float] = time.monotonic
    _gpus: Gpus = field(init=False)
    _words: str = field(init=False, default="")
    _read: float = field(init=False, default=float("-inf"))

    def __post_init__(self) -> None:
        self._gpus = host_gpus(os.environ)
        psutil.cpu_percent()  # the first call only begins to count

    def words(self) -> str:
        """`CPU 93 %, memory 5.1 of 23.4 GiB, GPU 0 12.0 of 139.8 GiB`."""
        if self.clock() - self._read >= PERIOD:
            self._read = self.clock()
            memory = psutil.virtual_memory()
            parts = [
                f"CPU {psutil.cpu_percent():.0f} %",
                f"memory {in_gib(memory.total - memory.available, memory.total)}",
            ]
            for number, device in enumerate(self._gpus.devices if self._gpus.reader else ()):
                if (use := self._gpus.use(device)) is not None:
                    parts.append(f"GPU {number} {in_gib(use.memory, device.memory)}")
            self._words = ", ".join(parts)
        return self._words


def in_gib(used: int, total: int) -> str:
    """`5.1 of 23.4 GiB`."""
    return f"{used / GIB:.1f} of {total / GIB:.1f} GiB"
