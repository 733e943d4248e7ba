"""The pages that `darkroom ui` serves are shared with the runs of the project while they are served."""

import os
import signal
import urllib.request
from pathlib import Path

import pytest
from prefect import get_client

from darkroom.server.places import runs_page, server_folder
from darkroom.server.sharing import holding_pages, is_shown, shared_url
from darkroom.tracking.served import prefect_api
from tests.darkroom.server.processes.pages_process import pages_process


def test_the_address_of_a_server_that_has_ended_is_not_shared(tmp_path: Path) -> None:
    assert shared_url(tmp_path) is None
    (tmp_path / "ui").write_text("http://127.0.0.1:9/api")
    assert shared_url(tmp_path) is None


@pytest.mark.slow
def test_the_pages_are_served_and_shared_until_ctrl_c(tmp_path: Path) -> None:
    with pages_process(tmp_path) as pages:
        url = shared_url(server_folder(tmp_path))
        assert url == pages.url
        assert pages.address == runs_page(url)
        as_browser = urllib.request.Request(pages.address, headers={"Accept": "text/html"})
        with urllib.request.urlopen(as_browser) as page:
            assert b"<title>Prefect" in page.read()
        with prefect_api(tmp_path) as api, get_client(sync_client=True) as client:
            assert api.url == url
            assert client.read_flow_runs() == []
        pages.process.send_signal(signal.SIGINT)
        assert pages.process.wait(60) == 0
    assert shared_url(server_folder(tmp_path)) is None


def test_who_looks_keeps_nobody_from_serving(tmp_path: Path) -> None:
    server_folder(tmp_path).mkdir(parents=True)
    (server_folder(tmp_path) / "ui").touch()
    if not (looking := os.fork()):
        while True:
            is_shown(server_folder(tmp_path))
    try:
        for _ in range(500):
            with holding_pages(tmp_path) as share:
                assert share is not None
    finally:
        os.kill(looking, signal.SIGKILL)
        os.waitpid(looking, 0)
    with holding_pages(tmp_path), holding_pages(tmp_path) as second:
        assert is_shown(server_folder(tmp_path))
        assert second is None
    assert not is_shown(server_folder(tmp_path))
