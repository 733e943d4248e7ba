"""Nobody but the owner gets anything from a server of darkroom, however it was started."""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from darkroom.reporting.deliverers import SERVER_SECONDS
from darkroom.server import login, login_links
from darkroom.server.clients import client_of
from darkroom.server.places import port_of, server_folder
from darkroom.server.sharing import kept_up, shared_url
from tests.darkroom.repositories import make
from tests.darkroom.server.processes.pages_process import pages_process
from tests.darkroom.server.processes.routes import SOME_FILE
from tests.darkroom.service.project import Project
from tests.darkroom.shapes import Shape
from tests.darkroom.waiting import wait_for
from tests.leftovers import shared_environment
from tests.places import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

EVIL = "http://evil.example"
OPEN = {
    *((method, path) for path in ("/docs", "/docs/oauth2-redirect", "/redoc", "/openapi.json", "/ui-settings")
      for method in ("GET", "HEAD")),
    ("GET", "/api/health"),
    ("GET", "/api/ready"),
    ("GET", "/darkroom/door.js"),
    ("HEAD", "/darkroom/door.js"),
    ("GET", "/darkroom/login"),
    ("HEAD", "/darkroom/login"),
    ("GET", SOME_FILE),  # Prefect's pages
} - {("HEAD", "/ui-settings")}  # fmt: skip
"""Tells nothing about the project, and changes nothing."""


@dataclass(frozen=True, slots=True)
class Served:
    """A server and where it keeps its string."""

    url: str
    folder: Path

    @property
    def base(self) -> str:
        return self.url.removesuffix("/api")

    @property
    def port(self) -> int:
        return port_of(self.url)

    def credentials(self) -> dict[str, str]:
        return basic(login.auth_string(self.folder))


def basic(auth: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(auth.encode()).decode()}"}


@contextlib.contextmanager
def by_run(folder: Path) -> Iterator[Served]:
    root = make(folder / "run", Shape("run", {"in.txt": "1\n"}), folder)
    env = shared_environment() | {SERVER_SECONDS: "3600"}
    command = [sys.executable, "-m", "darkroom.tracking.recorder_process", str(root), ""]
    with subprocess.Popen(command, env=env) as process:
        try:
            assert wait_for(lambda: shared_url(server_folder(root)), 300)
            yield Served(str(shared_url(server_folder(root))), server_folder(root))
        finally:
            process.terminate()


@contextlib.contextmanager
def by_ui(folder: Path) -> Iterator[Served]:
    with pages_process(folder, environ=shared_environment()) as pages:
        yield Served(pages.url, server_folder(folder))


@contextlib.contextmanager
def by_up(folder: Path) -> Iterator[Served]:
    project = Project(make(folder / "project", Shape("up", {"in.txt": "1\n"}), folder))
    project.up()
    try:
        yield Served(str(kept_up(project.root)), project.prefect)
    finally:
        project.down()


@pytest.fixture(scope="module", params=[by_run, by_ui, by_up])
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with request.param(tmp_path_factory.mktemp("served")) as served:
        yield served


@pytest.fixture(scope="module")
def routes(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, str]]:
    """Of each of the servers: they serve the same application."""
    command = [sys.executable, "-m", "tests.darkroom.server.processes.routes"]
    command += [str(tmp_path_factory.mktemp("routes")), "http://127.0.0.1:9/api"]
    env = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    some_id = "00000000-0000-0000-0000-000000000000"
    return [(method, re.sub(r"\{[^}]*\}", some_id, path)) for method, path in json.loads(done.stdout)]


@pytest.fixture
def client(served: Served) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=served.base, timeout=60) as client:
        yield client


def token(client: httpx.Client, served: Served) -> dict[str, str]:
    """Against requests from other origins, which is asked for before the string."""
    me = str(uuid4())
    answer = client.get(f"/api/csrf-token?client={me}", headers=served.credentials())
    return {"Prefect-Csrf-Token": answer.json()["token"], "Prefect-Csrf-Client": me}


def ask(client: httpx.Client, method: str, path: str, headers: dict[str, str]) -> int:
    body = None if method in ("GET", "HEAD", "DELETE") else "{}"
    headers = {"Content-Type": "application/json", **headers}
    return client.request(method, path, headers=headers, content=body).status_code


def test_every_route_refuses_all_but_the_owner(
    served: Served, client: httpx.Client, routes: list[tuple[str, str]]
) -> None:
    calls = [(method, path) for method, path in routes if method != "WEBSOCKET"]
    assert len(calls) > 200
    mine = served.credentials() | token(client, served)
    csrf = {name: value for name, value in mine.items() if name != "Authorization"}
    answered: dict[str, set[tuple[str, str]]] = {}
    for how, headers in {
        "without the string": csrf,
        "with a wrong string": csrf | basic("darkroom:guessed"),
        "without a token": {},
    }.items():
        codes = {call: ask(client, *call, headers) for call in calls}
        answered[how] = {call for call, code in codes.items() if code not in (401, 403)}
    assert answered == dict.fromkeys(answered, OPEN)
    # Other pages and other names get nothing, not even what is open, not even with the string. Each route is
    # asked in the name of one of them, and each of them asks for many routes.
    names = ("evil.example", f"evil.example:{served.port}", "127.0.0.1.evil.example", "")
    for header, others, refusal in (("Origin", (EVIL, "null"), 403), ("Host", names, 400)):
        asked = zip(calls, itertools.cycle(others))
        assert {ask(client, *call, mine | {header: other}) for call, other in asked} == {refusal}


def test_the_owner_and_the_pages_get_in(served: Served, client: httpx.Client) -> None:
    mine = served.credentials()
    assert ask(client, "POST", "/api/flow_runs/filter", mine) == 403  # without a token
    mine |= token(client, served)
    assert ask(client, "POST", "/api/flow_runs/filter", mine) == 200
    for host in ("127.0.0.1", "localhost"):
        own = mine | {"Origin": f"http://{host}:{served.port}", "Host": f"{host}:{served.port}"}
        assert ask(client, "POST", "/api/flow_runs/filter", own) == 200
    with client_of(served.folder, served.url):
        from prefect import get_client

        with get_client(sync_client=True) as prefect:
            assert prefect.read_flow_runs() == []
            prefect.create_flow_from_name("mine")


@pytest.mark.parametrize("origin", [EVIL, "null", "http://127.0.0.1:9", "https://localhost"])
def test_no_page_may_read_an_answer_or_ask_whether_it_may(client: httpx.Client, origin: str) -> None:
    asks = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    for path in ("/api/flow_runs/filter", "/api/health", "/ui-settings", "/darkroom/login"):
        for answer in (client.options(path, headers=asks), client.get(path, headers={"Origin": origin})):
            assert answer.status_code == 403
            assert not [name for name in answer.headers if name.lower().startswith("access-control")]


def handshake(served: Served, path: str, headers: dict[str, str]) -> int:
    """The answer's code to the request to open a websocket: 101 opens it."""
    wanted = {
        "Host": f"127.0.0.1:{served.port}",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": base64.b64encode(b"0123456789abcdef").decode(),
        "Sec-WebSocket-Version": "13",
        **headers,
    }
    with socket.create_connection(("127.0.0.1", served.port), timeout=60) as connection:
        lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in wanted.items()), "", ""]
        connection.sendall("\r\n".join(lines).encode())
        with connection.makefile("rb") as answer:
            return int(answer.readline().split()[1])


def say(served: Served, path: str, *messages: str) -> list[str]:
    """What a websocket of Prefect's protocol answers to each message until it is closed."""
    heard: list[str] = []
    url = f"ws://127.0.0.1:{served.port}{path}"
    with (
        connect(url, subprotocols=[Subprotocol("prefect")]) as websocket,
        contextlib.suppress(ConnectionClosed),
    ):
        for message in messages:
            websocket.send(message)
            heard.append(str(websocket.recv(timeout=60)))
    return heard


def test_every_websocket_refuses_all_but_the_owner(served: Served, routes: list[tuple[str, str]]) -> None:
    paths = [path for method, path in routes if method == "WEBSOCKET"]
    assert len(paths) >= 5
    own = f"http://127.0.0.1:{served.port}"
    prefect = {"Sec-WebSocket-Protocol": "prefect"}
    auth = login.auth_string(served.folder)
    for path in paths:
        assert handshake(served, path, {}) == 403  # an older client, which could not say the string
        assert handshake(served, path, prefect | {"Origin": EVIL}) == 403
        assert handshake(served, path, prefect | {"Origin": "null"}) == 403
        assert handshake(served, path, prefect | {"Host": "evil.example"}) == 400
        assert handshake(served, path, prefect | {"Origin": own}) == 101
        assert say(served, path, json.dumps({"type": "auth", "token": "darkroom:guessed"})) == []
        assert say(served, path, json.dumps({"type": "auth", "token": None})) == []
        assert say(served, path, json.dumps({"type": "auth"})) == []
        assert say(served, path, json.dumps({"type": "hello"})) == []
        (heard,) = say(served, path, json.dumps({"type": "auth", "token": auth}))
        assert json.loads(heard)["type"] == "auth_success"
    with pytest.raises(InvalidStatus, match="403"), connect(f"ws://127.0.0.1:{served.port}{paths[0]}"):
        pass


def test_it_listens_on_loopback_alone_and_its_folder_is_private(served: Served) -> None:
    mode = served.folder.stat().st_mode & 0o777
    assert mode == 0o700
    import psutil

    listening = {
        connection.laddr.ip
        for connection in psutil.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port == served.port
    }
    assert listening == {"127.0.0.1"}


def test_a_link_logs_in_once(served: Served, client: httpx.Client) -> None:
    link = login_links.make(served.folder, served.url)
    page, _, used = link.partition("#")
    answer = client.get(page)
    assert answer.status_code == 200
    assert used not in answer.text
    assert login.auth_string(served.folder) not in answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    string = client.post(page, content=used)
    assert base64.b64decode(string.text).decode() == login.auth_string(served.folder)
    assert string.headers["Cache-Control"] == "no-store"
    for token in (used, "guessed", "", "x" * 100_000, "../auth"):
        refused = client.post(page, content=token)
        assert refused.status_code == 403
        assert "darkroom ui" in refused.text
