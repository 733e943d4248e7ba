"""`python -m darkroom.hosting.cluster_job STORAGE TOKEN`: execute one attempt, as a job of a cluster."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from pathlib import Path

from darkroom.base.locks import LockFileError
from darkroom.exchange.storages import open_storage
from darkroom.hosting.execution import execute_claimed
from darkroom.hosting.place import HostPlace, host_name
from darkroom.processes.stopping import stopping_on_signals

ALREADY_CLAIMED = 75


def main(storage: str, token: str) -> int:
    """Claim the attempt and execute it; the exit code for the cluster, which nobody reads."""
    stop = threading.Event()
    place = HostPlace(own_folder(), open_storage(storage))
    with contextlib.suppress(OSError, LockFileError):  # it is in nobody's way
        place.remove_left()
    order = place.board.order(token)
    if order is None or not place.board.claim(token, host_name()):
        return ALREADY_CLAIMED
    with stopping_on_signals(stop, lambda: True):
        execute_claimed(place, order, {}, (), stop, lambda line: print(f"darkroom: {line}", flush=True))
    return 0


def own_folder() -> Path:
    """The folder of this host's attempts: DARKROOM_WORK, or one in the user's cache."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("DARKROOM_WORK") or Path(cache) / "darkroom" / "hosts" / host_name())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
