"""Replaces functions of DVC while darkroom has a repository open. Importing this module changes nothing.

DVC looks up each replaced function at each call. Each replacement takes the arguments of the original;
`tests/darkroom/repository/test_dvc_contract.py` checks this.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator
from functools import cache, lru_cache, wraps
from pathlib import Path
from types import CellType
from typing import Any

import dulwich.ignore
import dvc.dependency
import dvc.output
import dvc.repo.graph
import dvc.rwlock
import dvc.schema
import dvc.utils.serialize
import networkx
from dvc.dependency import Dependency
from dvc.fs.callbacks import DEFAULT_CALLBACK
from dvc.output import Output
from dvc.repo.graph import check_acyclic
from dvc.rwlock import RWLOCK_FILE
from dvc.utils.serialize import dump_yaml
from dvc_objects.fs.local import FsspecLocalFileSystem
from scmrepo.git.backend.dulwich import DulwichBackend

from darkroom.ledger.plain_yaml import plain_yaml
from darkroom.repository.patches import plain_paths
from darkroom.repository.patches.file_hashes import FileHashes
from darkroom.repository.patches.git_index import GitIndexes
from darkroom.repository.patches.special_files import open_regular
from darkroom.repository.rwlock import PathsInUse

PATTERNS = 1 << 14
"""How many lines of .gitignore files are kept compiled at most, at about 2 KB each."""

_LOCK = threading.Lock()
_open = 0
_undo = contextlib.ExitStack()


@contextlib.contextmanager
def patched_dvc() -> Iterator[None]:
    """Have DVC refuse pipes, only look into its rwlock, print nothing, and do once what it does often.

    For the whole process, from any thread and as often as wanted: the first that enters replaces, the last
    that leaves restores. What somebody else has put in the place of a replacement meanwhile stays.
    """
    global _open, _undo
    with _LOCK:
        if not _open:
            _undo = _replaced()
        _open += 1
    try:
        yield
    finally:
        with _LOCK:
            _open -= 1
            if not _open:
                _undo.close()


def _replaced() -> contextlib.ExitStack:
    """Replace all; closing the stack restores it."""
    with contextlib.ExitStack() as undo:
        # DVC's prints and bars would break into whatever shows the run; its errors come as exceptions.
        for name in ("dvc", "dvc_data", "dvc_objects"):
            logger = logging.getLogger(name)
            undo.callback(logger.setLevel, logger.level)
            logger.setLevel(logging.CRITICAL)
        _replace(undo, dvc.rwlock, "rwlock", _only_look)
        _replace(undo, FsspecLocalFileSystem, "open", open_regular)
        # A .gitignore is read anew whenever it may have changed, and holds a line an out: compiled once each.
        _replace(undo, dulwich.ignore, "Pattern", lru_cache(PATTERNS)(dulwich.ignore.Pattern))
        for cell, compiled in _stage_schemas():
            _replace(undo, cell, "cell_contents", compiled)
        _replace(undo, dvc.dependency, "_get", plain_paths.sharing_deps(dvc.dependency._get))
        _replace(undo, dvc.output, "get_cloud_fs", plain_paths.knowing_local_files(dvc.output.get_cloud_fs))
        _replace(undo, Output, "__str__", plain_paths.naming_quickly(Output.__str__))
        _replace(undo, dvc.repo.graph, "check_acyclic", _check_acyclic)
        hashes = FileHashes()
        _replace(undo, Output, "_build", hashes.replacing_build(Output._build))
        _replace(undo, Dependency, "save", hashes.replacing_save(Dependency.save))
        _replace(
            undo, DulwichBackend, "is_tracked", GitIndexes().replacing_is_tracked(DulwichBackend.is_tracked)
        )
        _replace(undo, dvc.utils.serialize, "dump_yaml", _dump_plainly)
        for bar in ("TqdmCallback", "CheckoutCallback"):
            _replace(undo, dvc.output, bar, _no_bar)
        return undo.pop_all()
    raise AssertionError  # an ExitStack without callbacks that return True lets nothing pass


def _replace(undo: contextlib.ExitStack, owner: Any, name: str, replacement: Any) -> None:
    before = getattr(owner, name)

    def restore() -> None:
        if getattr(owner, name) is replacement:
            setattr(owner, name, before)

    setattr(owner, name, replacement)
    undo.callback(restore)


@wraps(check_acyclic)
def _check_acyclic(graph: Any) -> None:
    """Replaces DVC's search for a cycle, which walks a chain anew from each of its stages."""
    if not networkx.is_directed_acyclic_graph(graph):
        check_acyclic(graph)


@wraps(dump_yaml)
def _dump_plainly(path: Any, data: Any, fs: Any = None, **kwargs: Any) -> None:
    """Replaces DVC's dump of a whole file, which is most of the time to write an entry of its run-cache."""
    text = None if fs or kwargs else plain_yaml(data)
    if text is None:
        dump_yaml(path, data, fs=fs, **kwargs)
    else:
        Path(path).write_text(text, encoding="utf-8")


def _no_bar(**_: Any) -> contextlib.AbstractContextManager[Any]:
    """Replaces a progress bar, which takes half a millisecond to be made and not to be shown."""
    return contextlib.nullcontext(DEFAULT_CALLBACK)


@cache
def _stage_schemas() -> list[tuple[CellType, Any]]:
    """The forms of a stage's schema, compiled, each with the variable that holds it.

    DVC compiles them anew for each stage: a quarter of the time to read a large dvc.yaml.
    """
    cells = dvc.schema.SINGLE_PIPELINE_STAGE_SCHEMA[str].__closure__ or ()
    forms = [(cell, cell.cell_contents) for cell in cells]
    return [(cell, dvc.schema.vol.Schema(form)) for cell, form in forms if isinstance(form, dict)]


@wraps(dvc.rwlock.rwlock)
@contextlib.contextmanager
def _only_look(
    tmp_dir: str, _fs: Any, _cmd: str, read: list[str], write: list[str], _hardlink: bool
) -> Iterator[None]:
    """Replaces the rwlock that DVC's own calls take: Busy where another process uses a path.

    It writes nothing. What DVC enters there it takes out again while the repository's lock is held, so that
    nobody could have read it; and it writes in place: a kill at that moment leaves a file on which DVC fails.
    """
    PathsInUse(Path(tmp_dir, RWLOCK_FILE), contextlib.nullcontext).look(read, write)
    yield
