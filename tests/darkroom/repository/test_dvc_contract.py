"""Every piece of DVC that is not public and that darkroom.repository and darkroom.workspace lean on.

A new version of DVC fails here first, with the name of what changed. Where DVC's own code is followed step by
step (it is cut in two at a stage's command), the text of that code is pinned: read what changed, change
these packages to match, renew the pin. That nothing is missing here is a test, too.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import importlib
import inspect
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dulwich.ignore
import dvc
import pytest
from dulwich.ignore import IgnoreFilter
from dvc import dependency, env, lock, rwlock, schema
from dvc.data_cloud import DataCloud
from dvc.dependency import Dependency, ParamsDependency
from dvc.dirs import site_cache_dir
from dvc.dvcfile import Lockfile, ProjectFile, SingleStageFile, is_git_ignored
from dvc.fs import get_cloud_fs
from dvc.output import Output
from dvc.render.match import match_defs_renderers
from dvc.repo import Repo, brancher, reproduce
from dvc.repo.artifacts import Artifacts
from dvc.repo.experiments.executor.base import BaseExecutor
from dvc.repo.experiments.queue.base import BaseStashQueue
from dvc.repo.experiments.refs import ExpRefInfo
from dvc.repo.experiments.utils import check_ref_format
from dvc.repo.graph import check_acyclic
from dvc.repo.metrics import Metrics
from dvc.repo.plots import parse as parse_plot
from dvc.repo.scm_context import SCMContext
from dvc.scm import resolve_rev
from dvc.stage import PipelineStage, Stage, decorators, run
from dvc.stage.cache import StageCache, _can_hash, _get_cache_hash, _get_stage_hash
from dvc.stage.loader import StageLoader
from dvc.stage.serialize import to_lockfile, to_single_stage_file
from dvc.stage.utils import _get_stage_files
from dvc.utils import dict_filter, dict_sha256
from dvc.utils.cli_parse import to_path_overrides
from dvc.utils.hydra import apply_overrides
from dvc.utils.serialize import (
    _common,
    _yaml,
    dump_yaml,
    dumps_yaml,
    load_path,
    parse_yaml,
    parse_yaml_for_update,
)
from dvc_data.hashfile import hash as hash_module
from dvc_data.hashfile import state
from dvc_data.hashfile.build import build
from dvc_objects.fs.local import FsspecLocalFileSystem
from dvc_objects.fs.utils import as_atomic, copyfile
from pathspec.patterns.gitwildmatch import GitWildMatchPattern
from scmrepo.git import Git
from scmrepo.git.backend.dulwich import DulwichBackend
from scmrepo.noscm import NoSCM
from voluptuous import Schema

import darkroom
import darkroom.repository
import darkroom.workspace
from darkroom.repository.errors import printed_error
from darkroom.repository.graph import Selection
from darkroom.workspace.workspace import Workspace
from tests.darkroom.repositories import make
from tests.darkroom.shapes import CHAIN, Shape

# Pieces that they follow step by step, in its own words.
FOLLOWED = {
    Stage.reproduce: "4822d4ea3a1c",
    Stage.run: "636bf3458611",
    Stage.save: "d734cda067f2",
    Stage.commit: "b4536c581844",
    Stage.changed: "6126f599c567",
    Stage._changed_deps: "f9a60e9624b9",
    Stage.changed_outs: "bd58c380c87c",
    Stage.remove_outs: "9971b33a5903",
    run.run_stage: "f6ffb501bbb6",
    run.cmd_run: "edfde2048c2c",
    run.prepare_kwargs: "3a6b80051d28",
    run._make_cmd: "ee95e6c89e2e",
    reproduce.reproduce: "c19e545ae12c",
    reproduce._reproduce: "0cf10aa83820",
    reproduce._reproduce_stage: "89914a9b9347",
    reproduce.plan_repro: "2f4fcc92a33b",
    reproduce.get_active_graph: "26e22bd06cd2",
    StageCache.restore: "b9a47176be70",
    StageCache._load: "8ef5fd6c3898",
    StageCache.save: "83378abcf32a",
    _get_cache_hash: "05616842cdac",
    _get_stage_hash: "8c04bc527927",
    _can_hash: "85a4d4f4d158",
    SCMContext.ignore: "8691894582fb",
    SCMContext.track_changed_files: "5baecb956c1f",
    Git.ignore: "4a6166fffb67",
    Git._get_gitignore: "0f689e236fff",
    Git._add_entry_to_gitignore: "263879b713cb",
    Output.ignore: "195819c18bff",
    ProjectFile.dump_stages: "33deabd312a2",
    Lockfile.dump_stages: "74c7dca1de81",
    SingleStageFile.dump: "3936e14a349a",
    _common._modify_data: "96a5c14cabcd",
    _yaml._dump: "d151d02c201c",
    rwlock.rwlock: "e22c4e4771d5",
    decorators.rwlocked: "72eb20256fed",
    lock.Lock.lock: "5cc6d69a38e1",
    schema.either_or: "89fbcc3d1c5a",
    BaseExecutor._repro_and_track: "ee02f57fb378",
    BaseExecutor.commit.__func__: "0b46f52e95e1",
    BaseExecutor.reproduce.__func__: "e29332a08c95",
    BaseStashQueue._stash_exp: "c9e0330609f8",
    # These are replaced by quicker ones that do the same.
    dependency._get: "92d3337f1c9c",
    get_cloud_fs: "abfc170a2717",
    Output.__init__: "64d793bc4a2d",
    Output._parse_path: "fdc2d7d15b7e",
    Output._compute_hash_info_from_meta: "2b00a46d0394",
    Output.__str__: "caee06ccf557",
    Output._build: "cb20ed1ea288",
    Output.save: "5da981a1d353",
    Dependency.save: "8e8dcf0decf2",
    state._checksum: "dc88476bfe09",
    DulwichBackend.is_tracked: "5bee2a6fcbff",
    dump_yaml: "4ca5d6289caa",
    check_acyclic: "b4d52e2fd014",
    # What comes out of these is read, or written, as it is.
    Output.status: "0b4e0efe9995",
    Output.workspace_status: "cf57902554ca",
    ParamsDependency.status: "107f022f1ec9",
    ParamsDependency.workspace_status: "cd787f772cd1",
    ParamsDependency.read_params: "2e2e02549cf1",
    StageLoader.fill_from_lock: "adc39b4d161b",
    to_lockfile: "d8e114bc1b98",
    to_single_stage_file: "f83b2576f4a4",
    brancher.switch: "cbbf246ece9c",
    Git._reset: "a41b74ec3bf0",
    NoSCM._reset: "4ea0754e2731",
}

# Pieces that are called: their names and what they take.
CALLED: dict[Any, str] = {
    reproduce.collect_stages: "repo targets recursive glob",
    StageCache._create_stage: "self cache wdir",
    StageCache._load_cache: "self key value",
    StageCache._get_cache_dir: "self key",
    StageCache.pull: "self remote odb",
    run._enforce_cmd_list: "cmd",
    run._pull_missing_deps: "stage",
    run.get_executable: "",
    rwlock.rwlock: "tmp_dir fs cmd read write hardlink",
    Stage.save_deps: "self allow_missing",
    Stage.checkout: "self allow_missing kwargs",
    PipelineStage.changed_stage: "self",
    BaseExecutor._get_top_level_paths.__func__: "cls repo",
    ExpRefInfo.__init__: "self baseline_sha name",
    check_ref_format: "scm ref",
    _get_stage_files: "stage",
    dict_filter: "d exclude",
    dict_sha256: "d kwargs",
    parse_yaml: "text path typ",
    parse_yaml_for_update: "text path",
    dumps_yaml: "d",
    build: "odb path fs name upload dry_run ignore callback checksum_jobs kwargs",
    _yaml._get_yaml: "",
    is_git_ignored: "repo path",
    as_atomic: "fs to_info create_parents",
    copyfile: "src dest callback",
    load_path: "fs_path fs kwargs",
    resolve_rev: "scm rev",
    parse_plot: "args kwargs",
    match_defs_renderers: "data out templates_dir",
    to_path_overrides: "path_params",
    apply_overrides: "path overrides",
    site_cache_dir: "config_site_cache_dir",
    lock.make_lock: "lockfile tmp_dir friendly hardlink_lock wait",
    lock.Lock.unlock: "self",
    StageCache.__init__: "self repo",
    Stage.outs_cached: "self",
    Stage.get_used_objs: "self args kwargs",
    Output.get_hash: "self",
    Repo.find_root: "root fs",
    Repo.pull: "self targets jobs remote all_branches with_deps all_tags force recursive all_commits"
    " run_cache glob allow_missing",
    Metrics.show: "self args kwargs",
    Artifacts.read: "self",
    DataCloud.status: "self objs jobs remote odb",
    SCMContext.track_file: "self paths",
    Git.get_fs: "self rev",
    GitWildMatchPattern.escape: "s",
}

ATTRIBUTES = {"_lock_depth", "_plots"}
"""That are private, and looked at in a test below."""


def text_hash(piece: Any) -> str:
    """Of the code without comments and layout."""
    source = textwrap.dedent(inspect.getsource(inspect.unwrap(piece)))
    return hashlib.sha256(ast.unparse(ast.parse(source)).encode()).hexdigest()[:12]


def parameters(piece: Any) -> str:
    return " ".join(inspect.signature(inspect.unwrap(piece)).parameters)


def name(piece: Any) -> str:
    return f"{piece.__module__}.{piece.__qualname__}"


@pytest.mark.parametrize("piece", FOLLOWED, ids=name)
def test_followed_code_is_what_it_was(piece: Any) -> None:
    assert text_hash(piece) == FOLLOWED[piece], f"{name(piece)} changed in DVC {dvc.__version__}"


@pytest.mark.parametrize("piece", CALLED, ids=name)
def test_called_pieces_take_what_they_took(piece: Any) -> None:
    assert parameters(piece) == CALLED[piece]


def sources() -> Iterator[ast.AST]:
    """Every piece of the code of the packages that import DVC."""
    for package in (darkroom.repository, darkroom.workspace):
        for path in Path(package.__path__[0]).rglob("*.py"):
            yield from ast.walk(ast.parse(path.read_text()))


def test_every_function_of_dvcs_that_is_imported_stands_here() -> None:
    imported = {
        f"{node.module}.{alias.name}": getattr(importlib.import_module(node.module), alias.name)
        for node in sources()
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("dvc")
        for alias in node.names
    }
    functions = {place: piece for place, piece in imported.items() if inspect.isfunction(piece)}
    assert len(functions) > 10
    assert [place for place, piece in functions.items() if piece not in {**FOLLOWED, **CALLED}] == []


def test_every_private_piece_of_others_that_is_used_stands_here() -> None:
    own = ("self", "cls")
    used = {
        node.attr
        for node in sources()
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__")
        if not (isinstance(node.value, ast.Name) and node.value.id in own)
    }
    assert used - {piece.__name__ for piece in (*FOLLOWED, *CALLED)} == ATTRIBUTES


def test_objects_have_the_attributes_that_are_read(tmp_path: Path) -> None:
    root = make(tmp_path / "r", Shape("chain", {"dvc.yaml": CHAIN, "in.txt": "1\n"}), tmp_path)
    with contextlib.closing(Repo(str(root), _wait_for_lock=True)) as repo:
        assert repo._lock_depth == 0
        assert not repo.lock.is_locked
        assert repo.scm_context.ignored_paths == []
        assert repo.scm_context.files_to_track == set()
        assert repo.scm_context.autostage is False
        (stage,) = (stage for stage in repo.index.graph if stage.name == "a")
        assert stage.dvcfile.lockfile_contents == {}
        assert repo.index._plots == {}
        (out,), (dep,) = stage.outs, stage.deps
        assert (out.use_cache, out.persist, out.is_metric, out.is_plot, out.is_in_repo) == (
            (True, False, False, False, True)
        )
        outs = repo.index.outs_trie
        assert outs.has_key(out.fs.parts(out.fs_path))
        assert outs.shortest_prefix((*out.fs.parts(out.fs_path), "in it")).value is out
        assert not outs.shortest_prefix(dep.fs.parts(dep.fs_path))
        params = ParamsDependency(stage, "p.yaml", ["x"])
        assert (params.params, params.hash_info.value) == (["x"], None)
        params.fill_values({"x": 1, "y": 2})
        assert params.hash_info.value == {"x": 1}
        assert (repo.scm.no_commits, len(repo.scm.get_rev()), repo.scm.get_ref("refs/x")) == (False, 40, None)
        assert (dep.hash_name, bool(dep.hash_info), dep.obj) == ("md5", False, None)
        assert (dep.def_path, dep.protocol, out.use_scm_ignore) == ("in.txt", "local", True)
        assert (out.status(), dep.status()) == ({"a.txt": "deleted"}, {"in.txt": "modified"})
        assert (stage.frozen, stage.is_import, stage.is_callback, stage.always_changed) == (False,) * 4
        assert (stage.cmd_changed, stage.path_in_repo) == (False, "dvc.yaml")
        with contextlib.chdir(root):
            assert stage.addressing == "a"
        assert (repo.dvc_dir, repo.tmp_dir) == (str(root / ".dvc"), str(root / ".dvc/tmp"))
        assert repo.cache.local.path == str(root / ".dvc/cache/files/md5")
        assert repo.stage_cache.cache_dir == str(root / ".dvc/cache/runs")


def test_what_is_replaced_is_what_is_called(tmp_path: Path) -> None:
    """Each replacement takes what the original takes, is looked up at each call, goes with the workspace."""
    forms = schema.SINGLE_PIPELINE_STAGE_SCHEMA[str].__closure__
    replaced = rwlock.rwlock
    assert parameters(FsspecLocalFileSystem.open) == "self path mode encoding kwargs"
    root = make(tmp_path / "r", Shape("chain", {"dvc.yaml": CHAIN, "in.txt": "1\n"}), tmp_path)
    with contextlib.closing(Workspace(root, Selection())):
        assert IgnoreFilter([b"/out"]).patterns[0] is IgnoreFilter([b"/out"]).patterns[0]
        assert {type(cell.cell_contents) for cell in forms} == {Schema, list}
        assert parameters(FsspecLocalFileSystem.open) == "_ path mode encoding __"
        assert rwlock.rwlock is not replaced
        assert parameters(rwlock.rwlock) == CALLED[replaced]
    assert rwlock.rwlock is replaced
    assert {type(cell.cell_contents) for cell in forms} == {dict, list}
    assert parameters(dulwich.ignore.Pattern) == "pattern ignorecase"
    with contextlib.closing(Repo(str(root))) as repo:
        assert "self.close()" in inspect.getsource(type(repo.state.links).__exit__)
        assert "with self.links as ref" in inspect.getsource(repo.state.set_link)
    assert 'with fs.open(fname, "rb") as fobj' in inspect.getsource(hash_module.file_md5)


WORDS = (
    "ERROR: ",
    "WARNING: ",
    "Removing ",
    "Running stage",
    "Stage '",
    "Data and pipelines",
    "Everything is up",
)
"""Beginnings of what DVC prints."""


def test_the_error_is_found_in_what_a_command_prints(tmp_path: Path) -> None:
    root = make(tmp_path / "r", Shape("chain", {"dvc.yaml": CHAIN, "in.txt": "1\n"}), tmp_path)
    command = [sys.executable, "-m", "dvc", "commit", "--force", "no-such.dvc"]
    failed = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert failed.returncode != 0
    assert printed_error(failed.stderr) == (
        f"failed to commit no-such.dvc - '{root}/no-such.dvc' does not exist"
    )
    assert printed_error("") == "it failed without a word"


def test_what_dvc_prints_is_read_by_its_two_packages_alone() -> None:
    for path in Path(darkroom.__path__[0]).rglob("*.py"):
        if path.parent.name not in ("repository", "workspace"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    assert not node.value.startswith(WORDS), path


def test_experiments_lie_where_dvc_looks_for_them() -> None:
    assert str(ExpRefInfo("0123456789", "name")) == "refs/exps/01/23456789/name"
    assert (env.DVC_EXP_BASELINE_REV, env.DVC_EXP_NAME) == ("DVC_EXP_BASELINE_REV", "DVC_EXP_NAME")
