from __future__ import annotations

from collections.abc import Iterator

import pytest

from flows import server


@pytest.fixture(scope="module")
def one_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """For all runs of the file."""
    with server.temporary_server(tmp_path_factory.mktemp("server")) as url, server.client_set_to(url):
        yield
