"""Sends a flow run's log also through a pipe to its worker, which adds it to the worker's log."""

from __future__ import annotations

import contextlib
import logging

from prefect.logging.handlers import PrefectConsoleHandler


class LastingConsoleHandler(PrefectConsoleHandler):
    """Prefect's own, but a run outlives its worker: at a broken pipe `rich` ends the process (SystemExit)."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record if anybody still reads."""
        with contextlib.suppress(SystemExit):
            super().emit(record)
