"""DVC is another one only while a repository of ours is open; importing darkroom changes nothing of it."""

from __future__ import annotations

import contextlib
import logging
import subprocess
import sys
import threading
from pathlib import Path

import dulwich.ignore
import dvc.rwlock
import pytest
from dulwich.ignore import IgnoreFilter
from dvc.repo import Repo
from dvc_objects.fs.local import FsspecLocalFileSystem

from darkroom.repository.opening import opened
from darkroom.repository.patches import replacing
from darkroom.repository.patches.replacing import patched_dvc
from darkroom.repository.patches.special_files import open_regular
from tests.darkroom.repositories import make, serial_repro
from tests.darkroom.shapes import CHAIN, Shape

# Every function, method and variable of a closure of all of DVC's modules that darkroom imports.
WHAT_CHANGES = """
import importlib, inspect, logging, pkgutil, subprocess, sys
from pathlib import Path

DVC = ("dvc", "dvc_data", "dvc_objects", "dulwich", "scmrepo")
LIST = "import sys, pkgutil, importlib, darkroom\\n" + (IMPORT := '''
for module in pkgutil.walk_packages(darkroom.__path__, "darkroom."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
''') + "print(*(name for name in sys.modules if name.partition('.')[0] in " + repr(DVC) + "))"

def pieces():
    found = {}
    for name in names:
        module = sys.modules[name]
        for key, value in vars(module).items():
            found[name, key] = value if callable(value) else None
            if inspect.isclass(value) and value.__module__ == name:
                found |= {(name, key, own): piece for own, piece in vars(value).items() if callable(piece)}
            if inspect.isfunction(value):
                found |= {(name, key, id(cell)): cell.cell_contents for cell in value.__closure__ or ()}
    for name in DVC:
        found["level", name] = logging.getLogger(name).level
    from dvc import schema
    for cell in schema.SINGLE_PIPELINE_STAGE_SCHEMA[str].__closure__:
        found["schema", id(cell)] = cell.cell_contents
    return found

def differences(before, now):
    return sorted(str(key) for key in before.keys() | now.keys() if before.get(key) is not now.get(key))

listed = subprocess.run([sys.executable, "-c", LIST], capture_output=True, text=True, check=True)
names = listed.stdout.split()
assert len(names) > 100, names
for name in names:
    importlib.import_module(name)
before = pieces()
import darkroom
exec(IMPORT)
print("imported:", differences(before, pieces()))
if sys.argv[1:]:
    from darkroom.runs.engine import run_pipeline
    from darkroom.runs.report import RunOptions
    assert run_pipeline(RunOptions(repo=Path(sys.argv[1]))).well
    print("run:", differences(before, pieces()))
"""


@pytest.fixture(autouse=True)
def _usual_level() -> None:
    logging.getLogger("dvc").setLevel(logging.NOTSET)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make(tmp_path / "r", Shape("chain", {"dvc.yaml": CHAIN, "in.txt": "1\n"}), tmp_path)


def replaced() -> bool:
    """Whether DVC is another one now; never in part."""
    held = {
        FsspecLocalFileSystem.open is open_regular,
        dvc.rwlock.rwlock is replacing._only_look,
        not isinstance(dulwich.ignore.Pattern, type),
        logging.getLogger("dvc").level == logging.CRITICAL,
    }
    assert len(held) == 1
    return held.pop()


@pytest.mark.slow
def test_importing_darkroom_changes_nothing_of_dvc_and_a_run_nothing_for_good(root: Path) -> None:
    command = [sys.executable, "-c", WHAT_CHANGES, str(root)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.stdout.splitlines() == ["imported: []", "run: []"], found.stderr


def test_it_goes_with_the_last_repository_that_is_closed(root: Path) -> None:
    assert not replaced()
    with opened(root):
        assert replaced()
        with opened(root):
            assert replaced()
        assert replaced()
    assert not replaced()
    assert serial_repro(root)


def test_an_error_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), patched_dvc():
        raise ZeroDivisionError
    assert not replaced()
    with pytest.raises(Exception, match="not inside of a DVC repository"), opened(tmp_path):
        pass
    assert not replaced()


def test_threads_that_come_and_go_find_it_replaced() -> None:
    wrong: list[str] = []
    together = threading.Barrier(8)

    def come_and_go() -> None:
        together.wait()
        for _ in range(200):
            with patched_dvc():
                if not replaced():
                    wrong.append("not replaced")

    threads = [threading.Thread(target=come_and_go) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert not replaced()


def test_what_somebody_else_puts_there_meanwhile_stays() -> None:
    def others(*_: object) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    original = dvc.rwlock.rwlock
    try:
        with patched_dvc():
            dvc.rwlock.rwlock = others
        assert dvc.rwlock.rwlock is others
    finally:
        dvc.rwlock.rwlock = original
    assert not replaced()


def test_patterns_are_compiled_once_and_not_kept_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replacing, "PATTERNS", 3)
    with patched_dvc():
        first = IgnoreFilter([b"/out"]).patterns[0]
        assert IgnoreFilter([b"/out"]).patterns[0] is first
        IgnoreFilter([b"/%d" % number for number in range(3)])
        assert IgnoreFilter([b"/out"]).patterns[0] is not first


def test_dvcs_own_repository_reads_the_same_meanwhile(root: Path) -> None:
    with contextlib.chdir(root):
        with contextlib.closing(Repo(str(root))) as repo:
            before = [stage.addressing for stage in repo.index.stages]
        with patched_dvc(), contextlib.closing(Repo(str(root))) as repo:
            assert [stage.addressing for stage in repo.index.stages] == before
