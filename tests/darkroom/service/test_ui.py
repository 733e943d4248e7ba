"""`darkroom ui` at once and again, and how a browser is logged in."""

from __future__ import annotations

import shlex
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from darkroom.server import login, login_links
from darkroom.server.places import server_folder
from darkroom.server.sharing import shared_url
from darkroom.service.ui import has_browser
from tests.darkroom.pages import browser_page, chromium
from tests.darkroom.server.processes import pages_process
from tests.darkroom.waiting import wait_for
from tests.places import ROOT

LONG = 240  # seconds: for what takes a few on a machine with nothing else to do
needs_chromium = pytest.mark.skipif(chromium() is None, reason="no Chromium here: apt-get install chromium")
LOGGED_IN = "() => localStorage.getItem('prefect-password')"


@pytest.mark.parametrize(
    ("environ", "has"),
    [({}, False), ({"DISPLAY": ":0"}, True), ({"WAYLAND_DISPLAY": "w"}, True), ({"BROWSER": "b"}, True)],
)
def test_a_browser_needs_a_screen_or_to_be_named(environ: dict[str, str], has: bool) -> None:
    assert has_browser(environ) is has


@pytest.mark.slow
def test_several_at_once_are_one_server_that_each_gives_a_link_to(tmp_path: Path) -> None:
    started = [pages_process.start(tmp_path) for _ in range(3)]
    try:
        said = [pages_process.read(process) for process in started]
        assert len({pages.address for pages in said}) == 1
        assert len({pages.link for pages in said}) == 3
        assert wait_for(lambda: sum(process.poll() is None for process in started) == 1, LONG)
        assert sorted(str(process.poll()) for process in started) == ["0", "0", "None"]
        (serving,) = [process for process in started if process.poll() is None]
        url = shared_url(server_folder(tmp_path))
        assert url == said[0].url
        serving.send_signal(signal.SIGINT)
        assert serving.wait(LONG) == 0
        assert shared_url(server_folder(tmp_path)) is None
    finally:
        for process in started:
            process.kill()
            process.communicate()


@pytest.mark.slow
def test_one_that_was_killed_is_no_hindrance(tmp_path: Path) -> None:
    with pages_process.pages_process(tmp_path) as first:
        first.process.kill()
    with pages_process.pages_process(tmp_path) as second:
        assert shared_url(server_folder(tmp_path)) == second.url


@pytest.mark.slow
def test_the_service_does_not_serve_what_is_shown(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "darkroom.service.server_process", str(tmp_path), "0"]
    with pages_process.pages_process(tmp_path):
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (
        2,
        "error: `darkroom ui` serves this project's pages; stop it first\n",
    )


@pytest.mark.slow
def test_the_browsers_command_line_and_the_logs_hold_no_secret(tmp_path: Path) -> None:
    folder, seen = server_folder(tmp_path), tmp_path / "seen"
    script = tmp_path / "browser.sh"
    script.write_text(
        f'#!/bin/sh\nenv > {tmp_path}/env; printf "%s" "$*" > {seen}.partial; mv {seen}.partial {seen}\n'
    )
    script.chmod(0o700)
    with pages_process.pages_process(tmp_path, f"{shlex.quote(str(script))} %s") as pages:
        assert wait_for(seen.exists, LONG)
        opened = seen.read_text()
        assert opened == (folder / "login.html").resolve().as_uri()
        assert (folder / "login.html").stat().st_mode & 0o777 == 0o600
        lines = [" ".join(one.info["cmdline"] or ()) for one in psutil.process_iter(["cmdline"])]
        assert any(str(tmp_path) in line for line in lines)
    link = (folder / "login.html").read_text().partition("#")[2].partition('"')[0]
    auth = login.auth_string(folder).partition(":")[2]
    for secret in (auth, link, pages.link.partition("#")[2]):
        assert len(secret) > 30
        assert secret not in "\n".join([*lines, opened, (tmp_path / "env").read_text()])
        for path in folder.rglob("*.log"):
            assert secret not in path.read_text()
        with closing(sqlite3.connect(folder / "prefect.db")) as database:
            assert secret not in "\n".join(database.iterdump())
    assert login_links.take(folder, link)  # it is another than the one that was printed
    assert login_links.take(folder, pages.link.partition("#")[2])


@needs_chromium
@pytest.mark.slow
def test_a_browser_is_logged_in_by_the_link_once(tmp_path: Path) -> None:
    with pages_process.pages_process(tmp_path) as pages:
        with browser_page(pages.address) as page:
            page.goto(pages.address)
            page.get_by_role("heading", name="Log in").wait_for()  # without the link
            assert page.evaluate(LOGGED_IN) is None
            referers: list[str] = []
            page.on("request", lambda request: referers.append(request.headers.get("referer", "")))
            page.goto(pages.link)
            page.wait_for_url("**/v2/runs?**")
            page.get_by_text("to get started").wait_for()  # the server has said that there are no runs
            assert page.evaluate(LOGGED_IN) is not None
            token = pages.link.partition("#")[2]
            assert not [referer for referer in referers if token in referer]
            # What the browser remembers of the way has no token in it.
            page.go_back()
            assert token not in page.url
        with browser_page(pages.address) as page:
            page.goto(pages.link)
            page.get_by_text("was used already").wait_for()
            assert page.evaluate(LOGGED_IN) is None


@needs_chromium
@pytest.mark.slow
def test_the_file_that_is_opened_logs_in(tmp_path: Path) -> None:
    folder = server_folder(tmp_path)
    with pages_process.pages_process(tmp_path, "true %s") as pages:
        assert wait_for((folder / "login.html").exists, LONG)
        with browser_page(pages.address) as page:
            page.goto((folder / "login.html").as_uri())
            page.wait_for_url("**/v2/runs?**")
            assert page.evaluate(LOGGED_IN) is not None
