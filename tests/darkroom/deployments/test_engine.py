"""A flow run's place under a concurrency limit while the server cannot be asked for it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
from prefect import get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate

from darkroom.deployments.engine import keep_place
from darkroom.server.clients import client_of
from tests.darkroom.tracking.test_delivery_queue import Server
from tests.darkroom.waiting import wait_for

pytestmark = pytest.mark.slow

LONG = 240


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """One that keeps places on disk, as that of `darkroom up`."""
    storage = "prefect.server.concurrency.lease_storage.filesystem"
    monkeypatch.setenv("PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE", storage)
    folder = tmp_path / "server"
    folder.mkdir()
    one = Server(folder)
    yield one
    one.kill()


def test_a_place_is_renewed_again_when_the_server_is_back(server: Server) -> None:
    with client_of(server.folder, server.url):
        with get_client(sync_client=True) as client:
            client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name="one", limit=1))
            taken = client.increment_concurrency_slots_with_lease(["one"], 1, "concurrency", 600)
        place = UUID(taken.json()["lease_id"])
        kept = server.folder / f"concurrency_leases/{place}.json"
        before = json.loads(kept.read_text())["expiration"]
        server.kill()
        with keep_place(place, 3600.0, raise_on_lease_renewal_failure=True):
            time.sleep(12)  # several tries
            server.start()
            assert wait_for(lambda: json.loads(kept.read_text())["expiration"] > before, LONG)
