"""The shared folder: one claim, one record, and nothing of an attempt that was given up."""

from __future__ import annotations

import json
import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from darkroom.exchange.board import Board, Wishes
from darkroom.exchange.orders import Order, Record, new_token
from darkroom.exchange.storages import FolderStorage
from darkroom.processes.stage_process import Ending, StageResult
from darkroom.repository.blobs import Blob

TOKEN = "0123456789abcdef" * 2
ORDER = Order(
    token=TOKEN,
    stage="train@a/b",
    attempt=1,
    revision="abc",
    code="/code.git",
    folder=".",
    cwd="sub",
    commands=(("/bin/sh", "-c", "echo ü"),),
    env={"DVC_STAGE": "train@a/b"},
    deps={"data": Blob("d41d.dir", 3), "run.sh": Blob("e9", 1, executable=True)},
    outs=("model",),
    timeout=7.5,
)
RECORD = Record(
    token=TOKEN,
    host="n1",
    result=StageResult(ending=Ending.OK, seconds=1.5, last_lines=("a", "b")),
    outs={"model": Blob("aa", 2)},
)


@pytest.fixture
def board(tmp_path: Path) -> Board:
    board = Board(FolderStorage(tmp_path))
    board.write(ORDER)
    return board


def test_an_order_and_a_record_are_read_as_they_were_written(board: Board) -> None:
    assert board.order(TOKEN) == ORDER
    assert board.claim(TOKEN, "n1")
    board.beat(TOKEN, 7)
    assert board.hand_in(RECORD)
    seen = board.look(TOKEN)
    assert (seen.host, seen.beat, seen.record) == ("n1", "7", RECORD)


def test_an_order_of_another_version_is_refused_in_words(board: Board, tmp_path: Path) -> None:
    path = tmp_path / "attempts" / TOKEN / "order.json"
    path.write_text(path.read_text().replace('"version": 1', '"version": 99'))
    with pytest.raises(ValueError, match="another version of darkroom"):
        board.order(TOKEN)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"deps": []}, "no order: deps: "),
        ({"cwd": 5}, "no order: cwd: "),
        ({"resources": {"memory": "much"}}, "no order: resources.memory: "),
        ({"deps": {"a": {"md5": "aa/etc/passwd", "size": 1}}}, "no order: deps.a: .* is no hash"),
        ({"token": "../../home"}, "no order: it is one of another attempt"),
    ],
    ids=["list", "number", "word", "path", "token"],
)
def test_an_order_with_wrong_values_is_refused_in_words(
    board: Board, tmp_path: Path, change: dict[str, object], said: str
) -> None:
    path = tmp_path / "attempts" / TOKEN / "order.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ValueError, match=said):
        board.order(TOKEN)


@pytest.mark.parametrize("text", ["[]", '{"a": 1}', '{"a": {"md5": "../a", "size": 1}}', "{"])
def test_notes_of_checkpoints_that_are_none_are_refused(board: Board, tmp_path: Path, text: str) -> None:
    (tmp_path / "attempts" / TOKEN / "checkpoints.json").write_text(text)
    with pytest.raises(ValueError, match=r"."):
        board.checkpoints(TOKEN)


def test_a_link_in_the_folder_is_replaced_and_not_followed(board: Board, tmp_path: Path) -> None:
    own = tmp_path / "own.txt"
    own.write_text("mine\n")
    for name in ("revoked", "claim"):
        (tmp_path / "attempts" / TOKEN / name).symlink_to(own)
    board.revoke(TOKEN)
    assert not board.claim(TOKEN, "n1")
    assert own.read_text() == "mine\n"
    assert not (tmp_path / "attempts" / TOKEN / "revoked").is_symlink()


def test_one_of_many_claims(board: Board) -> None:
    with ThreadPoolExecutor(8) as threads:
        claims = list(threads.map(lambda number: board.claim(TOKEN, f"n{number}"), range(32)))
    assert claims.count(True) == 1


def test_one_of_many_records(board: Board, tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        records = [replace(RECORD, host=f"n{number}") for number in range(32)]
        assert list(threads.map(board.hand_in, records)).count(True) == 1
    assert sorted(path.name for path in (tmp_path / "attempts" / TOKEN).iterdir()) == [
        "order.json",
        "record.json",
    ]


@pytest.mark.parametrize("end", [Board.revoke, Board.remove], ids=["revoked", "removed"])
def test_a_host_that_returns_late_is_refused(board: Board, end: object) -> None:
    assert board.claim(TOKEN, "n1")
    end(board, TOKEN)  # type: ignore[operator]
    board.beat(TOKEN, 8)
    board.ask_to_stop(TOKEN)
    assert not board.is_current(TOKEN)
    assert not board.claim(TOKEN, "n2")
    assert not board.hand_in(RECORD)


def test_a_record_of_another_attempt_is_none(board: Board, tmp_path: Path) -> None:
    path = tmp_path / "attempts" / TOKEN / "record.json"
    path.write_text(replace(RECORD, token="f" * 32).to_json())
    assert board.look(TOKEN).record is None
    path.write_text("{")
    assert board.look(TOKEN).record is None


def test_offers_are_of_one_pool(board: Board) -> None:
    for _ in range(2):
        board.offer("gpu", TOKEN)
    assert (board.offered("gpu"), board.offered("cpu")) == ([TOKEN], [])
    board.withdraw("gpu", TOKEN)
    board.withdraw("gpu", TOKEN)
    assert board.offered("gpu") == []


def test_of_a_run_the_most_urgent_comes_first_and_runs_take_turns(board: Board) -> None:
    much = [new_token(rank, "aaaaaa") for rank in range(20)]
    little = [new_token(rank, "bbbbbb") for rank in (3, 70)]
    for token in [*reversed(much), *little]:
        board.offer("gpu", token)
    orders = [board.offered("gpu", random.Random(seed)) for seed in range(20)]
    for order in orders:
        assert sorted(order) == sorted(much + little)
        assert [token for token in order if token in much] == much
        assert [token for token in order if token in little] == little
        assert {order[0], order[1]} == {much[0], little[0]}
        assert {order[2], order[3]} == {much[1], little[1]}
    assert {order[0] for order in orders} == {much[0], little[0]}


def test_requests_to_stop(board: Board) -> None:
    assert board.wishes(TOKEN) == Wishes(stop=False, stop_now=False, current=True)
    board.ask_to_stop(TOKEN)
    assert board.wishes(TOKEN) == Wishes(stop=True, stop_now=False, current=True)
    board.ask_to_stop(TOKEN, now=True)
    assert board.wishes(TOKEN) == Wishes(stop=True, stop_now=True, current=True)


def test_what_is_under_way(board: Board) -> None:
    board.claim(TOKEN, "n1")
    assert [(order.stage, seen.host) for order, seen in board.under_way()] == [("train@a/b", "n1")]
    board.revoke(TOKEN)
    assert list(board.under_way()) == []
