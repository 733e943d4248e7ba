"""A folder whose pictures the next call replaces: what the call before wrote, and nothing of the user's.

A listing beside the pictures says what was asked for and each file's hash; a file that it does not name, or
that is another by now, is not ours.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stages.core.errors import DataError
from stages.core.files import write_atomically, write_json

LISTING = "generated.json"


def replace_files(folder: Path, files: Mapping[str, bytes], asked: Mapping[str, Any]) -> None:
    """Write `files` by name, and remove those of the call before. `asked` is what the listing tells of them.

    Raises:
        DataError: one that is not of a call before stands in the way; nothing is changed then.

    """
    old = _written(folder)
    for name in [LISTING, *files]:
        path = folder / name
        if name not in old and (path.exists() or path.is_symlink()):
            raise DataError(
                f"{path}: not as an earlier call wrote it; it stays. Move it away, or give another --out"
            )
    for name in old - {LISTING}:
        (folder / name).unlink()
    # Before the pictures: of a call that is killed the next one knows what is its.
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    write_json(folder / LISTING, {**asked, "files": hashes})
    for name, content in files.items():
        write_atomically(folder / name, content)


def _written(folder: Path) -> set[str]:
    """The names of files that are still as a call before wrote them, the listing among them."""
    try:
        hashes = json.loads((folder / LISTING).read_bytes())["files"]
        named = {name: hashes[name] for name in hashes if Path(name).name == name}
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return set()
    same = {
        name
        for name, sha256 in named.items()
        if (folder / name).is_file() and hashlib.sha256((folder / name).read_bytes()).hexdigest() == sha256
    }
    return {*same, LISTING}
