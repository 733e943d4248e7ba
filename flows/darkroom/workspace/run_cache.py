"""The results that DVC's run-cache, or dvc.lock itself, has for a stage that has changed."""

from __future__ import annotations

import contextlib
import copy
import json
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from dvc.dependency import ParamsDependency
from dvc.exceptions import DvcException
from dvc.stage.cache import StageCache, _can_hash, _get_stage_hash
from dvc.stage.serialize import to_lockfile
from dvc.utils import dict_filter, dict_sha256
from dvc.utils.serialize import dumps_yaml, parse_yaml
from dvc_data.hashfile.hash_info import HashInfo
from dvc_data.hashfile.meta import Meta

from darkroom.base.errors import is_own
from darkroom.repository.judging import only_missing

OVERLOOKED = (Meta.PARAM_SIZE, Meta.PARAM_NFILES)
"""What DVC leaves out of its keys: it means the sizes of files, and drops parameters of these names too."""


class RunCache(StageCache):  # type: ignore[misc]
    """DVC's run-cache, where a result counts only for the very parameters that it was made with.

    A stage that has parameters which DVC's key leaves out gets a key of our own, with all of them. DVC never
    asks for it: under its own key it would take the result for that of any other size.
    """

    _own_key: str | None = None

    def save(self, stage: Any) -> None:
        """Keep what the stage has made in the run-cache."""
        with self._under(_own_key(stage)):
            super().save(stage)

    def _load(self, stage: Any) -> Any:
        """The newest entry; DVC's own stumbles over what a killed process has left among them."""
        key = _own_key(stage)
        with self._under(key):
            found = next(self._entries(stage), None)
        return found or (self._made_by_dvc(stage) if key else None)

    def _made_by_dvc(self, stage: Any) -> Any:
        """The newest entry of `dvc repro` whose parameters are the stage's."""
        params = _text(parse_yaml(dumps_yaml(_params(stage)), ""))
        alike = (entry for entry in self._entries(stage) if _text(entry.get("params")) == params)
        return next(alike, None)

    def _entries(self, stage: Any) -> Iterator[Any]:
        """The entries under the stage's key, the newest first."""
        key = _get_stage_hash(stage)
        paths = [path for path in Path(self._get_cache_dir(key)).glob("*") if len(path.name) == len(key)]
        for path in sorted(paths, key=lambda path: path.stat().st_mtime, reverse=True):
            if entry := self._load_cache(key, path.name):
                yield entry

    @contextlib.contextmanager
    def _under(self, key: str | None) -> Iterator[None]:
        """Use `key` in place of DVC's own key."""
        self._own_key = key
        try:
            yield
        finally:
            self._own_key = None

    def _get_cache_dir(self, key: str) -> Any:
        return super()._get_cache_dir(self._own_key or key)


def _own_key(stage: Any) -> str | None:
    """A key with every parameter; None where DVC's has them all, or where the stage has no key."""
    params = _params(stage)
    if dict_filter(params, OVERLOOKED) == params or not _can_hash(stage):
        return None
    return str(dict_sha256({"key": _get_stage_hash(stage), "params": params}))


def _params(stage: Any) -> dict[str, Any]:
    """The values of the stage's parameters, by file."""
    deps = (dep for dep in stage.deps if isinstance(dep, ParamsDependency))
    return {dep.def_path: dep.hash_info.value or {} for dep in deps}


def _text(params: Any) -> str:
    return json.dumps(params, sort_keys=True)


def restorable(repo: Any, stage: Any, products: Mapping[str, str], *, pull: bool) -> Mapping[str, str] | None:
    """The products that the run-cache holds for a stage, given the hashes of deps that will change first.

    Both are hashes by path. With `pull` the remote counts, too, and so does data that is missing alone.
    None: there is nothing to restore. Works on a copy of the stage.
    """
    stage = copy.copy(stage)
    if not stage.cmd and not stage.frozen and stage.is_import:
        return None  # what will be imported is not known before
    try:
        if pull and only_missing(stage, products) and _is_there(repo, stage, pull):
            return {out.fs_path: out.hash_info.value for out in stage.outs}
        cache = _former(repo, stage, products)
    except Exception as error:  # a dep that cannot be read, a param that DVC cannot hash: the run will say so
        if is_own(error):
            raise
        return None
    if cache is None or not _is_there(repo, cache, pull):
        return None
    return {out.fs_path: out.hash_info.value for out in cache.outs}


def _former(repo: Any, stage: Any, products: Mapping[str, str]) -> Any:
    """The stage as it ran once with the deps of now, some of them from `products`; None: it never did."""
    unchanged = not stage.changed_stage() and all(out.hash_info for out in stage.outs)
    recorded = [dep.hash_info for dep in stage.deps]
    stage.deps = [copy.copy(dep) for dep in stage.deps]
    for dep in stage.deps:
        if dep.fs_path in products:
            dep.hash_info, dep.meta = HashInfo(dep.hash_name, products[dep.fs_path]), Meta()
            # not of what lies there now, if anything
            dep.get_hash = partial(getattr, dep, "hash_info")
        else:
            dep.save()
    return _cached(repo, stage, unchanged and recorded == [dep.hash_info for dep in stage.deps])


def _is_there(repo: Any, stage: Any, pull: bool) -> bool:
    """Whether the cache, with `pull` or else the remote, holds all outs of a stage."""
    if stage.outs_cached():
        return True
    if not pull:
        return False
    try:
        objects = {item for items in stage.get_used_objs().values() for item in items}
        return bool(objects) and not repo.cloud.status(objects).missing
    except DvcException:  # no remote, or one that cannot be reached
        return False


def _cached(repo: Any, stage: Any, unchanged: bool) -> Any:
    """The stage as the run-cache, or dvc.lock itself, has it."""
    if stage.is_callback or stage.always_changed or not (stage.cmd and stage.deps and stage.outs):
        return None
    if any(out.persist or not out.is_in_repo for out in stage.outs):
        return None
    if any(dep.protocol != "local" for dep in stage.deps):
        return None
    entry = to_lockfile(stage)[stage.name] if unchanged else repo.stage_cache._load(stage)
    return repo.stage_cache._create_stage(entry, wdir=stage.wdir) if entry else None
