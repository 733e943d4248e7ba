"""A worker and the attempts that are offered to its pool."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from darkroom.exchange.board import Board
from darkroom.exchange.storages import FolderStorage
from darkroom.hosting.place import HostPlace
from darkroom.hosting.worker import Worker
from tests.darkroom.exchange.test_board import ORDER, TOKEN
from tests.darkroom.waiting import wait_for

OLDER = "f" * 32


@pytest.mark.parametrize("text", ['{"version": 99}', '{"version": 1, "deps": []}', "\xff"])
def test_an_order_that_cannot_be_read_keeps_nobody_waiting(tmp_path: Path, text: str) -> None:
    board, stop, said = Board(FolderStorage(tmp_path / "storage")), threading.Event(), list[str]()
    board.offer("gpu", OLDER)
    board.storage.write(f"attempts/{OLDER}/order.json", text.encode("latin-1"), new=True)
    board.write(ORDER)
    board.offer("gpu", TOKEN)
    place = HostPlace(tmp_path / "host", board.storage)
    worker = threading.Thread(target=Worker(place, "gpu", 2, stop, said.append).run)
    worker.start()
    try:
        assert wait_for(lambda: board.look(TOKEN).host is not None, 60), said
    finally:
        stop.set()
        worker.join()
    assert sum(line.startswith(f"attempt {OLDER}: not for this host: ") for line in said) == 1
    assert list(board.look(OLDER).refusals.values()) != []
