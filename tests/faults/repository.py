"""The campaign's repository, and the states that a life starts from, each with its undisturbed end."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.darkroom.repositories import git

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent

DVC_YAML = """\
stages:
  prepare:
    desc: no param of ours, so that it stays as it is when they change
    cmd: python program.py prepare --deps data/raw.txt --folder data/prepared
    deps: [program.py, data/raw.txt]
    outs: [data/prepared]
  split:
    desc: two outs, one of them written by a child; a daemon that holds all that the stage has open
    cmd: >-
      python program.py split --daemon double-fork --deps data/prepared --params split
      --file data/train.bin --by-child data/test.bin
    deps: [program.py, data/prepared]
    params: [{params.json: [split]}]
    outs: [data/train.bin, data/test.bin]
    meta: {retries: 1}
  train:
    foreach: [a, b, c]
    do:
      desc: goes on from its checkpoint; a daemon
      cmd: >-
        python program.py train@${item} --daemon session --seconds 0.5 --deps data/train.bin --params train
        --train checkpoints/${item}.txt --file models/${item}.bin
        --metrics metrics/${item}.json --history plots/${item}.csv
      deps: [program.py, data/train.bin]
      params: [{params.json: [train]}]
      outs:
        - models/${item}.bin
      metrics:
        - metrics/${item}.json:
            cache: false
      plots:
        - plots/${item}.csv
      meta: {retries: 2, resources: {gpu: 1}}
  render:
    desc: two commands, and shells that stay
    cmd:
      - echo rendering && python program.py render --deps data/test.bin --params render --folder scenes
      - echo listing && python program.py render --deps data/test.bin --seconds 0.1 --file index.bin
    deps: [program.py, data/test.bin]
    params: [{params.json: [render]}]
    outs: [scenes, index.bin]
  thumbnails:
    desc: nothing but an out in git, and quick
    cmd: python program.py thumbnails --seconds 0.1 --deps data/prepared --metrics metrics/thumbnails.json
    deps: [program.py, data/prepared]
    metrics: [{metrics/thumbnails.json: {cache: false}}]
  evaluate:
    cmd: >-
      python program.py evaluate --deps models/a.bin models/b.bin models/c.bin data/test.bin metrics/a.json
      --folder report --metrics metrics/evaluate.json --by-child scores.bin
    deps: [program.py, models/a.bin, models/b.bin, models/c.bin, data/test.bin, metrics/a.json]
    outs: [report, scores.bin]
    metrics: [{metrics/evaluate.json: {cache: false}}]
  publish:
    cmd: python program.py publish --seconds 0.2 --deps report scenes --file publish.bin
    deps: [program.py, report, scenes]
    outs: [publish.bin]
"""
PARAMS = {"split": 1, "train": {"rate": 0.1}, "render": 1}
CHANGED_PARAMS = {"split": 1, "train": {"rate": 0.2}, "render": 2}
LOST = frozenset({"prepare", "split", "render", "publish"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Start:
    """What a life starts from: a repository to be copied, and the same after an undisturbed `dvc repro`."""

    name: str
    before: Path
    after: Path
    lost: frozenset[str] = frozenset()
    """Stages whose outs are in the cache alone at first, to be restored without being run."""

    def lock_after(self) -> dict[str, Any]:
        """The stages of the undisturbed dvc.lock."""
        return read_lock(self.after)

    def lock_before(self) -> dict[str, Any]:
        """Those that a life starts with."""
        return read_lock(self.before)


def read_lock(root: Path) -> dict[str, Any]:
    """The stages of dvc.lock; none where there is no file. Raises ValueError for a torn one."""
    path = root / "dvc.lock"
    if not path.exists():
        return {}
    try:
        stages: dict[str, Any] = yaml.safe_load(path.read_text())["stages"]
    except (yaml.YAMLError, TypeError, KeyError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: {error}") from error
    return stages


def environment(journal: Path) -> dict[str, str]:
    """For darkroom, DVC and the stages: this clone's code, no server of anyone's, a journal of their own."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
    return kept | {
        "PATH": f"{BIN}{os.pathsep}{kept['PATH']}",
        "PYTHONPATH": str(ROOT),
        "DVC_GLOBAL_CONFIG_DIR": str(journal / "no-settings"),
        "DVC_SYSTEM_CONFIG_DIR": str(journal / "no-settings"),
        "DARKROOM_GPUS": "2x8GB",
        "DARKROOM_LEASES": str(leases(journal.parent)),
        "DVC_NO_ANALYTICS": "1",
        "DO_NOT_TRACK": "1",
        "DARKROOM_SERVER_SECONDS": "0",
        "DVC_SITE_CACHE_DIR": str(journal / "site"),
        "FAULTS_JOURNAL": str(journal),
        "FAULTS_DEVICES": str(journal.parent / "devices"),
    }


def leases(folder: Path) -> Path:
    """The folder of leases of all lives of a campaign: they share the devices."""
    return folder / "leases"


def make_starts(folder: Path) -> tuple[Start, ...]:
    """Nothing done yet; all done, but then two params changed, which leaves three stages as they are; all
    done, but then outs lost.
    """
    _make(folder / "nothing")
    fresh = _finished("nothing done yet", folder / "nothing", folder)
    changed = folder / "changed"
    _copy(fresh.after, changed)
    git(changed, "add", "-A")
    git(changed, "commit", "-m", "done")
    (changed / "params.json").write_text(json.dumps(CHANGED_PARAMS))
    after_change = _finished("two params changed", changed, folder)
    lost = folder / "lost"
    _copy(after_change.after, lost)
    for stage in LOST:
        for out in after_change.lock_after()[stage]["outs"]:
            remove(lost / out["path"])
    return fresh, after_change, _finished("outs lost", lost, folder, LOST)


def _make(root: Path) -> None:
    (root / "data").mkdir(parents=True)
    (root / "data/raw.txt").write_text("pictures\n")
    (root / "params.json").write_text(json.dumps(PARAMS))
    (root / "dvc.yaml").write_text(DVC_YAML)
    (root / ".gitignore").write_text("/checkpoints\n")
    shutil.copy(Path(__file__).with_name("program.py"), root)
    git(root, "init")
    subprocess.run([BIN / "dvc", "init", "-q"], cwd=root, check=True)
    git(root, "add", "-A")
    git(root, "commit", "-m", "start")


def _finished(name: str, before: Path, folder: Path, lost: frozenset[str] = frozenset()) -> Start:
    after, journal = folder / f"{before.name}-after", folder / f"{before.name}-journal"
    _copy(before, after)
    journal.mkdir()
    with (journal / "repro.txt").open("w") as output:
        env = environment(journal)
        subprocess.run([BIN / "dvc", "repro"], cwd=after, env=env, check=True, stdout=output)
    return Start(name=name, before=before, after=after, lost=lost)


def remove(path: Path) -> None:
    """A file or a folder."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def _copy(source: Path, target: Path) -> None:
    shutil.copytree(source, target, symlinks=True)


def new_life(start: Start, folder: Path) -> Path:
    """A repository for one life, in `folder`."""
    _copy(start.before, folder / "repository")
    return folder / "repository"
