"""The package `darkroom`: what it needs, what its wheel adds to an environment, and that this is enough."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.places import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
FOR_OTHERS = {"ruamel-yaml-clib", "whenever"}
"""What nothing here imports: DVC reads YAML faster with the one, Prefect's schedules need the other."""
FOREIGN = {
    "stages": {
        "double": {
            "cmd": "python -c \"open('b', 'w').write(open('a').read() * 2)\"",
            "deps": ["a"],
            "outs": ["b"],
        },
        "count": {
            "cmd": "python -c \"open('c', 'w').write(str(len(open('b').read())))\"",
            "deps": ["b"],
            "outs": ["c"],
        },
    }
}


def names_in(requirements: list[str]) -> set[str]:
    """Names of what is required, as the registry spells them."""
    return {canonicalize_name(Requirement(line).name) for line in requirements}


def modules_imported_by(folder: str) -> set[str]:
    """Top-level modules of others that the folder's files import, at once or lazily."""
    found = set()
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module.partition(".")[0])
    return found - set(sys.stdlib_module_names) - {"darkroom", "stages"}


def distributions_of(modules: set[str]) -> set[str]:
    """Names under which the modules are installed."""
    known = packages_distributions()
    return {canonicalize_name(known[module][0]) for module in modules}


NEEDED = names_in(PROJECT["dependencies"])
VISION = names_in(PROJECT["optional-dependencies"]["vision"])
EXPORT = names_in(
    [*PROJECT["optional-dependencies"]["export"], *PROJECT["optional-dependencies"]["openvino"]]
)
"""For `darkroom export` alone, which says so where they are missing."""


def test_dependencies_are_what_the_scheduler_imports() -> None:
    assert distributions_of(modules_imported_by("flows/darkroom")) == NEEDED - FOR_OTHERS


def test_vision_is_what_the_stages_import_beside_that() -> None:
    assert distributions_of(modules_imported_by("stages")) - NEEDED - EXPORT == VISION


def test_the_lock_holds_everything_and_no_address() -> None:
    text = (ROOT / "requirements.lock").read_text()
    locked = set(re.findall(r"^([\w.-]+)==", text, flags=re.MULTILINE))
    dev = names_in(PROJECT["optional-dependencies"]["dev"]) - {"darkroom"}
    assert NEEDED | VISION | dev <= locked
    assert "://" not in text


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this tree, built without a download."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    return path


@pytest.mark.slow
def test_the_wheel_adds_one_name_and_carries_the_vision_half_as_data(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = archive.read(next(name for name in names if name.endswith(".dist-info/METADATA"))).decode()
    assert {name.partition("/")[0] for name in names if ".dist-info/" not in name} == {"darkroom"}
    template = "darkroom/templates/vision/"
    carried = {name.removeprefix(template) for name in names if name.startswith(template)}
    files = [path for path in (ROOT / "stages").rglob("*") if path.is_file() and path.suffix != ".pyc"]
    stages = {path.relative_to(ROOT).as_posix() for path in files}
    assert carried == stages | {"dvc.yaml", "params.yaml", ".dvcignore"}
    assert "darkroom/py.typed" in names
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    assert "License-Expression: Apache-2.0\n" in metadata


@pytest.mark.slow
def test_the_wheel_runs_the_stages_that_it_carries(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "packages")
    (tmp_path / "empty").mkdir()
    script = (
        f"import sys\nsys.path.insert(0, {str(tmp_path / 'packages')!r})\n"
        "from darkroom.cli.main import run_command\nfrom darkroom.cli.vision import stages_folder\n"
        "print(stages_folder(), flush=True)\nsys.exit(run_command(['fuse', '--help']))"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=tmp_path / "empty", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    folder, _, said = done.stdout.partition("\n")
    assert folder == str(tmp_path / "packages/darkroom/templates/vision/stages")
    assert said.startswith("Usage: darkroom fuse")


UNREACHABLE = "failed to fetch|error sending request|network is unreachable|dns error|could not connect"


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The programs of an environment that holds the wheel and what it asks for, in the lock's versions."""
    folder = tmp_path_factory.mktemp("environment")
    locked = re.findall(r"^[\w.-]+==[^\\\n]+", (ROOT / "requirements.lock").read_text(), flags=re.MULTILINE)
    constraints = folder / "constraints.txt"
    constraints.write_text("\n".join(locked))
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or "uv"
    subprocess.run([uv, "venv", "-q", "--python", sys.executable, str(folder / "env")], check=True)
    python = folder / "env/bin/python"
    install = [uv, "pip", "install", "--python", str(python), "--constraint", str(constraints), str(wheel)]
    done = subprocess.run(install, capture_output=True, text=True, check=False)
    if done.returncode and re.search(UNREACHABLE, done.stderr, re.IGNORECASE):
        pytest.skip("the package registry cannot be reached")
    assert done.returncode == 0, done.stderr
    yield python.parent
    shutil.rmtree(folder)


@pytest.fixture
def foreign(environment: Path, tmp_path: Path) -> Path:
    """A DVC repository that has nothing of ours, made by the environment's DVC."""
    folder = tmp_path / "foreign"
    folder.mkdir()
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    assert call(environment, folder, "dvc", "init", "-q").returncode == 0
    (folder / "dvc.yaml").write_text(yaml.safe_dump(FOREIGN))
    (folder / "a").write_text("word")
    return folder


def call(environment: Path, folder: Path, program: str, *words: str) -> subprocess.CompletedProcess[str]:
    """A program of the environment, with its programs alone beside the system's."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "PYTHON", "VIRTUAL_ENV"))}
    mine = str(Path(sys.executable).parent)
    path = [str(environment), *(each for each in env["PATH"].split(os.pathsep) if each != mine)]
    env |= {"PATH": os.pathsep.join(path), "DO_NOT_TRACK": "1", "DVC_NO_ANALYTICS": "1"}
    command = [str(environment / program), *words]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_it_comes_without_torch_and_is_imported(environment: Path, tmp_path: Path) -> None:
    imported = call(environment, tmp_path, "python", "-c", "import darkroom; print(darkroom.__file__)")
    assert imported.returncode == 0, imported.stderr
    assert imported.stdout.startswith(str(environment.parent))
    assert "No module named 'torch'" in call(environment, tmp_path, "python", "-c", "import torch").stderr
    assert "Usage: darkroom" in call(environment, tmp_path, "darkroom", "--help").stdout


@pytest.mark.slow
def test_it_plans_and_runs_a_foreign_repository(environment: Path, foreign: Path) -> None:
    planned = call(environment, foreign, "darkroom", "plan")
    assert (planned.returncode, planned.stderr) == (3, "")
    ran = call(environment, foreign, "darkroom", "run")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert (foreign / "c").read_text() == "8"
    assert call(environment, foreign, "dvc", "status", "-q").returncode == 0
    assert call(environment, foreign, "darkroom", "plan").returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("command", ["fuse", "generate"])
def test_commands_of_the_vision_half_name_what_to_install(
    command: str, environment: Path, tmp_path: Path
) -> None:
    done = call(environment, tmp_path, "darkroom", command, "--help")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(
        "error: this command needs the vision libraries: pip install 'darkroom[vision]'"
    )
    assert len(done.stderr.splitlines()) == 1
