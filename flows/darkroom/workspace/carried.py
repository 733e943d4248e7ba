"""Which files of a stage another host needs, and which files it makes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from darkroom.processes.stage_process import StageFiles


def files_of(stage: Any, root: Path) -> StageFiles:
    """The files of a stage of the repository at `root`, as another host needs and makes them."""
    outs_trie = stage.repo.index.outs_trie
    inside = [out for out in stage.outs if out.is_in_repo]
    deps = [dep for dep in stage.deps if dep.is_in_repo and _made(outs_trie, dep)]
    outside = [
        item for item in (*stage.deps, *stage.outs) if item.protocol == "local" and not item.is_in_repo
    ]
    return StageFiles(
        root,
        deps=_paths(deps, root),
        outs=_paths(inside, root),
        uncached=_paths((out for out in inside if not out.use_cache), root),
        kept=_paths((out for out in inside if out.persist), root),
        outside=tuple(item.fs_path for item in outside),
    )


def sizes_of(stage: Any) -> dict[str, int]:
    """The sizes in bytes, by hashes, of what git does not carry to the stage, as far as they are recorded."""
    outs_trie = stage.repo.index.outs_trie
    found: dict[str, int] = {}
    for dep in stage.deps:
        if dep.is_in_repo and _made(outs_trie, dep):
            parts = dep.fs.parts(dep.fs_path)
            for item in (dep, *(step.value for step in outs_trie.prefixes(parts))):
                value, size = item.hash_info and item.hash_info.value, item.meta and item.meta.size
                if isinstance(value, str) and size is not None:
                    found[value] = size
                    break
    return found


def _made(outs_trie: Any, dep: Any) -> bool:
    """Whether a dep lies in an out, is one, or has some in it."""
    parts = dep.fs.parts(dep.fs_path)
    return bool(outs_trie.shortest_prefix(parts)) or bool(outs_trie.has_subtrie(parts))


def _paths(items: Iterable[Any], root: Path) -> tuple[str, ...]:
    return tuple(dict.fromkeys(Path(item.fs_path).relative_to(root).as_posix() for item in items))
