"""The plots that dvc.yaml names, with their points, as `dvc plots show` understands them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dvc.render.match import match_defs_renderers
from dvc.repo import Repo
from dvc.repo.plots import parse

from darkroom.repository.errors import error_line, mended
from darkroom.repository.opening import opened

TABLES = (".csv", ".tsv", ".json", ".yaml", ".yml")
COUNTING = ("epoch", "step", "iteration", "round")
"""Columns that say how far a training was."""
MANY = 4
_FILE, _FIELD = "filename", "field"  # columns that DVC adds


@dataclass(frozen=True, kw_only=True, slots=True)
class Plot:
    """A plot of the workspace."""

    title: str
    template: str
    """DVC's name of how it is drawn: `linear`, `scatter`, `confusion`..."""
    x: str
    """The label of the horizontal axis."""
    y: str
    series: Mapping[str, tuple[tuple[Any, Any], ...]]
    """The points (x, y) of each line, by its name, in the order of the file."""


def plots_of(folder: Path) -> tuple[list[Plot], list[str]]:
    """The plots whose files are there, and a line for each whose file cannot be read.

    Raises:
        RepoError: There is no repository, or DVC cannot read it.

    """
    unread: list[str] = []
    with opened(folder) as repo, contextlib.chdir(repo.root_dir), mended():
        definitions = dict(_definitions(repo))
        sources = {}
        for path in {path for name, props in definitions.items() for path in _sources(name, props)}:
            if not path.endswith(TABLES) or not Path(path).is_file():
                continue
            held = parse(repo.fs, str(Path(path).absolute()), props={}, onerror=_keep_error)
            if "error" in held:
                unread.append(f"{path}: {error_line(held['error'])}")
            elif isinstance(held.get("data"), list):
                sources[path] = {"data": held["data"], "props": {}}
        shown = {
            name: props for name, props in definitions.items() if set(_sources(name, props)) <= sources.keys()
        }
        data = {
            "workspace": {
                "definitions": {"data": {"dvc.yaml": {"data": shown}}},
                "sources": {"data": sources},
            }
        }
        found = match_defs_renderers(data, templates_dir=repo.plots.templates_dir)
        for one in found:
            unread += [
                f"{one.renderer.name}: {error_line(error)}" for error in one.definition_errors.values()
            ]
        plots = [
            plot
            for one in found
            if one.renderer.datapoints
            for plot in (
                [_plot(one.renderer)]
                if {"x", "y", "template"} & definitions.get(one.renderer.name, {"y": ""}).keys()
                else _of_columns(one.renderer.name, sources)
            )
        ]
        return plots, unread


def _keep_error(result: dict[str, Any], error: Exception, *_: Any, **__: Any) -> None:
    result["error"] = error


def _definitions(repo: Repo) -> Iterator[tuple[str, dict[str, Any]]]:
    """Plots of stages and those that dvc.yaml names beside them, whose props win; paths are from the root."""
    for stage in repo.index.stages:
        for out in stage.outs:
            if out.plot:
                yield _from_root(repo, out.fs_path), dict(out.plot) if isinstance(out.plot, dict) else {}
    for file, named in repo.index._plots.items():
        folder = Path(_from_root(repo, repo.fs.parent(file)))
        for entry in named:
            for name, props in entry.items() if isinstance(entry, dict) else [(entry, {})]:
                yield _below(folder, name, dict(props or {}))


def _below(folder: Path, name: str, props: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """A plot of a dvc.yaml in a folder: its files are named from there."""
    for axis in ("x", "y"):
        if isinstance(props.get(axis), dict):
            props[axis] = {os.path.normpath(folder / path): fields for path, fields in props[axis].items()}
    return (name if isinstance(props.get("y"), dict) else os.path.normpath(folder / name)), props


def _sources(name: str, props: Mapping[str, Any]) -> list[str]:
    fields = props.get("y")
    return list(fields) if isinstance(fields, dict) else [name]


def _from_root(repo: Repo, path: str) -> str:
    return str(repo.fs.relpath(path, repo.root_dir))


def _of_columns(path: str, sources: Mapping[str, Any]) -> Iterator[Plot]:
    """A table of which dvc.yaml does not say what to draw, such as a training's history.

    DVC draws its last column; here are all that are numbers, those of one kind (`train_loss`, `val_loss`)
    together.
    """
    rows = [row for row in sources[path]["data"] if isinstance(row, dict)]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    x = next((name for name in columns if name.lower() in COUNTING), None)
    kinds: dict[str, list[str]] = {}
    for name in columns:
        if name != x:
            kinds.setdefault(name.rpartition("_")[2], []).append(name)
    for kind, names in kinds.items():
        yield Plot(
            title=f"{path}: {', '.join(names)}" if len(names) < MANY else f"{path}: {kind}",
            template="linear",
            x=x or "row",
            y=names[0] if len(names) == 1 else kind,
            series={
                name: tuple(
                    (row.get(x, at) if x else at, row[name]) for at, row in enumerate(rows) if name in row
                )
                for name in names
            },
        )


def _plot(renderer: Any) -> Plot:
    props = renderer.properties
    x, y = props.get("x", "step"), props.get("y", "")
    series: dict[str, list[tuple[Any, Any]]] = {}
    files = {row.get(_FILE) for row in renderer.datapoints}
    for row in renderer.datapoints:
        if x in row and y in row:
            parts = [
                str(row[_FIELD]) if row.get(_FIELD) else "",
                str(row.get(_FILE, "")) if len(files) > 1 else "",
            ]
            series.setdefault(" ".join(filter(None, parts)) or str(y), []).append((row[x], row[y]))
    return Plot(
        title=str(props.get("title", renderer.name)),
        template=str(props.get("template", "linear")),
        x=str(props.get("x_label", x)),
        y=str(props.get("y_label", y)),
        series={name: tuple(points) for name, points in series.items()},
    )
