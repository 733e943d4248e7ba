"""Outs that differ between two dvc.lock files although their stage had the same command, deps and params."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Container, Mapping
from typing import Any

from darkroom.ledger.lock_text import HEAD, blocks_of

_INPUTS = ("cmd", "deps", "params")
_NOT_CONTENT = ("path", "size", "nfiles")


def other_outs(
    now: str, then: str, read: Callable[[str], Any], chosen: Container[str]
) -> dict[str, tuple[str, ...]]:
    """The paths of such outs for each of the `chosen` stages that has some, in the order of `now`.

    `now` and `then` are texts of dvc.lock files, `read` is DVC's reader; its errors pass through.
    """
    if now == then:
        return {}
    mine, others = _differing_stages(now, then, read)
    found = {name: _other_outs(entry, others[name]) for name, entry in mine.items() if name in others}
    return {name: paths for name, paths in found.items() if paths and name in chosen}


def _differing_stages(
    now: str, then: str, read: Callable[[str], Any]
) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The stages of both files; without those whose blocks are equal where the texts come apart simply."""
    mine, others = blocks_of(now), blocks_of(then)
    if mine is not None and others is not None:
        known, wanted = set(mine), set(others)
        with contextlib.suppress(Exception):  # an anchor in another block
            return (
                _stages(read(HEAD + "".join(block for block in mine if block not in wanted))),
                _stages(read(HEAD + "".join(block for block in others if block not in known))),
            )
    return _stages(read(now)), _stages(read(then))


def _stages(held: Any) -> Mapping[str, Any]:
    return (held or {}).get("stages") or {}


def _other_outs(now: Mapping[str, Any], then: Mapping[str, Any]) -> tuple[str, ...]:
    if any(now.get(key) != then.get(key) for key in _INPUTS):
        return ()
    before = {out["path"]: _content(out) for out in then.get("outs") or ()}
    after = {out["path"]: _content(out) for out in now.get("outs") or ()}
    return tuple(path for path, content in after.items() if before.get(path, content) != content)


def _content(out: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in out.items() if key not in _NOT_CONTENT}
