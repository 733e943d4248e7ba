"""When to train on data that others write: once it has changed and has then been quiet for a while.

Each look at the data gives a fingerprint. A file keeps what earlier looks have seen. So no change is lost
that comes during a training, or while nobody looks.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from darkroom.base.errors import UsageError
from darkroom.base.files import write_text
from darkroom.base.yaml_files import YamlError, read_yaml


@dataclass(frozen=True, kw_only=True, slots=True)
class LookMemory:
    """What earlier looks have left."""

    seen: str = ""
    """The fingerprint at the last look."""
    since: float = 0.0
    """The time when the data was first seen like this, in seconds since the epoch."""
    done: str = ""
    """The fingerprint of the data that was trained on last, whatever came of it."""


def after_look(memory: LookMemory, fingerprint: str, now: float) -> LookMemory:
    """The memory with a look in it."""
    if memory.seen == fingerprint and memory.since <= now:  # else the clock was set back since
        return memory
    return replace(memory, seen=fingerprint, since=now)


def waiting_seconds(memory: LookMemory, now: float, quiet: float) -> float | None:
    """How long the data must still be quiet before it is trained on; 0: now; None: nothing is new."""
    if memory.seen == memory.done:
        return None
    return max(0.0, memory.since + quiet - now)


def read_memory(path: Path) -> LookMemory:
    """The memory; an empty one where there is none, or a disk that ran full has torn it."""
    try:
        return LookMemory(**json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, TypeError):
        return LookMemory()


def write_memory(path: Path, memory: LookMemory) -> None:
    """Keep the memory."""
    write_text(path, json.dumps(asdict(memory)))


def fingerprint(imports: Iterable[Path]) -> str:
    """A hash of what the .dvc files say that their sources hold.

    Raises:
        UsageError: One of the files is no .dvc file of an import.

    """
    held = {str(path): _sources(path) for path in imports}
    return hashlib.sha256(json.dumps(held, sort_keys=True).encode()).hexdigest()


def _sources(path: Path) -> object:
    try:
        sources = read_yaml(path)["deps"]
    except (YamlError, KeyError, TypeError) as error:
        raise UsageError(
            f"imports: {path.name} is no .dvc file of an import;"
            " `dvc import-url FOLDER-OR-ADDRESS data/raw/NAME` makes one"
        ) from error
    return sources
