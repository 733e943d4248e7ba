"""The pictures that files, folders and patterns name."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Iterator
from pathlib import Path

from stages.core.errors import DataError
from stages.intake.folders import names_below
from stages.prediction.video import is_video
from stages.sources.rows import is_picture

STDIN = "-"
"""Stands for a path: the paths stand on standard input, one a line."""


def named_pictures(words: Iterable[str], lines: Iterable[str] = ()) -> Iterator[Path]:
    """Paths of the pictures that the words name, each once, in the order of the words; in a folder by name.

    A word is a file, a folder (all pictures and videos in it, at every depth), a pattern such as
    `**/*.jpg`, or `-` for all `lines`.

    Raises:
        DataError: A word names nothing, or a folder that holds no picture.

    """
    seen = set()
    for word in words:
        found = [Path(line) for line in map(str.strip, lines) if line] if word == STDIN else _named_by(word)
        for path in found:
            if path not in seen:
                seen.add(path)
                yield path


def _named_by(word: str) -> list[Path]:
    path = Path(word)
    if path.is_dir():
        found = [path / name for name in sorted(names_below(path)) if is_picture(name) or is_video(name)]
        if not found:
            raise DataError(f"{word}: holds no picture; name another folder, or the files themselves")
        return found
    if path.exists() or not glob.has_magic(word):
        if not path.exists():
            raise DataError(f"{word}: no such file or folder")
        return [path]
    names = glob.glob(word, recursive=True)  # noqa: PTH207  (Path.glob takes no absolute pattern)
    matching = [Path(name) for name in sorted(names)]
    if not (found := [path for path in matching if path.is_file()]):
        raise DataError(f"{word}: no file matches")
    return found
