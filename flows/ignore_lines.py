"""Lines that DVC appended to .gitignore files, put back into the order in which a serial run appends them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from flows.files import write_text


class IgnoreLines:
    """What this run appended to each .gitignore: lines, each with its stage's place in the serial order."""

    def __init__(self) -> None:
        self._places: dict[Path, dict[str, int]] = {}
        self._unordered: set[Path] = set()

    def note(self, file: Path, lines: Iterable[str], place: int) -> None:
        """Lines that were just appended to `file` for the stage at `place`."""
        known = self._places.setdefault(file, {})
        if known and place < max(known.values()):
            self._unordered.add(file)
        known.update(dict.fromkeys(lines, place))

    def take_over(self, file: Path, places: dict[str, int]) -> None:
        """Lines of an earlier run that may stand in `file` before their turn."""
        self._places[file] = dict(places)
        self._unordered.add(file)

    @property
    def places(self) -> Mapping[Path, Mapping[str, int]]:
        """Every noted line with its stage's place, by file."""
        return self._places

    def mend(self) -> None:
        """Rewrite the files whose lines stand in another order than the serial one."""
        for file in self._unordered:
            if file.exists():
                text = file.read_text(encoding="utf-8")
                if (mended := in_order(text, self._places[file])) != text:
                    write_text(file, mended)
        self._unordered.clear()


def in_order(text: str, places: dict[str, int]) -> str:
    """Lines not of this run where they were, then those of this run by their stages' places."""
    lines = [line if line.endswith("\n") else f"{line}\n" for line in text.splitlines(keepends=True)]
    ours = sorted((line for line in lines if line.strip() in places), key=lambda line: places[line.strip()])
    return "".join([line for line in lines if line.strip() not in places] + ours)
