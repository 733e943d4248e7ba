"""What a record speaks of is on the disk before it, and the record before anything is built on it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from dvc.repo import Repo

from tests.darkroom.repositories import make
from tests.darkroom.shapes import Shape
from tests.places import ROOT

PIPELINE = """\
stages:
  one:
    cmd: cp in.txt one.txt
    deps: [in.txt]
    outs: [one.txt]
  many:
    cmd: mkdir many; for n in 1 2 3; do echo $n > many/$n; done
    outs: [many]
  last:
    cmd: cat one.txt many/* > last.txt; echo 1 > metrics.json
    deps: [one.txt, many]
    outs: [last.txt]
    metrics: [{metrics.json: {cache: false}}]
"""
SHAPE = Shape("power", {"dvc.yaml": PIPELINE, "in.txt": "1\n"})
RUN = "import sys; from pathlib import Path; from darkroom.runs.engine import RunOptions, run_pipeline;"
RUN += "assert run_pipeline(RunOptions(repo=Path(sys.argv[1]), jobs=2)).well"
CALL = re.compile(r"^\d+ +(fsync|rename|link|symlink|chmod)\((.*)\) += 0")
NAMES = re.compile(r'"([^"]*)"|<([^>]*)>')


@dataclass(frozen=True)
class Call:
    kind: str
    paths: tuple[Path, ...]


def calls(root: Path, log: Path) -> list[Call]:
    """What a run does to the disk, in order."""
    command = [sys.executable, "-c", RUN, str(root)]
    wanted = ["-e", "trace=fsync,rename,link,symlink,chmod", "-e", "signal=none"]
    subprocess.run(["strace", "-f", "-y", "-s", "4096", *wanted, "-o", log, *command], cwd=ROOT, check=True)
    return list(parsed(log.read_text(), root))


def parsed(text: str, root: Path) -> Iterator[Call]:
    for line in text.splitlines():
        if found := CALL.match(line):
            names = [quoted or described for quoted, described in NAMES.findall(found[2])]
            yield Call(found[1], tuple(root / name for name in names))


def blobs(root: Path) -> set[Path]:
    """Every file of the cache, but the run-cache's."""
    return {path for path in (root / ".dvc/cache/files").rglob("*") if path.is_file()}


@pytest.mark.slow
@pytest.mark.parametrize("links", ["reflink,copy", "hardlink", "symlink"])
def test_blobs_then_notes_then_dvc_lock_then_its_folder(tmp_path: Path, links: str) -> None:
    if not shutil.which("strace"):
        pytest.skip("strace is not installed")
    root = make(tmp_path / "r", SHAPE, tmp_path)
    with Repo(str(root)) as repo, repo.config.edit() as config:
        config["cache"]["type"] = links
    made = calls(root, tmp_path / "log")
    synced = {at: call.paths[0] for at, call in enumerate(made) if call.kind == "fsync"}

    def between(path: Path, start: int, end: int) -> bool:
        return any(start < at < end and other == path for at, other in synced.items())

    records = [at for at, c in enumerate(made) if c.kind == "rename" and c.paths[1] == root / "dvc.lock"]
    assert records
    for at in records:
        assert made[at - 1] == Call("fsync", (made[at].paths[0],)), "the new dvc.lock itself"
        assert made[at + 1] == Call("fsync", (root,)), "its name"
    for blob in blobs(root):
        (protected,) = [at for at, c in enumerate(made) if c.kind == "chmod" and c.paths == (blob,)]
        assert between(blob, -1, protected), "its content, before DVC takes it for whole"
        record = next(at for at in records if at > protected)
        for folder in (blob.parent, blob.parent.parent):
            assert between(folder, -1, record), "its name"
    entries = [c.paths[1] for c in made if c.kind == "rename" and "/cache/runs/" in str(c.paths[1])]
    for entry in {path for path in entries if path.exists()}:
        named = next(at for at, c in enumerate(made) if c.kind == "rename" and c.paths[1] == entry)
        record = next((at for at in records if at > named), len(made))
        assert between(entry.parent, named, record), "the run-cache's entry"
    assert between(root / ".gitignore", -1, records[-1])


@pytest.mark.slow
def test_a_folder_of_many_files_is_synced_by_its_file_system(tmp_path: Path) -> None:
    if not shutil.which("strace"):
        pytest.skip("strace is not installed")
    pipeline = "stages: {a: {cmd: 'mkdir a; for n in $(seq 300); do echo $n > a/$n; done', outs: [a]}}\n"
    root = make(tmp_path / "r", Shape("many", {"dvc.yaml": pipeline}), tmp_path)
    log = tmp_path / "log"
    command = [sys.executable, "-c", RUN, str(root)]
    subprocess.run(["strace", "-f", "-e", "trace=fsync,syncfs", "-o", log, *command], cwd=ROOT, check=True)
    text = log.read_text()
    assert text.count("syncfs(") == 1
    folders = {path.parent for path in blobs(root)}
    assert text.count("fsync(") < len(folders) + 20
    assert yaml.safe_load((root / "dvc.lock").read_text())["stages"]["a"]["outs"][0]["nfiles"] == 300
