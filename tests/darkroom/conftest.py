import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from darkroom.server.clients import client_of
from tests.darkroom.server.processes.temporary import temporary_server


@pytest.fixture(autouse=True)
def _own_site_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DVC keeps states of files outside of the repository: not shared between tests."""
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    logging.getLogger("dvc").setLevel(logging.CRITICAL)


@pytest.fixture(scope="module")
def one_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """For all runs of the file."""
    folder = tmp_path_factory.mktemp("server")
    with temporary_server(folder) as url, client_of(folder, url):
        yield
