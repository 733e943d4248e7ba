"""The deps that a stage changes itself, as `changes_deps` under its `meta` says."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from darkroom.base.errors import MetaError
from darkroom.base.meta import parse_meta
from darkroom.repository.graph import name_of


def declared_changes(stage: Any) -> list[Any]:
    """The deps that the stage says it changes itself.

    Raises:
        MetaError: One of them is none of the stage's deps.

    """
    where = f"{stage.path_in_repo}: {name_of(stage)}"
    deps = {dep.def_path: dep for dep in stage.deps}
    found = []
    for path in parse_meta(stage.meta if stage.cmd else None, where).changes_deps:
        if path not in deps:
            raise MetaError(
                f"{where}.meta.changes_deps: {path} is none of the stage's deps; mend one of the two"
            )
        found.append(deps[path])
    return found


def stages_beside_changes(stages: Mapping[str, Any]) -> Mapping[str, set[str]]:
    """The stages that must not run beside each stage: one of the two changes what both read."""
    beside: dict[str, set[str]] = defaultdict(set)
    for name, stage in stages.items():
        if not (changed := declared_changes(stage)):
            continue
        for other, reader in stages.items():
            if other != name and any(_overlap(one, dep) for one in changed for dep in reader.deps):
                beside[name].add(other)
                beside[other].add(name)
    return beside


def _overlap(one: Any, other: Any) -> bool:
    """Whether one of two paths lies in the other, or they are the same."""
    if getattr(one, "protocol", None) != getattr(other, "protocol", None):
        return False
    parts, others = one.fs.parts(one.fs_path), other.fs.parts(other.fs_path)
    shorter = min(len(parts), len(others))
    return bool(parts[:shorter] == others[:shorter])
