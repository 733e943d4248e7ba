"""Outs that lie finished in the workspace, but could not be put into DVC's cache: its disk was full.

What decided them and what they are is noted, so that the next run keeps them instead of making them anew.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flows.files import write_text

Facts = Mapping[str, Any]
"""A stage's command, and the hashes of its deps and outs by path; fit for JSON."""


class Unkept:
    """The note in `.darkroom/unkept.json`; where it cannot be written, the stage is executed again."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "unkept.json"

    def note(self, stage: str, facts: Facts) -> None:
        """The stage's command ended well, and made this."""
        self._write({**self._read(), stage: facts})

    def find(self, stage: str) -> Facts | None:
        """What the stage's last command made, if that is not kept."""
        return self._read().get(stage)

    def forget(self, stage: str) -> None:
        """It is kept, or made anew."""
        noted = self._read()
        if noted.pop(stage, None) is not None:
            self._write(noted)

    def _read(self) -> dict[str, Facts]:
        with contextlib.suppress(OSError, ValueError):
            held = json.loads(self._path.read_text(encoding="utf-8"))
            return held if isinstance(held, dict) else {}
        return {}

    def _write(self, noted: Mapping[str, Facts]) -> None:
        with contextlib.suppress(OSError):
            if noted:
                write_text(self._path, json.dumps(noted))
            else:
                self._path.unlink(missing_ok=True)
