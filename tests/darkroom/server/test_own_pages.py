"""Prefect's pages as darkroom serves them: they ask no other host, advertise nothing, lead to the login."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from darkroom.server import login
from darkroom.server.places import server_folder
from tests.darkroom.pages import browser_page, chromium
from tests.darkroom.server.processes.pages_process import Pages, pages_process

pytestmark = pytest.mark.slow

PAGES = {"Automations": "automations", "Settings": "settings"}
"""Where links beside the pages lead."""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Pages]]:
    root = tmp_path_factory.mktemp("project")
    with pages_process(root) as pages:
        yield root, pages


def test_every_page_has_the_policy_compressed_or_not(served: tuple[Path, Pages]) -> None:
    _, pages = served
    for encoding in ("gzip", "identity"):
        answer = httpx.get(
            pages.url.removesuffix("/api") + "/v2/dashboard",
            headers={"Accept": "text/html", "Accept-Encoding": encoding},
        )
        assert answer.status_code == 200
        assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
        assert '<script src="/darkroom/door.js"></script>' in answer.text
        assert "</html>" in answer.text


@pytest.mark.skipif(chromium() is None, reason="no Chromium here: apt-get install chromium")
def test_they_ask_no_other_host_and_lead_to_the_login(served: tuple[Path, Pages]) -> None:
    root, pages = served
    base = pages.url.removesuffix("/api")
    asked: list[str] = []
    with browser_page(base) as page:
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"{base}/v2/dashboard")
        string = page.get_by_label("The string")
        string.fill("admin:wrong")
        page.get_by_role("button", name="Log in").click()
        page.get_by_text("That is not the string of this project.").wait_for()
        assert page.get_by_text(".darkroom/prefect/auth").is_visible()
        string.fill(login.auth_string(server_folder(root)))
        page.get_by_role("button", name="Log in").click()
        page.wait_for_url("**/v2/runs*")
        page.get_by_text("to get started").wait_for()  # before that the page may yet change its own address
        for name, path in PAGES.items():
            page.get_by_role("link", name=name, exact=True).first.click()
            page.wait_for_url(f"**/v2/{path}*")
            page.wait_for_load_state("networkidle")
            assert page.get_by_text("Cloud").count() == 0
    hosts = {urlsplit(url).hostname for url in asked if url.startswith("http")}
    assert hosts == {"127.0.0.1"}
