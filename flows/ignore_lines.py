"""Lines that DVC appended to .gitignore files, put back into the order in which a serial run appends them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from io import BytesIO
from pathlib import Path

from flows.files import write_bytes


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
                content = file.read_bytes()
                if (mended := in_order(content, self._places[file])) != content:
                    write_bytes(file, mended, synced=True)
        self._unordered.clear()


def in_order(content: bytes, places: Mapping[str, int]) -> bytes:
    """Lines not of this run where they were, then those of this run by their stages' places.

    Line ends and encoding are the user's: other lines keep every byte.
    """
    ours = {line.encode(): place for line, place in places.items()}
    lines = [line.removesuffix(b"\n") + b"\n" for line in BytesIO(content)]
    ordered = sorted(lines, key=lambda line: ours.get(line.rstrip(b"\r\n"), -1))
    return b"".join(ordered)
