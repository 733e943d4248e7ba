"""What was recorded before its turn, remembered until its turn has come.

A run that fails or is killed half-way has recorded stages that a serial run would not have reached. When the
run is taken up again, what comes before them in the serial order has to be put before them in dvc.lock and in
.gitignore, although they stand there already.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from flows.files import write_text

Items = Mapping[str, Mapping[str, str]]
"""By file, from the repository's root: each item in it (a stage's key, a line), and its stage."""


def read_ahead(path: Path) -> Items:
    """The items of the last run; none where it ended well or its note cannot be read."""
    try:
        noted = json.loads(path.read_text(encoding="utf-8"))
        return {file: {item: str(stage) for item, stage in items.items()} for file, items in noted.items()}
    except (OSError, ValueError, AttributeError):
        return {}


def write_ahead(path: Path, items: Items) -> None:
    """Replace the note; nothing to remember, no file."""
    if items:
        write_text(path, json.dumps(items, ensure_ascii=False))
    else:
        path.unlink(missing_ok=True)
