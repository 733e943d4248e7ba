"""An attempt as its run sees it: what ends it, what does not, and what a restarted run takes over."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from darkroom.base.errors import RepoError
from darkroom.exchange.board import Board, Seen
from darkroom.exchange.orders import Order, Record
from darkroom.exchange.storages import FolderStorage
from darkroom.processes.stage_process import Ending, StageResult
from darkroom.remote.attempt import GONE_LOOKS, STOP_SECONDS, Carried, Notes, Offers, RemoteAttempt
from darkroom.remote.watch import LONGEST_STEP_SECONDS, Watch
from darkroom.repository.blobs import Blob
from tests.darkroom.exchange.test_board import ORDER, RECORD, TOKEN

LOST = 60.0


class Carrier:
    def __init__(self) -> None:
        self.submitted: list[str] = []
        self.cancelled: list[str] = []
        self.lost_answers = 0
        self.state_is = Carried.NO_NEWS

    def submit(self, order: Order) -> None:
        self.submitted.append(order.token)
        if self.lost_answers:
            self.lost_answers -= 1
            raise OSError("no answer")

    def state(self, token: str) -> Carried:  # noqa: ARG002
        return self.state_is

    def cancel(self, token: str) -> None:
        self.cancelled.append(token)


class Run:
    """One run's attempt, and the board that it shares with hosts."""

    def __init__(self, folder: Path, order: Order = ORDER) -> None:
        self.board, self.carrier = Board(FolderStorage(folder / "storage")), Carrier()
        self.notes = Notes(folder / "notes")
        self.attempt = RemoteAttempt(order, self.board, self.carrier, self.notes, LOST)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    run = Run(tmp_path)
    assert run.attempt.step(0.0) is None
    return run


def test_a_record_ends_it_whatever_the_carrier_says(run: Run) -> None:
    run.board.claim(TOKEN, "n1")
    run.carrier.state_is = Carried.GONE
    run.board.hand_in(RECORD)
    assert run.attempt.step(1.0) == RECORD
    run.attempt.close()
    assert run.notes.read(ORDER.stage) is None
    assert not run.board.is_current(TOKEN)


def test_silence_of_its_host_ends_it(run: Run) -> None:
    run.board.claim(TOKEN, "n1")
    now = 0.0
    while (ended := run.attempt.step(now)) is None:
        now += 1.0
    assert isinstance(ended, StageResult)
    assert (ended.ending, ended.describe()) == (Ending.LOST, "host n1 was lost")
    assert LOST <= now <= LOST + 2
    assert not run.board.hand_in(RECORD), "a late record is refused"


def test_nobody_who_has_not_begun_is_lost(run: Run) -> None:
    assert all(run.attempt.step(float(now)) is None for now in range(1000))


def test_no_answer_is_no_news() -> None:
    watch, seen = Watch(LOST), Seen("n1", "1", None)
    watch.looked(seen, 0.0)
    assert not any(watch.looked(None, float(now)) for now in range(1, 1000))
    assert not watch.looked(seen, 1000.0)
    assert watch.silence <= 1.0
    watch.looked(seen, 9000.0)  # this host has slept
    assert watch.silence <= 1.0 + LONGEST_STEP_SECONDS
    watch.looked(replace(seen, beat="2"), 9001.0)
    assert watch.silence == 0


def test_a_storage_that_is_away_ends_nothing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run.board.claim(TOKEN, "n1")

    def away(self: Board, token: str) -> Seen:
        raise OSError("away")

    with monkeypatch.context() as patch:
        patch.setattr(Board, "look", away)
        assert all(run.attempt.step(float(now)) is None for now in range(1, 1000))
    run.board.hand_in(RECORD)
    assert run.attempt.step(1001.0) == RECORD


def test_a_job_that_is_gone_is_lost_after_some_looks(run: Run) -> None:
    run.carrier.state_is = Carried.GONE
    ended = [run.attempt.step(1.0 + look) for look in range(GONE_LOOKS)]
    assert ended[:-1] == [None] * (GONE_LOOKS - 1)
    assert isinstance(ended[-1], StageResult)
    assert ended[-1].ending is Ending.LOST


def test_no_news_between_the_looks_neither_counts_nor_clears_the_job(run: Run) -> None:
    states = [Carried.GONE, Carried.NO_NEWS] * GONE_LOOKS
    for now, run.carrier.state_is in enumerate(states[: 2 * GONE_LOOKS - 2]):
        assert run.attempt.step(float(now)) is None
    run.carrier.state_is = Carried.GONE
    ended = run.attempt.step(9.0)
    assert isinstance(ended, StageResult)
    assert ended.ending is Ending.LOST


def test_a_submit_whose_answer_was_lost_is_asked_again_with_the_same_token(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.carrier.lost_answers = 2
    for now in range(4):
        assert run.attempt.step(float(now)) is None
    assert run.carrier.submitted == [TOKEN] * 3


def test_a_stop_is_asked_for_and_its_record_waited_for(run: Run) -> None:
    run.board.claim(TOKEN, "n1")
    assert run.attempt.step(1.0, stop=True) is None
    assert run.board.wishes(TOKEN).stop
    stopped = replace(RECORD, result=StageResult(ending=Ending.STOPPED))
    run.board.hand_in(stopped)
    assert run.attempt.step(2.0, stop=True) == stopped


def test_a_host_that_does_not_answer_holds_up_no_end(run: Run) -> None:
    run.board.claim(TOKEN, "n1")
    assert run.attempt.step(1.0, stop=True) is None
    ended = run.attempt.step(1.0 + STOP_SECONDS, stop=True)
    assert isinstance(ended, StageResult)
    assert ended.ending is Ending.STOPPED
    assert not run.board.hand_in(RECORD)


def test_what_nobody_has_taken_is_withdrawn_at_once(run: Run) -> None:
    ended = run.attempt.step(1.0, stop=True)
    assert isinstance(ended, StageResult)
    assert ended.ending is Ending.STOPPED
    assert not run.board.claim(TOKEN, "n1")


OTHER = "f" * 32


@pytest.mark.parametrize("ended", [None, RECORD], ids=["runs", "has ended"])
def test_a_restarted_run_takes_the_same_work_over(run: Run, tmp_path: Path, ended: Record | None) -> None:
    run.board.claim(TOKEN, "n1")
    if ended:
        run.board.hand_in(ended)
    again = Run(tmp_path, replace(ORDER, token=OTHER, attempt=3))
    assert again.attempt.step(0.0) == ended
    assert again.attempt.order.token == TOKEN
    assert again.carrier.submitted == []


@pytest.mark.parametrize(
    "order",
    [
        replace(ORDER, token=OTHER, deps={"data": Blob("other.dir", 3)}),
        replace(ORDER, token=OTHER, revision="other"),
    ],
    ids=["other data", "another commit"],
)
def test_a_restarted_run_revokes_other_work(run: Run, tmp_path: Path, order: Order) -> None:
    run.board.claim(TOKEN, "n1")
    again = Run(tmp_path, order)
    assert again.attempt.step(0.0) is None
    assert (again.carrier.cancelled, again.carrier.submitted) == ([TOKEN], [OTHER])
    assert not again.board.hand_in(RECORD)


def test_a_write_whose_answer_was_lost_revokes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, write = Run(tmp_path), Board.write

    def unanswered(self: Board, order: Order) -> None:
        write(self, order)
        raise OSError("no answer")

    def away(self: Board, token: str) -> None:
        raise OSError("no answer")

    with monkeypatch.context() as patch:
        patch.setattr(Board, "write", unanswered)
        patch.setattr(Board, "remove", away)
        assert run.attempt.step(0.0) is None
        patch.setattr(Board, "write", write)
        assert run.attempt.step(1.0) is None
    assert run.board.claim(TOKEN, "n1"), "hosts still see that it is asked for"


def test_an_attempt_that_cannot_be_noted_is_said_and_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "notes").touch()
    with pytest.raises(RepoError, match="notes: File exists"):
        Run(tmp_path).attempt.step(0.0)


def test_a_failure_is_not_taken_over(run: Run, tmp_path: Path) -> None:
    run.board.claim(TOKEN, "n1")
    run.board.hand_in(replace(RECORD, result=StageResult(ending=Ending.FAILED, code=1)))
    again = Run(tmp_path, replace(ORDER, token=OTHER))
    assert again.attempt.step(0.0) is None
    assert again.carrier.submitted == [OTHER]


def test_workers_are_offered_it_until_it_is_done(tmp_path: Path) -> None:
    board = Board(FolderStorage(tmp_path))
    attempt = RemoteAttempt(ORDER, board, Offers(board, "gpu"), Notes(tmp_path / "notes"), LOST)
    assert attempt.step(0.0) is None
    assert board.offered("gpu") == [TOKEN]
    attempt.close()
    assert board.offered("gpu") == []
