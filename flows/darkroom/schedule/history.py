"""How long stages took: a line of JSON each, appended under a lock, so that runs can share the file."""

from __future__ import annotations

import fcntl
import json
import os
import statistics
from collections import defaultdict, deque
from collections.abc import Iterable
from pathlib import Path

RECENT = 5


class History:
    """The durations of past runs in `.darkroom/history.jsonl`."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "history.jsonl"

    def add(self, run: str, stage: str, seconds: float) -> None:
        """Note that the stage's command took `seconds` and ended well."""
        line = json.dumps({"run": run, "stage": stage, "seconds": round(seconds, 3)}, ensure_ascii=False)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("ab+", buffering=0) as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # or a line that another is about to end would look torn
            size = file.seek(0, os.SEEK_END)
            torn = size > 0 and os.pread(file.fileno(), 1, size - 1) != b"\n"
            file.write((b"\n" if torn else b"") + f"{line}\n".encode())

    def seconds(self) -> dict[str, float]:
        """The median of each stage's last runs."""
        recent: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=RECENT))
        for stage, seconds in self._entries():
            recent[stage].append(seconds)
        return {stage: statistics.median(durations) for stage, durations in recent.items()}

    def _entries(self) -> Iterable[tuple[str, float]]:
        if not self._path.exists():
            return
        for line in self._path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                entry = json.loads(line)
                yield str(entry["stage"]), float(entry["seconds"])
            except (ValueError, KeyError, TypeError):
                continue  # torn by a kill or a full disk: it is an estimate's source, not a result
