"""How long stages took: a line of JSON each, appended in one write, so that runs can share the file."""

from __future__ import annotations

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
        file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            os.write(file, f"{line}\n".encode())
        finally:
            os.close(file)

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
                continue  # torn by a full disk: it is an estimate's source, not a result
