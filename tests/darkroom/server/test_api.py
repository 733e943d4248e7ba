"""Which Prefect API a run is recorded in, and who may read what it records there."""

import base64
import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prefect.context import refresh_global_settings_context

from darkroom.base.errors import DarkroomError
from darkroom.cli.main import run_command
from darkroom.server import login
from darkroom.server.api import Configured, configured_api, require_answer
from darkroom.server.places import server_folder
from tests.darkroom.repositories import make
from tests.darkroom.shapes import Shape


def test_a_server_that_does_not_answer_is_one_line() -> None:
    with pytest.raises(DarkroomError, match=r"no Prefect server answers at http://127.0.0.1:9/api") as error:
        require_answer(Configured("http://127.0.0.1:9/api", "PREFECT_API_URL"))
    assert str(error.value).startswith("PREFECT_API_URL: ")
    assert "\n" not in str(error.value)


def test_what_is_no_address_is_one_line() -> None:
    with pytest.raises(DarkroomError, match="nonsense"):
        require_answer(Configured("nonsense", "here"))


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


def test_the_projects_own_profile_is_no_other_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, set_to: Callable[..., None]
) -> None:
    url, folder = "http://127.0.0.1:4321/api", server_folder(tmp_path)
    folder.parent.mkdir()
    login.client_environment(folder)
    login.write_profile(folder, url)
    own = str(login.profiles_file(folder))
    set_to(HOME=str(tmp_path))
    assert configured_api(tmp_path) is None
    set_to(PREFECT_PROFILES_PATH=own)
    assert configured_api(tmp_path) is None
    monkeypatch.chdir(tmp_path)
    set_to(PREFECT_PROFILES_PATH=os.path.relpath(own))
    assert configured_api(tmp_path) is None
    # Another project's profile, and a variable that the user has set, are meant.
    set_to(PREFECT_PROFILES_PATH=own)
    assert configured_api(tmp_path / "other") == Configured(url, f"{own}: the active profile")
    set_to(PREFECT_PROFILES_PATH=own, PREFECT_API_URL="http://127.0.0.1:9/api")
    assert configured_api(tmp_path) == Configured("http://127.0.0.1:9/api", "PREFECT_API_URL")


@pytest.mark.slow
def test_a_run_keeps_what_it_records_from_others_and_the_string_from_its_stages(tmp_path: Path) -> None:
    pipeline = "stages:\n  tell: {cmd: env > told.txt; env, outs: [told.txt]}\n"
    root = make(tmp_path / "small", Shape("private", {"dvc.yaml": pipeline}), tmp_path)
    umask = os.umask(0)
    try:
        assert run_command(["run", "--repo", str(root)]) == 0
    finally:
        os.umask(umask)
    folder = server_folder(root)
    assert folder.stat().st_mode & 0o777 == 0o700
    for secret in (login.auth_file(folder), login.profiles_file(folder), folder / "key"):
        assert secret.stat().st_mode & 0o777 == 0o600
    auth = login.auth_string(folder)
    assert "PREFECT_PROFILES_PATH=" in (root / "told.txt").read_text()
    with contextlib.closing(sqlite3.connect(folder / "prefect.db")) as database:
        texts = ["\n".join(database.iterdump())]
    assert "PREFECT_PROFILES_PATH=" in texts[0]
    texts += [path.read_text() for path in (root / "told.txt", *root.rglob("*.log"))]
    basic = base64.b64encode(auth.encode()).decode()
    assert not [text for text in texts for secret in (auth.partition(":")[2], basic) if secret in text]
