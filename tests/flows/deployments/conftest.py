from __future__ import annotations

from collections.abc import Iterator

import pytest

from flows import server


@pytest.fixture(scope="module")
def one_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """For all runs of the file."""
    folder = tmp_path_factory.mktemp("server")
    with server.temporary_server(folder) as url, server.client_of(folder, url):
        yield
