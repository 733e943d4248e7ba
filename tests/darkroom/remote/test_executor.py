"""A run takes over what a host has made: also while the storage is away, and never anything damaged."""

from __future__ import annotations

import base64
import errno
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from darkroom.exchange.board import Board
from darkroom.exchange.orders import Record
from darkroom.exchange.storages import FolderStorage
from darkroom.processes.stage_process import Ending, StageResult
from darkroom.remote import executor
from darkroom.repository.blobs import Blob, BlobStore, blob_of_file
from darkroom.runs.report import RunOptions
from darkroom.schedule.events import Event, Outcome
from tests.darkroom.remote.hosts import POOL, run_elsewhere, set_pools
from tests.darkroom.repositories import make
from tests.darkroom.shapes import Shape
from tests.darkroom.waiting import wait_for

STAGE = """\
stages:
  a:
    cmd: echo a > a; echo 1 > m.json
    outs: [a]
    metrics: [m.json: {cache: false}]
"""


class Far:
    """A repository, and a host that hands the same record in for each attempt."""

    def __init__(self, folder: Path) -> None:
        self.root = make(folder / "repo", Shape("one", {"dvc.yaml": STAGE}), folder)
        self.storage = folder / "storage"
        self.storage.mkdir()
        set_pools(self.root, self.storage)
        self.made, self.metrics = folder / "a", folder / "m.json"
        self.made.write_text("a\n")
        self.metrics.write_text("1\n")
        self.board = Board(FolderStorage(self.storage))
        self.inline = base64.b64encode(b"1\n").decode()
        self.claims: list[str] = []
        self.events: list[Event] = []
        self._done = threading.Event()
        self._host = threading.Thread(target=self._work)

    def __enter__(self) -> Far:
        self._host.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._host.join()

    def _work(self) -> None:
        while not self._done.wait(0.02):
            for token in self.board.offered(POOL):
                if self.board.claim(token, "far"):
                    self.claims.append(token)
                    self.board.hand_in(self._record(token))

    def _record(self, token: str) -> Record:
        outs = {
            "a": BlobStore.in_folder(self.storage).put(self.made),
            "m.json": blob_of_file(self.metrics),
        }
        well = StageResult(ending=Ending.OK, seconds=0.1)
        return Record(token=token, host="far", result=well, outs=outs, inline={"m.json": self.inline})

    def run(self, options: RunOptions | None = None) -> Any:
        return run_elsewhere(options or RunOptions(repo=self.root), self.root, self.events.append)

    def lines(self) -> list[str]:
        return [getattr(event, "line", "") for event in list(self.events)]


def stale(away: Callable[[], bool]) -> Callable[..., int]:
    """`BlobStore.place` of a mounted folder that does not answer as long as `away` says so."""
    place = BlobStore.place

    def sometimes(self: BlobStore, blob: Blob, path: Path, *words: Any) -> int:
        if away():
            raise OSError(errno.ESTALE, "Stale file handle", str(path))
        return place(self, blob, path, *words)

    return sometimes


def test_a_result_is_waited_for_where_the_storage_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor, "OUTAGE_SECONDS", 0.01)
    looks = iter([True, True])
    monkeypatch.setattr(BlobStore, "place", stale(lambda: next(looks, False)))
    with Far(tmp_path) as far:
        report = far.run()
    assert report.errors == ()
    assert report.outcomes() == {"a": Outcome.RAN}
    assert len(far.claims) == 1
    waits = [line for line in far.lines() if line.startswith("darkroom: waits for the storage: ")]
    assert len(waits) == 1
    assert waits[0].endswith("a: Stale file handle")


def test_a_result_that_could_not_be_received_is_taken_over_by_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = RunOptions(repo=tmp_path / "repo")
    with Far(tmp_path) as far:
        with monkeypatch.context() as patch:
            patch.setattr(BlobStore, "place", stale(lambda: True))
            run = threading.Thread(target=far.run, args=(options,))
            run.start()
            assert wait_for(lambda: any("waits for the storage" in line for line in far.lines()), 240)
            options.stop.set()
            run.join()
        assert not (far.root / "a").exists()
        report = far.run()
    assert report.errors == ()
    assert report.outcomes() == {"a": Outcome.RAN}
    assert (far.root / "a").read_text() == "a\n"
    assert len(far.claims) == 1, "nothing was executed twice"


@pytest.mark.parametrize("inline", ["Mg==", "no base64"], ids=["other content", "no content"])
def test_a_damaged_record_is_not_taken_over(tmp_path: Path, inline: str) -> None:
    with Far(tmp_path) as far:
        far.inline = inline
        report = far.run()
    assert not report.well
    assert len(report.errors) == 1
    assert "its result is lost" in report.errors[0]
