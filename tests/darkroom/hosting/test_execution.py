"""One attempt on its host: what it hands in, and what it leaves behind."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from darkroom.exchange.board import Board
from darkroom.exchange.code import push_commit
from darkroom.exchange.orders import Order, Record
from darkroom.exchange.storages import FolderStorage
from darkroom.hosting import execution
from darkroom.hosting.execution import execute_claimed
from darkroom.hosting.place import HostPlace
from darkroom.processes.stage_process import Ending
from darkroom.repository.blobs import Blob, BlobStore
from darkroom.repository.filesystems import StorageError
from tests.darkroom.repositories import make
from tests.darkroom.shapes import Shape

TOKEN = "0123456789abcdef" * 2


class Host:
    """A host and the board, without a run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.board = Board(FolderStorage(folder / "storage"))
        self.place = HostPlace(folder / "host", self.board.storage)
        self.said: list[str] = []
        root = make(folder / "repo", Shape("one", {"dvc.yaml": "stages: {}\n"}), folder)
        self.code = str(folder / "code.git")
        self.commit, _ = push_commit(root, self.code)

    def record(self, command: str, deps: Mapping[str, Blob] | None = None, **more: Any) -> Record:
        """What the host hands in of a stage with this command."""
        order = Order(
            token=TOKEN,
            stage="made",
            attempt=1,
            revision=self.commit,
            code=self.code,
            folder=".",
            cwd=".",
            commands=(("/bin/sh", "-c", command),),
            env={},
            deps=deps or {},
            **more,
        )
        self.board.write(order)
        assert self.board.claim(TOKEN, "n1")
        assert execute_claimed(self.place, order, {}, (), threading.Event(), self.said.append)
        assert not list(self.place.attempts.glob(f"{TOKEN}*"))
        record = self.board.look(TOKEN).record
        assert record is not None
        return record


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


# The stage replaces its checkpoint until the host has stored one, and notes which names it has seen.
KEEPS = """\
mkdir out
until [ -e {stored} ]; do
  head -c 1000000 /dev/urandom > new; mv new out/model.ckpt
  ls -A out >> {seen}
done
"""


def test_a_checkpoint_is_stored_and_its_folder_stays_the_stages_own(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execution, "CHECKPOINT_SECONDS", 0.001)
    stored, seen = host.board.storage, host.folder / "seen"
    assert isinstance(stored, FolderStorage)
    at = stored.folder / "attempts" / TOKEN / "checkpoints.json"
    command = KEEPS.format(stored=at, seen=seen)
    record = host.record(command, outs=("out",), checkpoints=("out/model.ckpt",))
    assert record.result.well, record.result
    assert set(seen.read_text().split()) == {"model.ckpt"}
    stored.blobs().place(record.outs["out"], host.folder / "copy")
    assert [path.name for path in (host.folder / "copy").iterdir()] == ["model.ckpt"]


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("mkdir out; mkfifo out/pipe", "out/pipe: a named pipe, which DVC cannot keep"),
        ("mkdir out; ln -s nowhere out/link", "out/link: No such file or directory"),
    ],
    ids=["pipe", "link"],
)
def test_what_cannot_be_stored_ends_the_stage_in_one_line(host: Host, command: str, said: str) -> None:
    record = host.record(command, outs=("out",))
    assert record.result.ending is Ending.FAILED
    assert said in record.result.error


def test_a_storage_that_is_away_while_deps_are_fetched_is_waited_for(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    (host.folder / "data").write_text("data\n")
    blob, place, away = host.place.blobs.put(host.folder / "data"), BlobStore.place, [True]

    def sometimes(self: BlobStore, *words: Any) -> int:
        if away:
            away.pop()
            raise StorageError("no answer")
        return place(self, *words)

    monkeypatch.setattr(BlobStore, "place", sometimes)
    record = host.record("cp data out", {"data": blob}, outs=("out",))
    assert record.result.well, record.result
    assert host.said == ["made: data: no answer: tried again in 1 s"]


def test_what_a_killed_process_has_left_is_removed_and_nothing_else(host: Host) -> None:
    dead, alive = "a" * 32, "b" * 32
    for token in (dead, alive):
        (host.place.attempts / token / "checkout").mkdir(parents=True)
        (host.place.attempts / f"{token}.log").touch()
    with host.place.held(alive):
        host.place.remove_left()
        names = {path.name for path in host.place.attempts.iterdir()}
        assert names == {".lock", alive, f"{alive}.log", f"{alive}.lock"}
    assert [path.name for path in host.place.attempts.iterdir()] == [".lock"]
