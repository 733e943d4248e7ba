"""A project whose folder is full of names that Python, DVC, Prefect and darkroom use themselves.

Each of these files says so and fails when it is imported by anything but a stage.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prefect import get_client
from prefect.client.schemas.objects import StateType

from darkroom.base.interpreter import python_command
from darkroom.server import login
from darkroom.server.clients import client_set_to
from darkroom.server.places import server_folder
from darkroom.server.sharing import kept_up
from tests.darkroom.repositories import make
from tests.darkroom.service.project import QUICK
from tests.darkroom.shapes import Shape
from tests.darkroom.waiting import wait_for

LONG = 400
DARKROOM = str(Path(sys.executable).parent / "darkroom")
NAMES = ("dvc", "flows", "prefect", "stages", "git", "gto")
MODULES = ("logging", "click", "yaml", "runpy", "httpx", "rich", "sqlite3", "uvicorn", "pydantic", "psutil")
TRAP = """\
import os
if "DVC_STAGE" not in os.environ:
    open({mark!r}, "a").write(__file__ + "\\n")
    raise ImportError("taken from the project's folder")
value = 7
"""
PIPELINE = """\
stages:
  first:
    cmd: python first.py
    deps: [first.py]
    params: [lr]
    metrics: [m.json: {cache: false}]
"""
FIRST = (
    "import darkroom, dvc, json\njson.dump({'seven': darkroom.value * dvc.value // 7}, open('m.json', 'w'))\n"
)
DEPLOYMENTS = """\
deployments:
  - name: retrain
    entrypoint: darkroom.deployments.retrain.retrain
    work_pool: {name: small}
"""
OWN = "from prefect import flow\n\n@flow\ndef tick() -> None:\n    import flows\n\n    assert flows.tick\n"
RAW = "outs: [{md5: 900150983cd24fb0d6963f7d28e17f72, size: 3, path: abc}]\nmeta: {sources: {}}\n"


def project(folder: Path, darkroom_as: str) -> Path:
    """Committed; what was imported is in the file `imported` beside it."""
    trap = TRAP.format(mark=str(folder / "imported"))
    names = [darkroom_as, *(f"{name}/__init__.py" for name in NAMES), *(f"{name}.py" for name in MODULES)]
    files: dict[str, str | None] = {
        **dict.fromkeys(names, trap),
        "dvc.yaml": PIPELINE,
        "params.yaml": "lr: 1\n",
        "first.py": FIRST,
        "prefect.yaml": DEPLOYMENTS,
        "data/raw/abc.dvc": RAW,
    }
    return make(folder / "project", Shape("names", files), folder)


class Shell:
    """Darkroom's commands as a user gives them, from a folder, with a PYTHONPATH."""

    def __init__(self, root: Path, cwd: Path, pythonpath: str | None) -> None:
        self.root, self.cwd = root, cwd
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "PYTHONPATH"))}
        self.env |= QUICK | ({} if pythonpath is None else {"PYTHONPATH": pythonpath})

    def __call__(self, *words: str, code: int = 0) -> str:
        where = [] if words[0] == "doctor" else ["--repo", str(self.root)]
        done = subprocess.run(
            [DARKROOM, *words, *where],
            cwd=self.cwd,
            env=self.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LONG,
            check=False,
        )
        mark = self.root.parent / "imported"
        taken = mark.read_text() if mark.exists() else ""
        assert (done.returncode, taken) == (code, ""), f"{words}: {taken}{done.stdout}{done.stderr}"
        return done.stdout


@pytest.fixture(params=["darkroom.py", "darkroom/__init__.py"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return project(tmp_path, request.param)


@pytest.fixture
def shell(root: Path, tmp_path: Path) -> Shell:
    """Inside the project where it has a module of that name, from elsewhere where it has a package."""
    if (root / "darkroom.py").exists():
        return Shell(root, root, None)
    return Shell(root, tmp_path, os.pathsep)  # an empty entry in PYTHONPATH: the folder that one is in


def test_a_child_finds_what_its_parent_does_and_nothing_in_its_folder(tmp_path: Path) -> None:
    (tmp_path / "told.py").write_text("raise ImportError\n")
    site = tmp_path / "site"
    site.mkdir()
    (site / "told.py").write_text("import json, sys; print(json.dumps([sys.argv[1:], sys.path]))\n")
    script = "import sys, subprocess; from darkroom.base.interpreter import python_command;"
    script += "subprocess.run(python_command('told', '-a', 'b c'), check=True)"
    for entries in (["", str(site)], [".", str(tmp_path), str(site)]):
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(entries)}
        told = subprocess.run(
            [sys.executable, "-c", script], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
        )
        assert "['-a', 'b c']".replace("'", '"') in told.stdout, told.stderr
        assert f'"{tmp_path}"' not in told.stdout
        assert '""' not in told.stdout


def test_a_module_that_was_imported_before_is_not_looked_for_again(tmp_path: Path) -> None:
    """As Prefect does it: the current folder goes before all others while a flow is imported."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "m.py").write_text("import sys\nsys.path.insert(0, '.')\nimport graphlib\n")
    (tmp_path / "graphlib.py").write_text("raise ImportError\n")
    for imported, code in ((["graphlib"], 0), ([], 1)):
        words = python_command("m", first=[site], imported=imported)
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, check=False)
        assert done.returncode == code, done.stderr


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_commands_without_a_server_take_nothing_from_the_project(shell: Shell) -> None:
    shell("plan", code=3)
    shell("run")
    assert (shell.root / "m.json").read_text() == '{"seven": 7}'
    shell("plan")
    (shell.root / "data/raw/abc").write_text("abc")
    assert "in place" in shell("fetch")
    shell("status", code=1)
    shell("doctor")
    shell("gc", "--days", "0", "--yes")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_sweep_takes_nothing_from_the_project(shell: Shell) -> None:
    assert "1 trial;" in shell("sweep", "-S", "lr=1", "--metric", "m.json:seven")


@contextlib.contextmanager
def up(root: Path) -> Iterator[Callable[[str], StateType | None]]:
    """Darkroom up; gives how a run of a deployment ends."""
    shell = Shell(root, root, None)
    ended = {StateType.COMPLETED, StateType.FAILED, StateType.CRASHED}
    try:
        shell("up")
        url = kept_up(root)
        assert url is not None
        with (
            client_set_to(url, login.client_environment(server_folder(root))),
            get_client(sync_client=True) as client,
        ):

            def run(name: str) -> StateType | None:
                deployment = client.read_deployment_by_name(name)
                run = client.create_flow_run_from_deployment(deployment.id).id
                assert wait_for(lambda: client.read_flow_run(run).state_type in ended, LONG), name
                return client.read_flow_run(run).state_type

            yield run
    finally:
        shell("down")


def log_of_worker(root: Path) -> str:
    return (root / ".darkroom/services/worker-small.log").read_text()


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("root", ["darkroom/__init__.py"], indirect=True)
def test_what_a_worker_starts_takes_nothing_from_the_project(root: Path) -> None:
    with up(root) as run:
        assert run("retrain/retrain") is StateType.COMPLETED, log_of_worker(root)
    assert not (root.parent / "imported").exists()


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_flow_of_the_users_own_in_flows_py(tmp_path: Path) -> None:
    """Prefect's own name for it; such a flow finds the project's modules as everywhere in Prefect."""
    deployment = "deployments: [{name: t, entrypoint: 'flows.py:tick', work_pool: {name: small}}]\n"
    files: dict[str, str | None] = {"dvc.yaml": "stages: {}\n", "flows.py": OWN, "prefect.yaml": deployment}
    root = make(tmp_path / "own", Shape("own", files), tmp_path)
    with up(root) as run:
        assert run("tick/t") is StateType.COMPLETED, log_of_worker(root)


@pytest.mark.slow
@pytest.mark.parametrize("root", ["darkroom.py"], indirect=True)
def test_the_pages_are_served_beside_all_these_names(root: Path) -> None:
    shell = Shell(root, root, None)
    with subprocess.Popen(
        [DARKROOM, "ui", "--port", "0"], cwd=root, env=shell.env, stdout=subprocess.PIPE, text=True
    ) as pages:
        assert pages.stdout is not None
        assert "all runs of this project" in pages.stdout.readline()
        pages.send_signal(signal.SIGINT)
        pages.stdout.read()
    assert not (root.parent / "imported").exists()
