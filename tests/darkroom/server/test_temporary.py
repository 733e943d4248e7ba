import base64
import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prefect import get_client
from prefect.context import refresh_global_settings_context
from prefect.settings import get_current_settings

from darkroom.base.errors import DarkroomError
from darkroom.cli.main import run_command
from darkroom.server import login
from darkroom.server import temporary as server
from tests.darkroom.repositories import make
from tests.darkroom.server.pages_process import pages_process
from tests.darkroom.shapes import Shape

OWNER = """
import sys, time
from collections.abc import Callable, Iterator
from pathlib import Path
from darkroom.server.temporary import temporary_server
with temporary_server(Path(sys.argv[1])) as url:
    print(url, flush=True)
    time.sleep(600)
"""


def answers(url: str) -> bool:
    try:
        server.require_answer(server.Configured(url, "here"))
    except DarkroomError:
        return False
    return True


def test_a_server_that_does_not_answer_is_one_line() -> None:
    with pytest.raises(DarkroomError, match=r"no Prefect server answers at http://127.0.0.1:9/api") as error:
        server.require_answer(server.Configured("http://127.0.0.1:9/api", "PREFECT_API_URL"))
    assert str(error.value).startswith("PREFECT_API_URL: ")
    assert "\n" not in str(error.value)


def test_what_is_no_address_is_one_line() -> None:
    with pytest.raises(DarkroomError, match="nonsense"):
        server.require_answer(server.Configured("nonsense", "here"))


def test_the_address_of_a_server_that_has_ended_is_not_shared(tmp_path: Path) -> None:
    assert server.shared_url(tmp_path) is None
    (tmp_path / "ui").write_text("http://127.0.0.1:9/api")
    assert server.shared_url(tmp_path) is None


@pytest.mark.slow
def test_a_temporary_server_ends_with_its_owner_even_when_that_is_killed(tmp_path: Path) -> None:
    owner = subprocess.Popen([sys.executable, "-c", OWNER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    with owner:
        assert owner.stdout is not None
        url = owner.stdout.readline().strip()
        assert answers(url), (tmp_path / "server.log").read_text()
        owner.kill()
    deadline = time.monotonic() + 20
    while answers(url) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not answers(url)
    assert (tmp_path / "prefect.db").exists()


@pytest.mark.slow
def test_the_pages_are_served_and_shared_until_ctrl_c(tmp_path: Path) -> None:
    with pages_process(tmp_path) as pages:
        url = server.shared_url(server.server_folder(tmp_path))
        assert url == pages.url
        assert pages.address == server.pages(url)
        as_browser = urllib.request.Request(pages.address, headers={"Accept": "text/html"})
        with urllib.request.urlopen(as_browser) as page:
            assert b"<title>Prefect" in page.read()
        with server.prefect_api(tmp_path) as api, get_client(sync_client=True) as client:
            assert api.url == url
            assert client.read_flow_runs() == []
        pages.process.send_signal(signal.SIGINT)
        assert pages.process.wait(60) == 0
    assert server.shared_url(server.server_folder(tmp_path)) is None


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
    url, folder = "http://127.0.0.1:4321/api", server.server_folder(tmp_path)
    folder.parent.mkdir()
    login.client_environment(folder)
    login.write_profile(folder, url)
    own = str(login.profiles_file(folder))
    set_to(HOME=str(tmp_path))
    assert server.configured(tmp_path) is None
    set_to(PREFECT_PROFILES_PATH=own)
    assert server.configured(tmp_path) is None
    monkeypatch.chdir(tmp_path)
    set_to(PREFECT_PROFILES_PATH=os.path.relpath(own))
    assert server.configured(tmp_path) is None
    # Another project's profile, and a variable that the user has set, are meant.
    set_to(PREFECT_PROFILES_PATH=own)
    assert server.configured(tmp_path / "other") == server.Configured(url, f"{own}: the active profile")
    set_to(PREFECT_PROFILES_PATH=own, PREFECT_API_URL="http://127.0.0.1:9/api")
    assert server.configured(tmp_path) == server.Configured("http://127.0.0.1:9/api", "PREFECT_API_URL")


@pytest.mark.slow
def test_a_run_keeps_what_it_records_from_others_and_the_string_from_its_stages(tmp_path: Path) -> None:
    pipeline = "stages:\n  tell: {cmd: env > told.txt; env, outs: [told.txt]}\n"
    root = make(tmp_path / "small", Shape("private", {"dvc.yaml": pipeline}), tmp_path)
    umask = os.umask(0)
    try:
        assert run_command(["run", "--repo", str(root)]) == 0
    finally:
        os.umask(umask)
    folder = server.server_folder(root)
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


def test_another_servers_credentials_are_set_aside_for_our_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", "team:secret")
    with server.client_of(tmp_path, "http://127.0.0.1:9/api"):
        auth = get_current_settings().api.auth_string
        assert auth is not None
        assert auth.get_secret_value() == login.auth_string(tmp_path)
        # What a stage inherits: the path of a file, no string.
        assert login.auth_string(tmp_path) not in os.environ.values()
    assert os.environ["PREFECT_API_AUTH_STRING"] == "team:secret"
    assert "PREFECT_PROFILES_PATH" not in os.environ
