"""Why DVC runs a stage, in words; and how a dep changed while its stage ran."""

from __future__ import annotations

import contextlib
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dvc.dependency import DatasetDependency, DbDependency, ParamsDependency
from dvc.exceptions import DvcException
from dvc_data.hashfile.tree import Tree

from darkroom.base.errors import explain_os_error, is_own
from darkroom.base.text import format_change, format_json
from darkroom.repository.errors import error_line
from darkroom.repository.graph import name_of
from darkroom.schedule.plan import Made

_GONE, _UNREADABLE = "a link to what is gone", "cannot be read"


def reasons_to_run(stage: Any, known: bool, force: bool) -> tuple[str, ...]:
    """What makes DVC run the stage, in words; empty where nothing does."""
    if not known:
        return own_reasons(stage, known)
    looked_at = [] if stage.frozen else stage.deps
    deps = [line for dep in looked_at for line in _dep_reasons(dep, _status(dep))]
    return (*own_reasons(stage, known), *deps) or (("forced",) if force else ())


def own_reasons(stage: Any, known: bool) -> tuple[str, ...]:
    """The reasons that no dep has a part in; of a frozen stage only outs and command are looked at."""
    if not known:
        return ("never run",) if stage.outs or not stage.frozen else ()
    reasons = ["command changed"] if stage.cmd and stage.changed_stage() else []
    if (stage.is_callback or stage.always_changed) and not stage.frozen:
        reasons.append("always runs")
    return (*reasons, *_out_reasons(stage))


def _out_reasons(stage: Any) -> Iterator[str]:
    """How outs differ from the record; several that are only not here yet are counted."""
    absent: dict[str, list[str]] = {}
    for out in stage.outs:
        for path, state in _status(out):
            if remedy := _not_here_yet(stage, out, state):
                absent.setdefault(remedy, []).append(path)
            else:
                yield f"out {path}: {state}"
    for remedy, paths in absent.items():
        which = f"out {paths[0]}" if len(paths) == 1 else f"{len(paths)} outs"
        yield f"{which}: not here yet: {remedy}"


def _not_here_yet(stage: Any, out: Any, state: str) -> str | None:
    """What brings an out that is not in the workspace: nobody need have deleted it."""
    if state == "deleted" and out.use_cache and out.hash_info:
        return "in the cache"
    if state in ("deleted", "not in cache") and not out.exists:
        return "to be made" if stage.cmd else "to be fetched"
    return None


class Makers:
    """Which stages make a path or a part of it, found in `outs`, DVC's trie of outs."""

    def __init__(self, outs: Any) -> None:
        self._outs = outs
        self._known: dict[tuple[str, str], tuple[str, ...]] = {}

    def making(self, dep: Any) -> tuple[str, ...]:
        """The names of the stages with an out that contains the dep, or with an out inside the dep."""
        if isinstance(dep, (DatasetDependency, DbDependency)):
            return ()
        key = (dep.protocol, dep.fs_path)
        if key not in self._known:  # hundreds of stages may read one file
            parts = dep.fs.parts(dep.fs_path)
            outs = [step.value for step in self._outs.prefixes(parts)]
            if self._outs.has_subtrie(parts):
                outs += self._outs.values(prefix=parts)
            self._known[key] = tuple(dict.fromkeys(name_of(out.stage) for out in outs))
        return self._known[key]


def state_of_dep(dep: Any, makers: Makers, earlier: Container[str]) -> Made:
    """How a dep differs from its record, and which earlier stages may still change it."""
    makers_of_it = makers.making(dep)
    names = [name for name in makers_of_it if name in earlier]
    recorded = dep.hash_info.value if dep.hash_info and isinstance(dep.hash_info.value, str) else None
    new = tuple(_new_in(dep)) if names else ()
    found = _status(dep)
    reasons = tuple(line for line in _dep_reasons(dep, found) if line not in new)
    others = [name for name in makers_of_it if name not in earlier]
    missing = tuple(_missing(dep, found, _remedy_for(names, others)))
    return Made(dep.fs_path, recorded, reasons, tuple(names), new, isinstance(dep, ParamsDependency), missing)


def _remedy_for(before: Sequence[str], others: Sequence[str]) -> str:
    """How to get a missing dep, given the stages that make it: earlier ones, and ones not selected."""
    if before:
        return f"and {before[0]} does not make it"
    return f"run the stage that makes it first: {others[0]}" if others else "and no stage makes it"


def _missing(dep: Any, found: Iterable[tuple[str, Any]], remedy: str) -> Iterator[str]:
    """The missing parts of a dep, without which DVC does not start the command."""
    for path, state in found:
        if state == "deleted":
            yield f"dep {path}: missing, {remedy}"
        elif isinstance(state, str) and state.startswith((_GONE, _UNREADABLE)):
            yield f"dep {path}: {state}"
        elif isinstance(dep, ParamsDependency):
            yield from _missing_keys(dep)


def _missing_keys(dep: Any) -> Iterator[str]:
    try:
        there = dep.read_params()
    except Exception as error:  # whatever a broken file makes DVC's readers raise
        yield f"dep {dep}: {_unreadable(dep, error)}"
        return
    yield from (f"param {dep}: {key}: missing" for key in dep.params if key not in there)


def _new_in(dep: Any) -> Iterator[str]:
    """What of a dep was never recorded."""
    if dep.hash_info.value is None:
        yield f"dep {dep}: new"
    elif isinstance(dep, ParamsDependency):
        yield from (f"param {dep}: {key}: new" for key in dep.params if key not in dep.hash_info.value)


def only_missing(stage: Any, products: Mapping[str, str]) -> bool:
    """Whether nothing of a stage has changed but that data of it is not there, or comes from `products`."""
    if stage.is_callback or stage.always_changed or (stage.cmd and stage.changed_stage()):
        return False
    deps = [dep for dep in stage.deps if products.get(dep.fs_path) != dep.hash_info.value]
    return all(out.hash_info for out in stage.outs) and all(
        state in ("deleted", "not in cache")
        for item in (*deps, *stage.outs)
        for state in item.status().values()
    )


@dataclass(frozen=True, slots=True)
class DepBefore:
    """A dep as it was when the stage's command was started."""

    recorded: Mapping[str, Any]
    """The output's attributes as dvc.lock has them."""
    hash_info: Any
    obj: Any


@dataclass(frozen=True, slots=True)
class Edit:
    """What of a dep is no longer what it was when the command was started: itself, or a file of a folder."""

    dep: Any
    parts: tuple[str, ...] = ()

    def __str__(self) -> str:
        """The path of what has changed, from the current directory."""
        return str(Path(str(self.dep), *self.parts))


def edits(before: DepBefore, dep: Any) -> list[Edit]:
    """The parts of a dep that have changed since the command was started.

    By-products do not count: compiled Python files, DVC's .gitignore files, and files that git ignores beside
    files that it tracks. Data counts although git ignores it: files in an out, and files in a folder in which
    git tracks nothing else.
    """
    if not before.hash_info or dep.hash_info == before.hash_info:
        return []
    if not isinstance(before.obj, Tree) or not isinstance(dep.obj, Tree):
        return [Edit(dep)]
    different = sorted(_different(before.obj, dep.obj))
    changed = [parts for parts in different if not _is_no_content(dep, parts)]
    ignored = {parts for parts in changed if not _in_an_out(dep, parts) and _git_ignores(dep, parts)}
    if ignored and _git_keeps_files(dep, before.obj):
        changed = [parts for parts in changed if parts not in ignored]
    return [Edit(dep, parts) for parts in changed]


def _different(one: Any, other: Any) -> set[tuple[str, ...]]:
    entries = [{(parts, hash_info) for parts, _, hash_info in tree} for tree in (one, other)]
    return {parts for parts, _ in entries[0] ^ entries[1]}


def _is_no_content(dep: Any, parts: tuple[str, ...]) -> bool:
    return "__pycache__" in parts or (parts[-1] == ".gitignore" and not _in_an_out(dep, parts))


def _in_an_out(dep: Any, parts: tuple[str, ...]) -> bool:
    return bool(dep.repo.index.outs_trie.shortest_prefix((*dep.fs.parts(dep.fs_path), *parts)))


def _git_keeps_files(dep: Any, tree: Any) -> bool:
    """Whether git keeps files of the folder, but for hidden ones, which only hold its place."""
    return any(
        not any(part.startswith(".") or part == "__pycache__" for part in parts)
        and not _git_ignores(dep, parts)
        for parts, *_ in tree
    )


def _git_ignores(dep: Any, parts: tuple[str, ...]) -> bool:
    return bool(dep.is_in_repo and dep.repo.scm.is_ignored(str(Path(dep.fs_path, *parts))))


def _dep_reasons(dep: Any, found: Iterable[tuple[str, Any]]) -> Iterator[str]:
    for path, state in found:
        if isinstance(state, str):
            yield f"dep {path}: {state}"
            continue
        then, now = dep.hash_info.value or {}, dep.read_params()
        for key, change in state.items():
            if change == "modified":
                yield from (f"param {path}: {line}" for line in _param_changes(key, then[key], now[key]))
            else:
                yield f"param {path}: {key}: {change}"


def _status(item: Any) -> Iterable[tuple[str, Any]]:
    """How a dep or an out differs from its record, even if DVC's own `status` fails.

    An unreadable file may be made again before the stage's turn. If it is not, the stage fails then.
    """
    try:
        found = item.status() or {}
    except FileNotFoundError:
        return [(str(item), _GONE)]
    except Exception as error:  # whatever a broken file makes DVC's readers raise
        return [(str(item), _unreadable(item, error))]
    recorded = item.hash_info.value is not None
    return [(path, state if recorded or state != "modified" else "new") for path, state in found.items()]


def _unreadable(item: Any, error: Exception) -> str:
    if is_own(error) and not isinstance(error, OSError):
        raise error
    said = explain_os_error(error) if isinstance(error, OSError) else error_line(error)
    return f"{_UNREADABLE}: {said.removeprefix(f'{item}: ').removeprefix(f'{item}, ')}"


def _param_changes(key: str, then: Any, now: Any) -> Iterator[str]:
    """What changed at `key`, down to the values that differ: a section is not told whole."""
    if not isinstance(then, dict) or not isinstance(now, dict):
        yield f"{key}: {format_change(then, now)}"
        return
    for name in dict.fromkeys((*then, *now)):
        if name not in now:
            yield f"{key}.{name}: {format_json(then[name])} -> gone"
        elif name not in then:
            yield f"{key}.{name}: new -> {format_json(now[name])}"
        elif then[name] != now[name]:
            yield from _param_changes(f"{key}.{name}", then[name], now[name])


def save_deps_there(stage: Any) -> None:
    """Hash the deps before a forced command, which DVC starts even where one is missing."""
    for dep in stage.deps:
        with contextlib.suppress(DvcException):
            dep.save()
