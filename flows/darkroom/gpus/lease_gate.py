"""Lets one run at a time decide who gets which GPUs: Lamport's bakery algorithm, with files in a folder.

A run that comes draws a number greater than all others, and waits for the runs with smaller numbers. It also
waits for those that are just drawing. Each run writes only its own number. So no lock is needed that anybody
could hold anonymously. The number is the length of the part of its file that the run has locked.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from darkroom.base.locks import FOR_EVER
from darkroom.gpus.lease_folder import LeaseFile, OwnFile, SharedFolder

GATE = "gate"

_DRAWS = FOR_EVER  # instead of a number; to let go of the rest succeeds always, to take more need not
_TRY_SECONDS = 1.0
_PAUSE_SECONDS = 0.005


@contextmanager
def alone_at_gate(folder: SharedFolder, note: Mapping[str, Any]) -> Iterator[LeaseFile | None]:
    """Decide while no other run does. Yields None, or the file of a run that stayed ahead for a second.

    Raises:
        LeaseError: The folder of the leases cannot be used.

    """
    with folder.make(GATE, _DRAWS, note) as mine:
        last = max(_others(folder, mine), key=_number, default=None)
        number = 1 + _number(last)
        if last and number >= _DRAWS:
            yield last
            return
        mine.hold_only(number)
        yield _who_stays_ahead(folder, mine, number)


def _number(file: LeaseFile | None) -> int:
    return file.length if file and file.length < _DRAWS else 0


def _others(folder: SharedFolder, mine: OwnFile) -> list[LeaseFile]:
    return [file for file in folder.held(GATE) if file.inode != mine.inode]


def _who_stays_ahead(folder: SharedFolder, mine: OwnFile, number: int) -> LeaseFile | None:
    """Wait for the runs with smaller numbers. A run that comes after this look sees our number."""
    give_up = time.monotonic() + _TRY_SECONDS
    for other in _others(folder, mine):
        while (now := folder.look(other.name)) and now.inode == other.inode:
            if _number(now) and (number, mine.inode) < (now.length, now.inode):
                break
            if time.monotonic() > give_up:
                return now
            time.sleep(_PAUSE_SECONDS)
    return None
