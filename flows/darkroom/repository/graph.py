"""The selected stages, in the order in which `dvc repro` would run them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import networkx
from dvc.dvcfile import is_git_ignored
from dvc.stage import PipelineStage

from darkroom.repository.errors import mended

PROJECT_FILE = "dvc.yaml"
DVC_FOLDER = ".dvc"


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """Which stages, as `dvc repro` selects them, and how they are judged."""

    targets: tuple[str, ...] = ()
    single_item: bool = False
    downstream: bool = False
    all_pipelines: bool = False
    force: bool = False
    pull: bool = False
    no_commit: bool = False
    experiment: str | None = None
    """Keep the result of a run that ends well as a DVC experiment of this name."""


def graph_of(repo: Any) -> Any:
    """DVC's graph: its edges lead from a stage to what it depends on.

    Raises:
        RepoError: DVC cannot make the graph.

    """
    with mended():
        return repo.index.graph


def serial_order(active: Any, nodes: Sequence[Any], downstream: bool) -> list[Any]:
    """DVC's `plan_repro`, with the graph's own order where DVC leaves it to a set's."""
    if not nodes:
        return list(networkx.dfs_postorder_nodes(active))
    walk = active.reverse(copy=False) if downstream else active
    reached: set[Any] = set()
    todo = list(nodes)
    while todo:
        if (stage := todo.pop()) not in reached:
            reached.add(stage)
            todo += walk.successors(stage)
    part = networkx.DiGraph()
    part.add_nodes_from(stage for stage in active if stage in reached)
    part.add_edges_from((a, b) for a in part for b in active.successors(a) if b in reached)
    return list(networkx.dfs_postorder_nodes(part))


def hidden_project_files(repo: Any) -> list[str]:
    """The dvc.yaml files that git or DVC ignore, of this repository and not of one inside it."""
    found = []
    for folder, below, files in os.walk(repo.root_dir):
        below[:] = [name for name in below if name[:1] != "." and not Path(folder, name, DVC_FOLDER).exists()]
        path = str(Path(folder, PROJECT_FILE))
        if PROJECT_FILE in files and (is_git_ignored(repo, path) or repo.dvcignore.is_ignored_file(path)):
            found.append(path)
    return found


def key_of(stage: Any) -> tuple[str, str | None]:
    """The stage's file, from the repository's root, and its name in that file; a .dvc file has no name."""
    return stage.path_in_repo, getattr(stage, "name", None)


def name_of(stage: Any) -> str:
    """The stage's name as DVC prints it from the repository's root."""
    path, name = key_of(stage)
    if name is None:
        return path
    return name if path == PROJECT_FILE else f"{path}:{name}"


def lock_file(stage: Any) -> Path:
    """The file that records the stage: dvc.lock beside its dvc.yaml, or the .dvc file itself."""
    return Path(stage.path).with_suffix(".lock") if isinstance(stage, PipelineStage) else Path(stage.path)
