"""What a board lies in: real S3, real sshd and a folder do the same, also where each fifth request fails."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from darkroom.base.errors import UsageError
from darkroom.exchange.board import PIECE_BYTES, Board
from darkroom.exchange.printed import PrintedReader, PrintedWriter
from darkroom.exchange.storages import FolderStorage, Storage, check_storage, open_storage
from darkroom.repository.blobs import BlobGoneError, BlobStore
from darkroom.repository.filesystems import StorageError
from tests.darkroom.exchange.servers import (
    BUCKET,
    BreakingProxy,
    Sshd,
    failing_proxy,
    s3_environment,
    s3_server,
    served,
    sshd,
    why_no_sshd,
)
from tests.darkroom.exchange.test_board import ORDER, RECORD, TOKEN
from tests.simulation.memory_storage import MemoryStorage

needs_sshd = pytest.mark.skipif(bool(why_no_sshd()), reason=str(why_no_sshd()))

KINDS = [
    "folder",
    "memory",
    "s3",
    "failing s3",
    pytest.param("ssh", marks=needs_sshd),
]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with s3_server(tmp_path_factory.mktemp("s3")) as port:
        yield port


@pytest.fixture(scope="module")
def ssh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with sshd(tmp_path_factory.mktemp("sshd")) as running:
        yield running


@pytest.fixture(params=KINDS)
def storage(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Storage]:
    match request.param:
        case "folder":
            yield FolderStorage(tmp_path / "storage")
        case "memory":
            yield MemoryStorage(tmp_path / "storage")
        case "ssh":
            running: Sshd = request.getfixturevalue("ssh")
            monkeypatch.setenv("HOME", str(running.home))
            yield open_storage(running.address(tmp_path / "storage"))
        case kind:
            port: int = request.getfixturevalue("s3")
            with failing_proxy(port, 5 if kind == "failing s3" else 1 << 30) as proxy:
                for name, value in s3_environment(proxy.port).items():
                    monkeypatch.setenv(name, value)
                yield open_storage(f"s3://{BUCKET}/{tmp_path.name}")


@pytest.fixture
def board(storage: Storage) -> Board:
    check_storage(storage)
    board = Board(storage)
    board.write(ORDER)
    return board


def test_one_of_many_claims(board: Board) -> None:
    with ThreadPoolExecutor(8) as threads:
        claims = list(threads.map(lambda number: board.claim(TOKEN, f"n{number}"), range(16)))
    assert claims.count(True) == 1
    assert board.look(TOKEN).host == f"n{claims.index(True)}"


def test_one_of_many_records(board: Board) -> None:
    records = [replace(RECORD, host=f"n{number}") for number in range(16)]
    with ThreadPoolExecutor(8) as threads:
        taken = list(threads.map(board.hand_in, records))
    assert taken.count(True) == 1
    assert board.look(TOKEN).record == records[taken.index(True)]


@pytest.mark.parametrize("end", [Board.revoke, Board.remove], ids=["revoked", "removed"])
def test_a_host_that_returns_late_is_refused(board: Board, end: object) -> None:
    assert board.claim(TOKEN, "n1")
    end(board, TOKEN)  # type: ignore[operator]
    board.beat(TOKEN, 8)
    assert not board.is_current(TOKEN)
    assert not board.claim(TOKEN, "n2")
    assert not board.hand_in(RECORD)
    assert list(board.under_way()) == []


def test_what_one_writes_the_other_sees_at_once(board: Board, storage: Storage) -> None:
    other = Board(storage)
    for number in range(3):
        board.beat(TOKEN, number)
        assert other.look(TOKEN).beat == str(number)
    for token in (TOKEN, "f" * 32):
        board.offer("gpu", token)
    assert set(other.offered("gpu")) == {TOKEN, "f" * 32}
    other.withdraw("gpu", TOKEN)
    other.withdraw("gpu", TOKEN)
    assert board.offered("gpu") == ["f" * 32]
    board.ask_to_stop(TOKEN)
    assert other.wishes(TOKEN).stop
    with pytest.raises(FileNotFoundError):
        other.look("e" * 32)


def test_what_a_stage_prints_comes_whole_and_in_order(board: Board, tmp_path: Path) -> None:
    file = tmp_path / "log"
    writer, reader = PrintedWriter(board, TOKEN, file), PrintedReader(board, TOKEN)
    whole, read = b"", b""
    for size in (0, 10, PIECE_BYTES - 10, 3 * PIECE_BYTES + 1, 1):
        whole += bytes(number % 251 for number in range(size))
        file.write_bytes(whole)
        writer.carry()
        read += b"".join(reader.new())
        assert read == whole
    writer.carry()
    assert list(reader.new()) == []


def test_data_comes_back_as_it_was(storage: Storage, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    (folder / "sub").mkdir(parents=True)
    for number in range(12):
        (folder / "sub" / f"{number} é.txt").write_text(f"content {number}")
    (folder / "run.sh").write_text("true\n")
    (folder / "run.sh").chmod(0o755)
    blobs = storage.blobs()
    blob = blobs.put(folder)
    assert blobs.written > blob.size, "the folder's listing is stored, too"
    again = storage.blobs()
    assert again.put(folder) == blob
    assert again.written == 0
    assert again.place(blob, tmp_path / "copy") == blob.size
    assert again.put(tmp_path / "copy") == blob
    names = sorted(path.relative_to(folder) for path in folder.rglob("*"))
    assert sorted(path.relative_to(tmp_path / "copy") for path in (tmp_path / "copy").rglob("*")) == names
    assert (tmp_path / "copy/run.sh").stat().st_mode == (folder / "run.sh").stat().st_mode
    single = again.put(folder / "run.sh")
    again.forget(single.md5)
    assert again.lacks(single.md5)
    with pytest.raises(BlobGoneError, match="not in the storage any more"):
        again.place(single, tmp_path / "gone")


def test_a_storage_that_does_not_answer_is_one_line(
    s3: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("darkroom.repository.filesystems.WAITS", (0.01, 0.01))
    with failing_proxy(s3, 1) as proxy:
        for name, value in s3_environment(proxy.port).items():
            monkeypatch.setenv(name, value)
        with pytest.raises(
            UsageError, match=r"storage: s3://data/x cannot be used: .*\(asked 3 times\)"
        ) as error:
            check_storage(open_storage("s3://data/x"))
    assert "\n" not in str(error.value)


MEGABYTE = 1 << 20


@needs_sshd
def test_a_connection_that_breaks_in_the_middle_is_made_anew(
    ssh: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(ssh.home))
    monkeypatch.setattr("darkroom.repository.filesystems.WAITS", (0.01,) * 4)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "large.bin").write_bytes(bytes(range(256)) * (MEGABYTE // 64))
    (tmp_path / "data" / "small.bin").write_bytes(b"small")
    with served(BreakingProxy(ssh.port, after=3 * MEGABYTE // 2, breaks=2)) as proxy:
        storage = open_storage(replace(ssh, port=proxy.port).address(tmp_path / "storage"))
        blob = storage.blobs().put(tmp_path / "data")
        storage.blobs().place(blob, tmp_path / "copy")
        assert proxy.broken >= 1, "each thread has a connection of its own, and a short one does not break"
    assert BlobStore.in_folder(tmp_path / "other").put(tmp_path / "copy") == blob


@needs_sshd
@pytest.mark.parametrize("silent", [False, True], ids=["cut", "silent"])
def test_connections_that_always_break_are_one_line(
    ssh: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, silent: bool
) -> None:
    monkeypatch.setenv("HOME", str(ssh.home))
    for name, value in {"WAITS": (0.01,), "ALIVE_SECONDS": 0.5, "ALIVE_TIMES": 2}.items():
        monkeypatch.setattr(f"darkroom.repository.filesystems.{name}", value)
    (tmp_path / "data.bin").write_bytes(bytes(MEGABYTE))
    with served(BreakingProxy(ssh.port, after=MEGABYTE // 2, breaks=1 << 30, silent=silent)) as proxy:
        address = replace(ssh, port=proxy.port).address(tmp_path / "storage")
        check_storage(open_storage(address))
        with pytest.raises(StorageError, match=r"^ssh://.*storage: .*\(asked 2 times\)$") as error:
            open_storage(address).blobs().put(tmp_path / "data.bin")
        assert proxy.broken >= 2
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("remote://none", "storage: remote://none: .*remote 'none' doesn't exist; see `dvc remote list`"),
        (
            "gs://bucket/x",
            "storage: gs://bucket/x: hosts cannot claim stages there; take one of a folder, s3://",
        ),
        ("s4://bucket", "storage: s4://bucket: "),
    ],
)
def test_an_address_that_is_wrong_is_one_line(address: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as error:
        open_storage(address)
    assert "\n" not in str(error.value)


def test_a_remote_of_dvc_is_known_by_its_name(s3: int, tmp_path: Path) -> None:
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").write_text(
        f"""['remote "far"']
    url = s3://{BUCKET}/named
    endpointurl = http://127.0.0.1:{s3}
    access_key_id = key
    secret_access_key = secret
    region = us-east-1
['remote "near"']
    url = ../near
"""
    )
    check_storage(open_storage("remote://far/below", tmp_path))
    near = open_storage("remote://near", tmp_path)
    assert isinstance(near, FolderStorage)
    assert near.folder == tmp_path / "near"


@pytest.mark.parametrize("scheme", ["gs", "azure"])
def test_a_remote_where_nobody_can_claim_is_refused_whatever_is_installed(
    tmp_path: Path, scheme: str
) -> None:
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").write_text(
        f"""['remote "base"']
    url = {scheme}://bucket/x
['remote "far"']
    url = remote://base/below
"""
    )
    for name in ("base", "far"):
        said = f"storage: remote://{name}: hosts cannot claim stages there; take one of a folder, s3://"
        with pytest.raises(UsageError, match=said):
            open_storage(f"remote://{name}", tmp_path)
