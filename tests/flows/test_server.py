import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows import server
from flows.errors import DarkroomError

OWNER = """
import sys, time
from pathlib import Path
from flows.server import temporary_server
with temporary_server(Path(sys.argv[1])) as url:
    print(url, flush=True)
    time.sleep(600)
"""

PAGES = """
import sys
from pathlib import Path
from flows.server import serve_pages
serve_pages(Path(sys.argv[1]), lambda address: print(address, flush=True), 0)
"""


def answers(url: str) -> bool:
    try:
        server.require_answer(url)
    except DarkroomError:
        return False
    return True


def test_a_server_that_does_not_answer_is_one_line() -> None:
    with pytest.raises(DarkroomError, match=r"no Prefect server answers at http://127.0.0.1:9/api") as error:
        server.require_answer("http://127.0.0.1:9/api")
    assert "\n" not in str(error.value)


def test_what_is_no_address_is_one_line() -> None:
    with pytest.raises(DarkroomError, match="nonsense"):
        server.require_answer("nonsense")


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


@pytest.fixture
def pages_process(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    env = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")}
    command = [sys.executable, "-c", PAGES, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) as process:
        yield process
        process.kill()


@pytest.mark.slow
def test_the_pages_are_served_and_shared_until_ctrl_c(
    tmp_path: Path, pages_process: subprocess.Popen[str]
) -> None:
    assert pages_process.stdout is not None
    address = pages_process.stdout.readline().strip()
    url = server.shared_url(server.server_folder(tmp_path))
    assert url is not None
    assert address == server.pages(url)
    as_browser = urllib.request.Request(address, headers={"Accept": "text/html"})
    with urllib.request.urlopen(as_browser) as page:
        assert b"<title>Prefect" in page.read()
    request = urllib.request.Request(
        f"{url}/flow_runs/filter", b"{}", {"Content-Type": "application/json"}, method="POST"
    )
    with urllib.request.urlopen(request) as reply:
        assert json.load(reply) == []
    with pytest.raises(DarkroomError, match="already shown at"):
        server.serve_pages(tmp_path, print)
    pages_process.send_signal(signal.SIGINT)
    assert pages_process.wait(30) == 0
    assert server.shared_url(server.server_folder(tmp_path)) is None
