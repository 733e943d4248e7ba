"""Lines of .gitignore files."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

from flows.files import write_bytes


def append(file: Path, lines: Iterable[str]) -> bool:
    """Append the lines that are not there, as DVC does. False: there were none.

    Raises OSError, with the file as it was.
    """
    held = file.read_bytes() if file.exists() else b""
    there = {line.rstrip(b"\r\n") for line in held.splitlines()}
    new = [line for line in dict.fromkeys(lines) if line.encode() not in there]
    if not new:
        return False
    start = "" if not held or held.endswith(b"\n") else "\n"
    try:
        with file.open("ab") as out:
            out.write((start + "".join(f"{line}\n" for line in new)).encode())
    except OSError as error:
        with contextlib.suppress(OSError):
            os.truncate(file, len(held))
        raise OSError(error.errno, error.strerror, str(file)) from error
    return True


def remove(file: Path, lines: Iterable[str], scratch: Path) -> None:
    """Take the lines out, the file too if nothing else was in it; `scratch` is for the unfinished file."""
    gone = {line.encode() for line in lines}
    held = file.read_bytes().splitlines(keepends=True) if file.exists() else []
    kept = [line for line in held if line.rstrip(b"\r\n") not in gone]
    if not kept:
        file.unlink(missing_ok=True)
    elif kept != held:
        write_bytes(file, b"".join(kept), scratch, synced=True)
