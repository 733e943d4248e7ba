"""What a repository records at a revision: figures, parameters, and hashes of deps and outs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import networkx
from dvc.repo import Repo
from dvc.repo.brancher import switch
from dvc.scm import NoSCM, RevError, resolve_rev

from darkroom.base.errors import UsageError
from darkroom.base.git import git
from darkroom.base.meta import MetricMeta
from darkroom.repository.errors import error_line, mended
from darkroom.repository.graph import graph_of, name_of
from darkroom.repository.opening import opened
from darkroom.repository.products import metric_meta_of

WORKSPACE = "workspace"
"""What lies in the folders now, as DVC calls it."""


class FileKind(StrEnum):
    """Where a path of the pipeline comes from."""

    DATA = "data"
    """A .dvc file holds its hash: raw data, or what was imported."""
    READ = "read"
    """A stage reads it and none makes it: code, or a file that git holds."""
    MADE = "made"
    """A stage makes it."""


@dataclass(frozen=True, slots=True)
class RecordedFile:
    """A file or folder as dvc.lock or a .dvc file records it."""

    kind: FileKind
    hash: str
    size: int | None
    """The size in bytes."""
    files: int | None
    """How many files a folder holds; None for a file."""


@dataclass(frozen=True, slots=True)
class MetricsFile:
    """A metrics file of the pipeline."""

    stage: str
    """The stage that makes it; the file's path where none does."""
    meta: MetricMeta
    held: Mapping[str, Any]
    """What it holds; empty where it is not there."""
    data: frozenset[str]
    """The paths of the data, of the kind DATA, that it was made from."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Recorded:
    """What the repository records at one revision."""

    name: str
    """The revision as the user named it, or WORKSPACE."""
    commit: str | None
    """The commit's hash; None for the workspace."""
    subject: str
    """The first line of the commit's message; empty for the workspace."""
    when: int | None
    """The time when it was committed, in seconds since the epoch; None for the workspace."""
    metrics: Mapping[str, MetricsFile]
    """Metrics files by their paths from the root, in the order of dvc.yaml."""
    params: Mapping[str, Any]
    """What the parameter files hold, by their paths from the root."""
    files: Mapping[str, RecordedFile]
    """What stages read and made, by paths from the root; what is not recorded yet is left out."""
    unreadable: tuple[str, ...]
    """A line for each metrics or parameter file that cannot be read."""

    @property
    def figures(self) -> dict[str, Any]:
        """What each metrics file holds."""
        return {path: file.held for path, file in self.metrics.items()}


def recorded_at(folder: Path, revisions: Sequence[str]) -> list[Recorded]:
    """What is recorded at each revision: a commit, branch, tag, experiment, or WORKSPACE.

    Raises:
        UsageError: A revision does not exist, or there is no git.
        RepoError: There is no repository, or DVC cannot read it.

    """
    with opened(folder) as repo, contextlib.chdir(repo.root_dir):
        commits = [_commit_of(repo, name) for name in revisions]  # all at once, before the first is read
        return [_recorded(repo, name, commit) for name, commit in zip(revisions, commits, strict=True)]


def has_commits(folder: Path) -> bool:
    """Whether git holds the repository, with at least one commit."""
    with opened(folder) as repo:
        return not isinstance(repo.scm, NoSCM) and not repo.scm.no_commits


def _commit_of(repo: Repo, name: str) -> str | None:
    if name == WORKSPACE:
        return None
    if isinstance(repo.scm, NoSCM) or repo.scm.no_commits:
        raise UsageError(f"{name}: there are no revisions, since git holds no commit of this repository")
    try:
        with mended():
            return str(resolve_rev(repo.scm, name))
    except Exception as error:
        if isinstance(error.__cause__, RevError):
            lists = "`git log --oneline --all`, `git tag` and `dvc exp list` show what there is"
            raise UsageError(f"{name}: no such revision; {lists}") from error
        raise


def _recorded(repo: Repo, name: str, commit: str | None) -> Recorded:
    said = git(Path(repo.root_dir), "log", "-1", "--format=%ct %s", commit, "--") if commit else " "
    when, _, subject = said.partition(" ")
    with mended(f"{name}: "), switch(repo, commit) if commit else contextlib.nullcontext():
        unreadable: list[str] = []
        metrics = _contents(repo.metrics.show(hide_workspace=False), unreadable)
        params = _contents(repo.params.show(hide_workspace=False), unreadable)
        return Recorded(
            name=name,
            commit=commit,
            subject=subject,
            when=int(when) if when else None,
            metrics=dict(_metrics_files(repo, metrics)),
            params=params,
            files=dict(_files(repo)),
            unreadable=tuple(f"{name}: {line}" for line in unreadable),
        )


def _contents(shown: Mapping[str, Any], unreadable: list[str]) -> dict[str, Any]:
    """What DVC has read of the current revision; what is wrong with a file is appended to `unreadable`."""
    (result,) = shown.values()
    if "error" in result:
        raise result["error"]
    found = {}
    for path, held in result.get("data", {}).items():
        if "data" in held:
            found[path] = held["data"]
        elif not isinstance(held["error"], FileNotFoundError):  # else: not made yet
            line = error_line(held["error"])
            unreadable.append(line if path in line else f"{path}: {line}")
    return found


def _metrics_files(repo: Repo, contents: Mapping[str, Any]) -> Iterator[tuple[str, MetricsFile]]:
    graph = graph_of(repo)
    outs = {_path(repo, out): (stage, out) for stage in repo.index.stages for out in stage.outs if out.metric}
    for path, (stage, out) in outs.items():
        data = {
            _path(repo, source)
            for other in (stage, *networkx.descendants(graph, stage))
            if not other.cmd
            for source in other.outs
        }
        held = contents.get(path)
        yield (
            path,
            MetricsFile(name_of(stage), metric_meta_of(stage, out), _mapping(held), frozenset(data)),
        )
    for path in contents.keys() - outs.keys():  # named under dvc.yaml's own `metrics:`, of no stage
        owner = next((stage for stage in repo.index.stages if _makes(repo, stage, path)), None)
        yield (
            path,
            MetricsFile(
                name_of(owner) if owner else path, MetricMeta(), _mapping(contents[path]), frozenset()
            ),
        )


def _makes(repo: Repo, stage: Any, path: str) -> bool:
    return any(Path(path).is_relative_to(_path(repo, out)) for out in stage.outs)


def _mapping(held: Any) -> Mapping[str, Any]:
    """A metrics file may hold a single number."""
    return held if isinstance(held, Mapping) else {} if held is None else {"value": held}


def _files(repo: Repo) -> Iterator[tuple[str, RecordedFile]]:
    outs = {Path(_path(repo, out)) for stage in repo.index.stages for out in stage.outs}
    for stage in repo.index.stages:
        for out in stage.outs:
            yield from _file(repo, out, FileKind.MADE if stage.cmd else FileKind.DATA)
        for dep in stage.deps if stage.cmd else ():  # of an import: somewhere else
            path = Path(_path(repo, dep))
            if not any(out.is_relative_to(path) or path.is_relative_to(out) for out in outs):
                yield from _file(repo, dep, FileKind.READ)


def _file(repo: Repo, one: Any, kind: FileKind) -> Iterator[tuple[str, RecordedFile]]:
    known = one.hash_info
    if known and isinstance(known.value, str):  # that of parameters is a mapping
        yield _path(repo, one), RecordedFile(kind, known.value, one.meta.size, one.meta.nfiles)


def _path(repo: Repo, one: Any) -> str:
    """The path from the repository's root; of what lies elsewhere its address."""
    inside = one.protocol == "local" or one.is_in_repo
    return str(repo.fs.relpath(one.fs_path, repo.root_dir)) if inside else str(one)
