"""Eight trials, four at once, killed in the middle and gone on with."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import psutil
import pytest

from tests.darkroom.repositories import contents, git, make
from tests.darkroom.shapes import Shape
from tests.darkroom.waiting import wait_for
from tests.places import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

LONG = 400
# Each execution leaves a line outside; those of the second half wait until `go` is there.
FILES = {
    "params.yaml": "train:\n  lr: 0  # of the first try\n  width: 1\n",
    "raw.txt": "raw\n",
    "dvc.yaml": """\
stages:
  prepare:
    cmd: echo prepared >> {outside}/prepared; cp raw.txt data.txt
    deps: [raw.txt]
    outs: [data.txt]
  train:
    cmd: python train.py
    deps: [data.txt, train.py]
    params: [train]
    metrics: [m.json: {cache: false}]
""",
    "train.py": """\
import json, pathlib, time, yaml
train = yaml.safe_load(open("params.yaml"))["train"]
while train["lr"] > 2 and not pathlib.Path("{outside}/go").exists():
    time.sleep(0.1)
with open("{outside}/trained", "a") as file:
    print(train["lr"], train["width"], file=file)
json.dump({"score": train["lr"] * train["width"]}, open("m.json", "w"))
""",
}
SWEEP = (
    "sweep",
    "-S",
    "train.lr=range(1,5)",
    "-S",
    "train.width=1,10",
    "--metric",
    "m.json:score",
    "-j4",
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make(tmp_path / "project", Shape("sweep", FILES), tmp_path)


def start(root: Path, *words: str, stderr: int = subprocess.STDOUT) -> subprocess.Popen[str]:
    env = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")}
    command = [
        sys.executable,
        "-c",
        "from darkroom.cli.main import main; main()",
        *words,
        "--repo",
        str(root),
    ]
    return subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=stderr, text=True)


def experiments(root: Path) -> list[str]:
    return git(root, "for-each-ref", "--format=%(refname)", "refs/exps").split()


def at_work(root: Path) -> list[int]:
    """The processes in clones of the project."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if Path(process.cwd()).is_relative_to(root / ".darkroom"):
                found.append(process.pid)
    return found


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def test_a_sweep_that_was_killed_goes_on_and_runs_nothing_twice(root: Path, tmp_path: Path) -> None:
    before = contents(root)
    with start(root, *SWEEP) as killed:
        assert wait_for(lambda: len(experiments(root)) >= 4, LONG), at_work(root)
        killed.send_signal(signal.SIGKILL)
    assert wait_for(lambda: not at_work(root), LONG)
    assert len(experiments(root)) == 4
    (tmp_path / "go").touch()
    with start(root, *SWEEP, "--json", stderr=subprocess.PIPE) as again:
        told, said = again.communicate(timeout=LONG)
    assert again.returncode == 0, said
    assert len(experiments(root)) == 8
    counted = Counter(lines(tmp_path / "trained"))
    assert set(counted) == {f"{lr} {width}" for lr in range(1, 5) for width in (1, 10)}
    assert set(counted.values()) == {1}
    assert lines(tmp_path / "prepared") == ["prepared"]  # once for all
    board = said[said.index("trial  ") :].splitlines()
    name, *row = board[1].split()
    assert (board[0].split(), row) == (
        ["trial", "score", "train.lr", "train.width"],
        ["40", "4", "10"],
    )
    (ref,) = [ref for ref in experiments(root) if ref.endswith(name)]
    ranked = json.loads(told)
    assert (ranked["metric"], ranked["commit"]) == ("m.json:score", git(root, "rev-parse", "HEAD").strip())
    best = {"name": name, "figure": 40, "settings": {"train.lr": "4", "train.width": "10"}, "error": None}
    assert ranked["trials"][0] == best
    assert [one["figure"] for one in ranked["trials"][-2:]] == [2, 1]
    assert "lr: 4  # of the first try" in git(root, "show", f"{ref}:params.yaml")
    after = contents(root)
    assert {k: v for k, v in after.items() if not k.startswith(".dvc/cache")} == before


def test_a_sweep_that_cannot_begin_says_why_and_nothing_else(root: Path) -> None:
    (root / "dvc.yaml").write_text("stages: {a: {cmd: [}}\n")
    git(root, "commit", "-aqm", "broken")
    with start(root, "sweep", "-S", "train.lr=1,2", "--metric", "m.json:score") as refused:
        said, _ = refused.communicate(timeout=LONG)
    assert refused.returncode == 2
    (line,) = said.splitlines()
    assert line.startswith("error: dvc.yaml, line 1: cannot be parsed")


def test_data_by_dvc_add_comes_from_the_cache_and_is_named_where_that_lacks_it(tmp_path: Path) -> None:
    root = make(tmp_path / "project", Shape("added", FILES, add=("raw.txt",)), tmp_path)
    words = ("--metric", "m.json:score")
    with start(root, "sweep", "-S", "train.lr=1", *words) as well:
        said, _ = well.communicate(timeout=LONG)
    assert (well.returncode, "1 trial; the best is" in said) == (0, True), said
    for path in (root / ".dvc/cache/files").rglob("*"):
        if path.is_file() and path.read_text() == "raw\n":
            path.unlink()
    with start(root, "sweep", "-S", "train.lr=2", *words, stderr=subprocess.PIPE) as refused:
        _, errors = refused.communicate(timeout=LONG)
    (line,) = [line for line in errors.splitlines() if not line.startswith(("warning: ", "darkroom: "))]
    assert (refused.returncode, "cannot be run: raw.txt.dvc: raw.txt: " in line) == (2, True), line
    assert not list((root / ".darkroom/clones").iterdir())
