"""Whether the host of an attempt is lost: decided by what it does, never by a clock that is not ours."""

from __future__ import annotations

from darkroom.exchange.board import Seen

LONGEST_STEP_SECONDS = 5.0
"""The most of the time between two looks that counts as silence: this host may itself have slept."""


class Watch:
    """The silence of one attempt's host, in seconds, as far as it was looked for."""

    def __init__(self, lost_after: float) -> None:
        self._lost_after = lost_after
        self._at: float | None = None
        self._seen: Seen | None = None
        self.silence = 0.0

    def looked(self, seen: Seen | None, now: float) -> bool:
        """Take note of a look; True: the host is lost.

        `seen` is None where the board could not be reached. That is no news: neither of the host nor of its
        silence. An attempt that nobody has claimed is nobody's to lose.
        """
        passed = 0.0 if self._at is None else min(now - self._at, LONGEST_STEP_SECONDS)
        self._at = now
        if seen is None:
            return False
        before, self._seen = self._seen, seen
        if before is None or (before.host, before.beat) != (seen.host, seen.beat):
            self.silence = 0.0
        elif seen.host is not None:
            self.silence += passed
        return self.silence >= self._lost_after
