"""Files and folders that stand there whole or not at all."""

import glob
import json
import math
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stages.core.errors import DataError

PICTURE_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")
"""What Pillow may open, by its own names, whatever a file is called. Among the others it knows are programs:
PostScript is handed to an interpreter."""


def write_atomically(path: Path, content: bytes, mode: int = 0o666) -> None:
    """Write `content` to `path`: either all of it stands there afterwards, or what stood there before.

    `mode` are its permissions, of which the process's umask takes some away; at no moment it has more.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        with open(os.open(partial, flags, mode), "wb") as file:  # noqa: PTH123 - a descriptor
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def write_folder_atomically(path: Path) -> Iterator[Path]:
    """Yield an empty folder to fill, which replaces `path` once the block has ended without error."""
    remove_leftovers(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    partial.mkdir(parents=True)
    try:
        yield partial
        shutil.rmtree(path, ignore_errors=True)
        partial.replace(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def remove_leftovers(path: Path) -> None:
    """Remove what killed writers of `path` left beside it; a path has one writer at a time."""
    for partial in path.parent.glob(f".{glob.escape(path.name)}.*.partial"):
        if partial.is_dir():
            shutil.rmtree(partial, ignore_errors=True)
        else:
            partial.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, keys in the order given.

    Raises:
        DataError: A number is NaN or infinite, which tells nothing, and which JSON cannot express.

    """
    if (place := _not_finite(value)) is not None:
        raise DataError(f"{path}: {place or 'the number'} is NaN or infinite: nothing is written")
    write_atomically(path, (json.dumps(value, indent=2, allow_nan=False) + "\n").encode())


def _not_finite(value: Any) -> str | None:
    """Where the first number that is NaN or infinite stands in dictionaries and lists, as `a.b.0`."""
    if isinstance(value, float):
        return None if math.isfinite(value) else ""
    if isinstance(value, Mapping):
        entries: Iterable[tuple[Any, Any]] = value.items()
    elif isinstance(value, list | tuple):
        entries = enumerate(value)
    else:
        return None
    for key, entry in entries:
        if (place := _not_finite(entry)) is not None:
            return f"{key}.{place}".rstrip(".")
    return None
