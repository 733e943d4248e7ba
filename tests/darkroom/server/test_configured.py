"""The API that is set is found as Prefect itself finds it; and who may read what is recorded there."""

from __future__ import annotations

import base64
import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prefect.context import refresh_global_settings_context
from prefect.settings import get_current_settings

from darkroom.base.errors import DarkroomError
from darkroom.cli.main import run_command
from darkroom.reporting.outbox import outbox_folder, waiting_outboxes
from darkroom.server import login
from darkroom.server.configured import Configured, configured_api, require_answer
from darkroom.server.places import server_folder
from tests.darkroom.repositories import make
from tests.darkroom.server.processes.pages_process import pages_process
from tests.darkroom.shapes import Shape
from tests.darkroom.waiting import wait_for

PROFILES = 'active = "a"\n[profiles.a]\nPREFECT_API_URL = "http://a/api"\n[profiles.b]\nPREFECT_API_URL = "http://b/api"\n'
FILES = {
    ".env": "PREFECT_API_URL=http://env-file/api\n",
    "prefect.toml": '[api]\nurl = "http://toml/api"\n',
    "pyproject.toml": '[tool.prefect.api]\nurl = "http://pyproject/api"\n',
}


@pytest.fixture
def set_to(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Has Prefect read its settings again from an environment that holds this alone of it."""

    def set_to(**environ: str) -> None:
        for name in [name for name in os.environ if name.startswith("PREFECT_")]:
            monkeypatch.delenv(name)
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        refresh_global_settings_context()

    yield set_to
    monkeypatch.undo()
    refresh_global_settings_context()


def found(root: Path) -> str | None:
    set_to = configured_api(root, os.environ)
    return set_to.url if set_to else None


@pytest.mark.parametrize(
    ("environ", "files"),
    [
        ({}, []),
        ({"PREFECT_API_URL": "http://variable/api"}, list(FILES)),
        ({"PREFECT_API_URL": ""}, []),
        ({}, [".env", "prefect.toml", "pyproject.toml"]),
        ({}, ["prefect.toml", "pyproject.toml"]),
        ({}, ["pyproject.toml"]),
        ({"PREFECT_PROFILES_PATH": "profiles.toml"}, []),
        ({"PREFECT_PROFILES_PATH": "profiles.toml"}, ["pyproject.toml"]),
        ({"PREFECT_PROFILES_PATH": "profiles.toml", "PREFECT_PROFILE": "b"}, []),
        ({"PREFECT_PROFILES_PATH": "profiles.toml", "PREFECT_PROFILE": "none"}, []),
        ({"PREFECT_PROFILES_PATH": "missing.toml"}, []),
        ({"PREFECT_HOME": "home"}, []),
        ({"PREFECT_TEST_MODE": "1", "PREFECT_PROFILES_PATH": "profiles.toml"}, []),
    ],
)
def test_what_is_found_is_what_prefect_finds(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    set_to: Callable[..., None],
    environ: dict[str, str],
    files: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for place in (tmp_path / "profiles.toml", tmp_path / "home/profiles.toml"):
        place.parent.mkdir(exist_ok=True)
        place.write_text(PROFILES)
    for name in files:
        (tmp_path / name).write_text(FILES[name])
    (tmp_path / "nobody").mkdir()
    set_to(HOME=str(tmp_path / "nobody"), **environ)
    assert found(tmp_path / "project") == (get_current_settings().api.url or None)


def test_the_projects_own_profile_is_no_other_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, set_to: Callable[..., None]
) -> None:
    url, folder = "http://127.0.0.1:4321/api", server_folder(tmp_path)
    folder.parent.mkdir()
    login.client_environment(folder)
    login.write_profile(folder, url)
    own = str(login.profiles_file(folder))
    set_to(HOME=str(tmp_path))
    assert configured_api(tmp_path, os.environ) is None
    set_to(PREFECT_PROFILES_PATH=own)
    assert configured_api(tmp_path, os.environ) is None
    monkeypatch.chdir(tmp_path)
    set_to(PREFECT_PROFILES_PATH=os.path.relpath(own))
    assert configured_api(tmp_path, os.environ) is None
    # Another project's profile, and a variable that the user has set, are meant.
    set_to(PREFECT_PROFILES_PATH=own)
    assert configured_api(tmp_path / "other", os.environ) == Configured(url, f"{own}: the active profile")
    set_to(PREFECT_PROFILES_PATH=own, PREFECT_API_URL="http://127.0.0.1:9/api")
    assert configured_api(tmp_path, os.environ) == Configured("http://127.0.0.1:9/api", "PREFECT_API_URL")


def test_a_settings_file_that_cannot_be_read_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, set_to: Callable[..., None]
) -> None:
    monkeypatch.chdir(tmp_path)
    set_to(HOME=str(tmp_path))
    (tmp_path / "prefect.toml").write_text("[api\n")
    with pytest.raises(DarkroomError, match=r"prefect\.toml: ") as error:
        configured_api(tmp_path, os.environ)
    assert "\n" not in str(error.value)
    (tmp_path / "prefect.toml").unlink()
    (tmp_path / ".env").write_bytes("# caf\u00e9\n".encode("latin-1"))
    with pytest.raises(DarkroomError, match=r"^\.env: is not UTF-8 at byte 5; save it as UTF-8$"):
        configured_api(tmp_path, os.environ)


def test_a_server_that_does_not_answer_is_one_line() -> None:
    with pytest.raises(DarkroomError, match=r"no Prefect server answers at http://127.0.0.1:9/api") as error:
        require_answer(Configured("http://127.0.0.1:9/api", "PREFECT_API_URL"))
    assert str(error.value).startswith("PREFECT_API_URL: ")
    assert "\n" not in str(error.value)


def test_what_is_no_address_is_one_line() -> None:
    with pytest.raises(DarkroomError, match="nonsense"):
        require_answer(Configured("nonsense", "here"))


@pytest.mark.slow
def test_a_run_keeps_what_it_records_from_others_and_the_string_from_its_stages(tmp_path: Path) -> None:
    pipeline = "stages:\n  tell: {cmd: env > told.txt; env, outs: [told.txt]}\n"
    root = make(tmp_path / "small", Shape("private", {"dvc.yaml": pipeline}), tmp_path)
    umask = os.umask(0)
    try:
        assert run_command(["run", "--repo", str(root)]) == 0
        with pages_process(root):
            assert wait_for(lambda: not waiting_outboxes(root))
    finally:
        os.umask(umask)
    folder = server_folder(root)
    assert folder.stat().st_mode & 0o777 == 0o700
    auth = login.auth_string(folder)
    secret = auth.partition(":")[2]
    holders = [path for path in root.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]
    assert login.auth_file(folder) in holders
    assert not [path for path in holders if path.stat().st_mode & 0o077 or folder not in path.parents]
    assert "DVC_STAGE=tell" in (root / "told.txt").read_text()
    assert "PREFECT_" not in (root / "told.txt").read_text()
    with contextlib.closing(sqlite3.connect(folder / "prefect.db")) as database:
        texts = ["\n".join(database.iterdump())]
    assert "DVC_STAGE=tell" in texts[0]
    assert outbox_folder(root).stat().st_mode & 0o777 == 0o700
    texts += [path.read_text() for path in (root / "told.txt", *root.rglob("*.log"))]
    basic = base64.b64encode(auth.encode()).decode()
    assert not [text for text in texts for shown in (secret, basic) if shown in text]
