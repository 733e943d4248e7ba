"""dvc.lock as text blocks, one a stage, so that a write costs only what it adds.

DVC reads the whole file and dumps it again for each stage. Its dump writes each stage as a separate block, so
the file equals the blocks in sequence, and only new blocks need a dump. A file is split into blocks only if
each block, read alone and dumped again, gives the same bytes. Any other text (comments, empty lines, anchors,
another layout) goes through DVC's own reader and writer each time, and is read once more before it is used.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

FOLDED_FROM = 80
"""Characters of a line; DVC's dump breaks longer ones at a space."""

HEAD = "schema: '2.0'\nstages:\n"

Entry = Mapping[str, Any] | str
"""A stage's entry as DVC's serializer makes it, or the block that `LockText.block` made of one."""


@dataclass(frozen=True, slots=True)
class Yaml:
    """DVC's own reading and writing."""

    read: Callable[[str], Any]
    """Reads a dvc.lock as DVC does to use it: plain values."""
    load: Callable[[str], Any]
    """Reads a dvc.lock as DVC does to change it: with comments and layout."""
    dump: Callable[[Any], str]
    unfolded: Callable[[Any], str]
    """`dump` without breaks in long lines, which lose one of two spaces."""


class LockText:
    """The text of one dvc.lock; where it is none, the error of the YAML's `read` passes through."""

    def __init__(self, text: str, yaml: Yaml) -> None:
        self._yaml = yaml
        self._whole: str | None = None
        parts = _split(text if text.strip() else HEAD, yaml)
        if parts is None:
            self._whole = text
            self._head, self._blocks, self._tail = "", dict.fromkeys(_stages(yaml.read(text)), ""), ""
        else:
            self._head, self._blocks, self._tail = parts

    def __contains__(self, name: str) -> bool:
        return name in self._blocks

    @property
    def names(self) -> tuple[str, ...]:
        """The stages, in the order of the file."""
        return tuple(self._blocks)

    def block(self, name: str, entry: Entry) -> str:
        """A stage's lines, as DVC's dump writes them unless that loses something."""
        if isinstance(entry, str):
            return entry
        return _dumped({"schema": "2.0", "stages": {name: entry}}, self._yaml).removeprefix(HEAD)

    def update(self, entries: Mapping[str, Entry]) -> str:
        """Take the entries in, each in its stage's place or else at the end, and return the whole text."""
        if self._whole is None:
            fresh = {name: self.block(name, entry) for name, entry in entries.items()}
            if not any(self._has_ties(entry) for entry in entries.values()):
                self._blocks.update(fresh)
                return self._text()
            self._whole = self._text()
        for name, entry in entries.items():  # one by one, as in a serial run: comments move with each
            self._whole = self._update_whole(self._whole, name, entry)
        return self._whole

    def _has_ties(self, entry: Entry) -> bool:
        return _has_ties(self._yaml.read(HEAD + entry) if isinstance(entry, str) else entry)

    def _text(self) -> str:
        return self._head + "".join(self._blocks.values()) + self._tail

    def _update_whole(self, text: str, name: str, entry: Entry) -> str:
        """The text as DVC dumps it; without breaks, comments and ties where that says something else."""
        read = self._yaml.read
        plain = {name: read(HEAD + entry)["stages"][name] if isinstance(entry, str) else entry}
        held = read(text)
        _put(held, plain)
        self._blocks = dict.fromkeys(held["stages"], "")
        safe = self._yaml.unfolded(held)
        try:
            data = self._yaml.load(text)
            _put(data, plain)
            dumped = self._yaml.dump(data)
            return dumped if _alike(read(dumped), read(safe)) else safe
        except Exception:  # DVC's writer does not take every layout that its reader takes
            return safe


def _stages(held: Any) -> Mapping[str, Any]:
    return held.get("stages") or {}


def _put(held: Any, entries: Mapping[str, Any]) -> None:
    """Into a whole dvc.lock, as DVC does."""
    if not held:
        held["schema"] = "2.0"
    if not held.get("stages"):
        held["stages"] = {}
    held["stages"].update(entries)


def _alike(one: Any, other: Any) -> bool:
    """Whether two readings are the same, in type and order too."""
    return repr(one) == repr(other)  # by text: NaN is no equal of itself, and 1 is True's


def _has_ties(data: Any, seen: set[int] | None = None) -> bool:
    """Whether a value stands in two places: it is written as an anchor and an alias."""
    seen = set() if seen is None else seen
    if not isinstance(data, (Mapping, list)) or not data:
        return False
    if id(data) in seen:
        return True
    seen.add(id(data))
    return any(_has_ties(value, seen) for value in (data.values() if isinstance(data, Mapping) else data))


def _split(text: str, yaml: Yaml) -> tuple[str, dict[str, str], str] | None:
    """Head, a block a stage, and tail; None where the text does not come apart so simply."""
    lines = text.splitlines(keepends=True)
    if lines.count("stages:\n") != 1:
        return None
    start = lines.index("stages:\n") + 1
    end = next((at for at, line in enumerate(lines[start:], start) if line[0] not in " \n"), len(lines))
    head, tail = "".join(lines[:start]), "".join(lines[end:])
    try:
        if _dumped(yaml.read(head + tail), yaml) != head + tail:
            return None
        blocks: dict[str, str] = {}
        for block in _blocks(lines[start:end]):
            found = yaml.read(HEAD + block)["stages"]
            (name,) = found
            if name in blocks or _has_ties(found) or _dumped(yaml.read(HEAD + block), yaml) != HEAD + block:
                return None
            blocks[name] = block
    except Exception:  # a part that cannot be read alone
        return None
    return (head, blocks, tail) if head + "".join(blocks.values()) + tail == text else None


def blocks_of(text: str) -> list[str] | None:
    """The lines of each stage of a dvc.lock in DVC's own layout; None where it is another one."""
    before, _, below = text.partition("\nstages:\n")
    blocks = _blocks(below.splitlines(keepends=True))
    return blocks if blocks and "".join(blocks) == below and before == HEAD.split("\n", 1)[0] else None


def _blocks(lines: list[str]) -> list[str]:
    """The lines of each key that stands two spaces deep."""
    starts = [at for at, line in enumerate(lines) if line[:2] == "  " and line[2] not in " \n"]
    starts = [at for at in starts if not lines[at].startswith("  : ")]  # the other half of a long key
    return ["".join(lines[at:end]) for at, end in itertools.pairwise([*starts, len(lines)])]


def _dumped(data: Any, yaml: Yaml) -> str:
    """The data as DVC dumps it, without breaks in long lines where these lose something."""
    unfolded = yaml.unfolded(data)
    if max(map(len, unfolded.splitlines())) <= FOLDED_FROM:
        return unfolded
    folded = yaml.dump(data)
    return folded if _alike(yaml.read(folded), yaml.read(unfolded)) else unfolded
