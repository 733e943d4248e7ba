"""What DVC's run-cache, or dvc.lock itself, holds for a stage that has changed."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import partial
from typing import Any

from dvc.exceptions import DvcException
from dvc.stage.serialize import to_lockfile
from dvc_data.hashfile.hash_info import HashInfo
from dvc_data.hashfile.meta import Meta

from flows.dvc.judging import only_missing


def restorable(repo: Any, stage: Any, products: Mapping[str, str], *, pull: bool) -> Mapping[str, str] | None:
    """The products that the run-cache holds for a stage, given the hashes of deps that will change first.

    Both are hashes by path. With `pull` the remote counts, too, and so does data that is missing alone.
    None: there is nothing to restore. Works on a copy of the stage.
    """
    stage = copy.copy(stage)
    if not stage.cmd and not stage.frozen and stage.is_import:
        return None  # what will be imported is not known before
    if pull and only_missing(stage, products) and _is_there(repo, stage, pull):
        return {out.fs_path: out.hash_info.value for out in stage.outs}
    unchanged = not stage.changed_stage() and all(out.hash_info for out in stage.outs)
    recorded = [dep.hash_info for dep in stage.deps]
    stage.deps = [copy.copy(dep) for dep in stage.deps]
    try:
        for dep in stage.deps:
            if dep.fs_path in products:
                dep.hash_info, dep.meta = HashInfo(dep.hash_name, products[dep.fs_path]), Meta()
                # not of what lies there now, if anything
                dep.get_hash = partial(getattr, dep, "hash_info")
            else:
                dep.save()
        cache = _cached(repo, stage, unchanged and recorded == [dep.hash_info for dep in stage.deps])
    except (DvcException, TypeError):  # a param that DVC cannot hash, such as a date: the run will say so
        return None
    if cache is None or not _is_there(repo, cache, pull):
        return None
    return {out.fs_path: out.hash_info.value for out in cache.outs}


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
