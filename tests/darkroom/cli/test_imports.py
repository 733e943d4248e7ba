"""What each command and each process that stays may import: what it does not need costs it half a second."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.darkroom.repositories import make
from tests.darkroom.shapes import Shape

PIPELINE = "stages:\n  a: {cmd: cp in.txt a.txt, deps: [in.txt], outs: [a.txt]}\n"
LARGE = {
    "dvc",
    "dvc_data",
    "networkx",
    "numpy",
    "pandas",
    "prefect",
    "pydantic",
    "scipy",
    "sqlalchemy",
    "torch",
}
DVC = {"dvc", "dvc_data", "networkx"}
PREFECT = {"prefect", "pydantic", "sqlalchemy"}
COMMAND = "import sys; from darkroom.cli.main import main; sys.argv[0] = 'darkroom'; main()"

# Prefect's server and client import what they need themselves; of ours these are what they load besides.
DAEMONS = {
    "server": "darkroom.service.server_process, darkroom.service.automations, darkroom.service.notices",
    "recorder": "darkroom.tracking.recorder_process",
    "delivery elsewhere": "darkroom.tracking.to_api",
    "pages": "darkroom.service.ui",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make(tmp_path / "r", Shape("small", {"dvc.yaml": PIPELINE, "in.txt": "1\n"}), tmp_path)


def imported(code: str, *words: str, cwd: Path, fine: tuple[int, ...] = (0,)) -> set[str]:
    """The large packages that a process of this code imports."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    command = [sys.executable, "-X", "importtime", "-c", code, *words]
    done = subprocess.run(
        command, cwd=cwd, env=env | {"HOME": str(cwd.parent)}, capture_output=True, text=True, check=False
    )
    assert done.returncode in fine, done.stderr[-2000:]
    names = re.findall(r"^import time:.*\|\s*(\w+)", done.stderr, re.M)
    assert "darkroom" in names
    return set(names) & LARGE


@pytest.mark.parametrize(
    ("words", "fine", "may"),
    [
        (["--help"], 0, set()),
        (["run", "--help"], 0, set()),
        (["plan"], 3, DVC),
        (["run"], 0, DVC),
        (["status"], 1, set()),
        (["down"], 0, set()),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_command_imports_what_it_needs_alone(
    root: Path, words: list[str], fine: int, may: set[str]
) -> None:
    assert imported(COMMAND, *words, cwd=root, fine=(fine,)) <= may
    assert not (root / ".darkroom/prefect").exists()


@pytest.mark.parametrize("name", DAEMONS)
def test_what_stays_never_imports_dvc(root: Path, name: str) -> None:
    assert not imported(f"import {DAEMONS[name]}", cwd=root) & DVC
