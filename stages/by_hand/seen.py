"""What a folder of pictures holds by the names of its files, and a way to read it."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from stages.intake.folders import open_file
from stages.sources.rows import files_below, is_picture

HEAD = 4096  # characters that tell what a file of text is


@dataclass(frozen=True, kw_only=True, slots=True)
class Guess:
    """A way to read the folder."""

    task: Literal["classification", "detection"]
    source: dict[str, Any]
    """The format's own keys, without classes, form and split."""
    layout: str
    """How the files lie, in words."""
    has_form: bool = True
    """Whether pictures are brought to a form that is to be chosen; those of IDX are stored in it."""


@dataclass(frozen=True)
class Seen:
    """A folder and the names of its files, relative to it."""

    folder: Path
    names: Sequence[str]

    @cached_property
    def pictures(self) -> list[str]:
        """Those that are named as pictures are."""
        return [name for name in self.names if is_picture(name)]

    def ending(self, *suffixes: str) -> list[str]:
        """Those with one of these suffixes."""
        return [name for name in self.names if PurePosixPath(name).suffix.lower() in suffixes]

    def head(self, name: str) -> str:
        """The first characters of a file; empty where it is no text."""
        try:
            # a pipe would be waited for
            with io.TextIOWrapper(open_file(self.folder / name), encoding="utf-8-sig") as file:
                return file.read(HEAD)
        except (OSError, UnicodeDecodeError):
            return ""

    def folder_of(self, named: str, beside: str) -> tuple[str | None, bool]:
        """Where names start from of which `named` is one, for a file `beside` them; and whether it is found.

        None: the folder of that file.
        """
        named = named.replace("\\", "/")
        if (self.folder / beside).parent.joinpath(named).is_file():
            return None, True
        for picture in self.pictures:
            if f"/{picture}".endswith(f"/{named}"):
                return picture[: -len(named)].rstrip("/") or ".", True
        return None, False


def look_at(folder: Path) -> Seen:
    """The folder as the formats see it."""
    return Seen(folder, [name for name in files_below(folder) if "__MACOSX" not in PurePosixPath(name).parts])
