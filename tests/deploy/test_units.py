"""The unit files for systemd."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.places import ROOT

UNITS = ROOT / "deploy" / "systemd"

pytestmark = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed: units are not verified"
)


def verify(folder: Path, project: Path) -> subprocess.CompletedProcess[str]:
    """Both units as instances of a project in `project`."""
    escaped = subprocess.run(
        ["systemd-escape", "--path", str(project)], capture_output=True, text=True, check=True
    ).stdout.strip()
    for unit in UNITS.glob("*.service"):
        shutil.copy(unit, folder / unit.name.replace("@.", f"@{escaped}."))
    units = sorted(map(str, folder.glob("*.service")))
    assert len(units) == 2
    command = ["systemd-analyze", "--user", "verify", *units]
    env = {**os.environ, "XDG_RUNTIME_DIR": str(folder)}
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "a project"
    (folder / ".venv").mkdir(parents=True)
    (folder / ".venv" / "bin").symlink_to(Path(sys.executable).parent)
    return folder


def test_the_units_are_well_formed(tmp_path: Path, project: Path) -> None:
    done = verify(tmp_path, project)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_programs_are_the_projects_own(tmp_path: Path, project: Path) -> None:
    (project / ".venv" / "bin").unlink()
    done = verify(tmp_path, project)
    assert done.returncode != 0
    assert f"{project}/.venv/bin/python is not executable" in done.stderr
