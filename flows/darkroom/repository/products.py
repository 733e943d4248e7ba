"""What a repository's stages have made, and what its metrics files contain, now and in commits."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dvc.repo import Repo
from dvc.scm import NoSCM
from dvc.stage import PipelineStage
from dvc.utils.serialize import load_path, parse_yaml

from darkroom.base.meta import MetricMeta, parse_metric_meta
from darkroom.ledger.other_outs import other_outs
from darkroom.repository.errors import mended
from darkroom.repository.graph import lock_file, name_of
from darkroom.repository.opening import opened
from darkroom.repository.patches.replacing import patched_dvc


@dataclass(frozen=True, slots=True)
class Product:
    """One out of a stage: where it lies, and what dvc.yaml says it is."""

    path: Path
    is_metric: bool
    is_plot: bool
    metric_meta: MetricMeta = field(default_factory=MetricMeta)
    """What dvc.yaml says of the figures of a metrics file."""


@dataclass(frozen=True, slots=True)
class ShownResults:
    """What stages make, and what the metrics files hold."""

    products: dict[str, tuple[Product, ...]]
    """What each stage of the repository makes on this host, by its name; of a .dvc file's data nothing."""
    metrics: dict[Path, Any]
    """What each metrics file holds now."""
    before: dict[Path, Any]
    """What the same files held in the last commit; a file that cannot be read there is left out."""
    other_outs: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """The outs of each stage that the last commit records with another content, of the same inputs."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """What dvc.yaml says of an artifact."""

    path: str
    """The path from the repository's root."""
    type: str
    """The artifact's type, such as `model`; empty where nothing is said, as is `desc`."""
    desc: str
    labels: tuple[str, ...]


@mended()
def shown_results(folder: Path, made: Container[str] = ()) -> ShownResults:
    """What the repository shows. It takes no lock, and reads dvc.yaml once where git holds the metrics.

    `made` are the stages whose outs are compared with what the last commit records.
    """
    with patched_dvc(), Repo(folder) as repo, contextlib.chdir(repo.root_dir):
        products = {name_of(stage): tuple(_products(stage)) for stage in repo.index.stages}
        (result,) = repo.metrics.show(hide_workspace=False).values()
        files = result.get("data", {})
        before: dict[str, Any] = {}
        unlike: dict[str, tuple[str, ...]] = {}
        if not isinstance(repo.scm, NoSCM) and not repo.scm.no_commits:
            before = _metrics_in_head(repo, files) if files else {}
            unlike = _other_outs(repo, made)
        root = Path(repo.root_dir)
        return ShownResults(
            products,
            metrics={root / path: held for path, held in _readable(files).items()},
            before={root / path: held for path, held in before.items()},
            other_outs=unlike,
        )


@mended()
def metrics_at(folder: Path, revisions: Sequence[str]) -> dict[str, dict[str, Any]]:
    """What the metrics files hold at each revision, by their paths from the root."""
    with patched_dvc(), Repo(folder) as repo, contextlib.chdir(repo.root_dir):
        held = repo.metrics.show(revs=list(revisions), hide_workspace=True)
    return {rev: _readable(held.get(rev, {}).get("data", {})) for rev in revisions}


@mended()
def metric_metas(folder: Path) -> dict[str, MetricMeta]:
    """What dvc.yaml says of the figures of the metrics files, by their paths from the root.

    Raises:
        MetaError: The `meta` of one is wrong.

    """
    with patched_dvc(), Repo(folder) as repo:
        return {
            os.path.relpath(out.fs_path, repo.root_dir): metric_meta_of(stage, out)
            for stage in repo.index.stages
            for out in stage.outs
            if out.metric and out.protocol == "local"
        }


def metric_meta_of(stage: Any, out: Any) -> MetricMeta:
    """What dvc.yaml says of the figures of one out of a stage, a metrics file.

    Raises:
        MetaError: A key or a value of its `meta` is wrong.

    """
    where = f"{stage.path_in_repo}: {name_of(stage)}.metrics.{out.def_path}"
    return parse_metric_meta(out.annot.meta, where)


@mended()
def artifacts_of(folder: Path) -> dict[str, Artifact]:
    """The artifacts that dvc.yaml names; the first of each name."""
    with patched_dvc(), Repo(folder) as repo:
        found: dict[str, Artifact] = {}
        for file, held in repo.artifacts.read().items():
            for name, one in held.items():
                path = os.path.normpath(Path(file).parent / one.path)
                found.setdefault(name, Artifact(path, one.type or "", one.desc or "", tuple(one.labels)))
        return found


def stages_with_kept_data(root: Path) -> tuple[str, ...]:
    """Names, for `dvc checkout`, of the .dvc files and frozen stages that record outs in DVC's cache.

    A run neither makes these outs nor restores them: it takes them as they lie in the workspace.

    Raises:
        RepoError: There is no repository, or DVC cannot read its stages.

    """
    with opened(root) as repo, mended():
        return tuple(
            name_of(stage)
            for stage in repo.index.stages
            if (stage.frozen or not stage.cmd)
            and any(out.use_cache and out.is_in_repo and out.hash_info for out in stage.outs)
        )


def _metrics_in_head(repo: Any, files: Iterable[str]) -> dict[str, Any]:
    """Read metrics from git; where DVC's cache holds some, by DVC, which loads the whole repository."""
    if any(out.use_cache for out in repo.index.metrics):
        return _readable(repo.metrics.show(revs=["HEAD"]).get("HEAD", {}).get("data", {}))
    head = repo.scm.get_fs("HEAD")
    below = Path(repo.root_dir).relative_to(repo.scm.root_dir)
    found = {}
    for path in files:
        with contextlib.suppress(Exception):  # not there, or no YAML, JSON or TOML then
            found[path] = load_path(os.path.normpath(below / path), head)
    return found


def _other_outs(repo: Any, made: Container[str]) -> dict[str, tuple[str, ...]]:
    """The outs, by `made` stage and from the root, that HEAD's dvc.lock has with another content."""
    head = repo.scm.get_fs("HEAD")
    names: dict[Path, dict[str, str]] = {}
    for stage in repo.index.stages:
        if isinstance(stage, PipelineStage) and name_of(stage) in made:
            names.setdefault(lock_file(stage), {})[stage.name] = name_of(stage)
    found: dict[str, tuple[str, ...]] = {}
    for file, shown in names.items():
        with contextlib.suppress(Exception):  # no such file then, or none that can be read
            then = head.cat_file(os.path.relpath(file, repo.scm.root_dir)).decode()
            held = other_outs(file.read_text(encoding="utf-8"), then, _read_lock, shown)
            folder = os.path.relpath(file.parent, repo.root_dir)
            for name, paths in held.items():
                found[shown[name]] = tuple(os.path.normpath(Path(folder, path)) for path in paths)
    return found


def _read_lock(text: str) -> Any:
    return parse_yaml(text, "dvc.lock")


def _readable(files: Mapping[str, Any]) -> dict[str, Any]:
    return {path: held["data"] for path, held in files.items() if "data" in held}


def _products(stage: Any) -> Iterator[Product]:
    for out in stage.outs if stage.cmd else ():  # raw data may be a million pictures, and none is a result
        if out.protocol == "local":
            meta = metric_meta_of(stage, out) if out.metric else MetricMeta()
            yield Product(Path(out.fs_path), bool(out.metric), bool(out.plot), meta)
