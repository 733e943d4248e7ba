"""Lines of .gitignore files."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterable
from pathlib import Path

from darkroom.base.files import write_bytes


def add_ignore_lines(file: Path, lines: Iterable[str], before: Collection[str], scratch: Path) -> bool:
    """Append the lines that are not there, as DVC does, or put them in front of the first of `before`.

    False: there were none. `scratch` is for the unfinished file.

    Raises:
        OSError: The file cannot be written; it is as it was.

    """
    held = file.read_bytes().splitlines(keepends=True) if file.exists() else []
    there = [line.rstrip(b"\r\n").decode(errors="surrogateescape") for line in held]
    new = [line for line in dict.fromkeys(lines) if line not in there]
    if not new:
        return False
    start = b"" if not held or held[-1].endswith(b"\n") else b"\n"
    text = "".join(f"{line}\n" for line in new).encode()
    at = next((at for at, line in enumerate(there) if line in before), None)
    if at is None:
        _append(file, start + text)
    else:
        write_bytes(file, b"".join([*held[:at], text, *held[at:]]), scratch, synced=True)
    return True


def _append(file: Path, text: bytes) -> None:
    length = file.stat().st_size if file.exists() else 0
    try:
        with file.open("ab") as out:
            out.write(text)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.truncate(file, length)
        raise OSError(error.errno, error.strerror, str(file)) from error


def remove_ignore_lines(file: Path, lines: Iterable[str], scratch: Path) -> None:
    """Take the lines out, the file too if nothing else was in it; `scratch` is for the unfinished file."""
    gone = {line.encode() for line in lines}
    held = file.read_bytes().splitlines(keepends=True) if file.exists() else []
    kept = [line for line in held if line.rstrip(b"\r\n") not in gone]
    if not kept:
        file.unlink(missing_ok=True)
    elif kept != held:
        write_bytes(file, b"".join(kept), scratch, synced=True)
