"""Finished outs in the workspace that are not recorded yet, because the cache took none or a run was killed.

Before outs are copied to the cache, their hashes and what decided them are noted. So the next run can keep
them, and need not make them again. The run reserves some bytes of the disk for the note until it ends, since
the outs may fill the rest.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from darkroom.base.files import write_text

RESERVED_BYTES = 65_536

Facts = Mapping[str, Any]
"""A stage's command, and the hashes of its deps and outs by path; fit for JSON."""


class Unkept:
    """The note in `.darkroom/unkept.json`; where it cannot be written, the stage is executed again."""

    def __init__(self, folder: Path) -> None:
        self._path, self._reserve = folder / "unkept.json", folder / "reserve"

    def reserve(self) -> None:
        """Hold the bytes that a note may need, if the disk has them."""
        if not self._reserve.exists():
            with contextlib.suppress(OSError), self._reserve.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, RESERVED_BYTES)

    def close(self) -> None:
        """Let go of the bytes that were held."""
        with contextlib.suppress(OSError):
            self._reserve.unlink(missing_ok=True)

    def note(self, stage: str, facts: Facts) -> bool:
        """The stage's command ended well, and made this. False: it cannot be noted."""
        noted = {**self._read(), stage: facts}
        if self._write(noted):
            return True
        self.close()
        return self._write(noted)

    def find(self, stage: str) -> Facts | None:
        """What the stage's last command made, if that is not kept."""
        return self._read().get(stage)

    def forget(self, stages: Iterable[str]) -> None:
        """Drop the notes of stages that are recorded, or made anew."""
        noted, gone = self._read(), set(stages)
        if gone & set(noted):
            self._write({stage: facts for stage, facts in noted.items() if stage not in gone})

    def _read(self) -> dict[str, Facts]:
        with contextlib.suppress(OSError, ValueError):
            held = json.loads(self._path.read_text(encoding="utf-8"))
            return held if isinstance(held, dict) else {}
        return {}

    def _write(self, noted: Mapping[str, Facts]) -> bool:
        with contextlib.suppress(OSError):
            if noted:
                write_text(self._path, json.dumps(noted))
            else:
                self._path.unlink(missing_ok=True)
            return True
        return False
