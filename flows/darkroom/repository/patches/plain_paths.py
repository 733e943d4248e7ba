"""DVC's deps and outs that are plain paths, as nearly all are: made and named at lower cost than in DVC.

DVC looks each path up in the schema of its remotes, and opens a file system for it that it does not use. If
300 stages read the same 300 files, that happens 90,000 times, and takes most of the time to read dvc.yaml.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache, wraps
from typing import Any

from dvc.dependency import Dependency
from dvc.fs import LocalFileSystem
from dvc.output import Annotation
from dvc_data.hashfile.hash_info import HashInfo
from dvc_data.hashfile.meta import Meta

_PER_STAGE = ("annot", "repo", "fs", "stage", "meta", "obj", "hash_info")
"""What each dep has for itself; all else follows from its path and its stage's folder."""


def is_plain(path: object) -> bool:
    """Whether it is a path of this host, whatever the remotes are: no address, no `remote://`."""
    return isinstance(path, str) and ":" not in path


def sharing_deps(make: Callable[..., Any]) -> Callable[..., Any]:
    """Replace `make`, with which DVC makes a dep: one that another stage has, too, is copied from it."""
    known: dict[tuple[str, str, str], dict[str, Any]] = {}

    @wraps(make)
    def _get(stage: Any, p: Any, info: Any, **kwargs: Any) -> Any:
        local = stage.repo.fs
        if info or not is_plain(p) or any(value is not None for value in kwargs.values()):
            return make(stage, p, info, **kwargs)
        key = (stage.repo.root_dir, stage.wdir, p)
        if (values := known.get(key)) and isinstance(local, LocalFileSystem):
            return _dep_of(stage, values)
        dep = make(stage, p, info, **kwargs)
        if type(dep) is Dependency and dep.fs is local and isinstance(local, LocalFileSystem):
            known[key] = {name: value for name, value in vars(dep).items() if name not in _PER_STAGE}
        return dep

    return _get


def _dep_of(stage: Any, values: dict[str, Any]) -> Any:
    dep = Dependency.__new__(Dependency)
    vars(dep).update(
        values,
        annot=Annotation(),
        repo=stage.repo,
        fs=stage.repo.fs,
        stage=stage,
        meta=Meta(),
        obj=None,
        hash_info=HashInfo(values["hash_name"]),
    )
    return dep


def knowing_local_files(find: Callable[..., Any]) -> Callable[..., Any]:
    """Replace `find`, which finds the file system of a path: one serves all that lie on this host."""

    @cache
    def local(checksum_jobs: int | None) -> Any:
        kind, settings, _ = find({"core": {"checksum_jobs": checksum_jobs}}, url="any")
        return kind(**settings)

    @wraps(find)
    def get_cloud_fs(repo_config: Any, **kwargs: Any) -> Any:
        path = kwargs.get("url")
        if len(kwargs) > 1 or not is_plain(path):
            return find(repo_config, **kwargs)
        fs = local((repo_config or {}).get("core", {}).get("checksum_jobs"))
        return (lambda: fs), {}, path

    return get_cloud_fs


def naming_quickly(name: Callable[[Any], str]) -> Callable[[Any], str]:
    """Replace `name`, which gives a dep or out as it is shown: its path from the current directory."""

    @wraps(name)
    def shown(self: Any) -> str:
        if self.repo and is_plain(self.def_path) and not self.def_path.startswith(os.sep):
            root, here = self.repo.root_dir, os.getcwd()  # noqa: PTH109
            base = here if here.startswith(f"{root}{os.sep}") else root
            if isinstance(self.fs, LocalFileSystem) and self.fs_path.startswith(f"{base}{os.sep}"):
                return str(self.fs_path[len(base) + 1 :])
        return name(self)

    return shown
