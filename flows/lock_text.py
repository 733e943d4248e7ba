"""dvc.lock as text blocks, one a stage, so that a write costs what it adds and not what is there already.

DVC reads the whole file and dumps it anew for each stage. Its dump writes every stage as a block of its own,
so the bytes are those of the blocks laid end to end; only the new ones have to be dumped. Text with comments,
anchors or an unknown layout is left to DVC's own reader and writer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

HEAD = "schema: '2.0'\nstages:\n"

_PLAIN_KEY = re.compile(r"  ([A-Za-z_][^:'\"#]*):\n")
# A comment, an anchor or an alias: they tie blocks to each other. A false alarm costs time only.
_TIED = re.compile(r"(^|\s)#|[:-] [&*]\w", re.MULTILINE)
# DVC's rewriting takes the last digit of some floats down by one, each time: never done to what stands there.
_EXPONENT_FLOAT = re.compile(r"-?\d+\.\d+e[+-]?\d+")

Entry = Mapping[str, Any]
"""A stage's entry as DVC's serializer makes it."""


class LockText:
    """The text of one dvc.lock, canonical: as DVC's own dump writes it."""

    def __init__(self, text: str, dump: Callable[[Any], str], load: Callable[[str], Any]) -> None:
        self._dump, self._load = dump, load
        self._whole: str | None = None
        canonical = _canonical(text, dump, load)
        parts = _split(canonical, load)
        if parts is None:
            self._whole = canonical
            self._head, self._blocks, self._tail = "", dict.fromkeys(load(canonical).get("stages") or ()), ""
        else:
            self._head, self._blocks, self._tail = parts

    def __contains__(self, name: str) -> bool:
        return name in self._blocks

    @property
    def names(self) -> tuple[str, ...]:
        """The stages, in the order of the file."""
        return tuple(self._blocks)

    def update(self, entries: Mapping[str, Entry], order: Iterable[str]) -> str:
        """Take the entries in, put all stages in the given order, and return the whole text."""
        if self._whole is None:
            fresh = {name: self._block(name, entry) for name, entry in entries.items()}
            if not any(_TIED.search(block) for block in fresh.values()):
                self._blocks = _ordered({**self._blocks, **fresh}, order)
                return self._head + "".join(filter(None, self._blocks.values())) + self._tail
            self._whole = self._head + "".join(filter(None, self._blocks.values())) + self._tail
        self._whole = self._update_whole(entries, list(order))
        return self._whole

    def _block(self, name: str, entry: Entry) -> str:
        return self._dump({"schema": "2.0", "stages": {name: entry}}).removeprefix(HEAD)

    def _update_whole(self, entries: Mapping[str, Entry], order: list[str]) -> str:
        data = self._load(self._whole or "")
        if not data.get("stages"):
            data["stages"] = {}
        stages = data["stages"]
        stages.update(entries)
        wanted = [name for name in order if name in stages]
        if list(stages) != wanted:
            for name in wanted:  # to the end, one after the other
                stages[name] = stages.pop(name)
        self._blocks = dict.fromkeys(stages)
        return self._dump(data)


def _canonical(text: str, dump: Callable[[Any], str], load: Callable[[str], Any]) -> str:
    if not text.strip():
        return HEAD
    rewritten = dump(load(text))
    same = _EXPONENT_FLOAT.sub("", rewritten) == _EXPONENT_FLOAT.sub("", text)
    return text if same else rewritten


def _ordered(blocks: dict[str, Any], order: Iterable[str]) -> dict[str, Any]:
    return {name: blocks[name] for name in order if name in blocks}


def _split(text: str, load: Callable[[str], Any]) -> tuple[str, dict[str, str | None], str] | None:
    """Head, a block a stage, and tail; None where the text does not come apart so simply."""
    if _TIED.search(text) or "\nstages:\n" not in f"\n{text}":
        return None
    lines = text.splitlines(keepends=True)
    start = lines.index("stages:\n") + 1
    end = next((at for at, line in enumerate(lines[start:], start) if not line.startswith(" ")), len(lines))
    blocks: dict[str, str | None] = {}
    at = start
    while at < end:
        stop = next((n for n in range(at + 1, end) if not lines[n].startswith("   ")), end)
        block = "".join(lines[at:stop])
        plain = _PLAIN_KEY.match(lines[at])
        blocks[plain[1] if plain else next(iter(load(block)))] = block
        at = stop
    return "".join(lines[:start]), blocks, "".join(lines[end:])
