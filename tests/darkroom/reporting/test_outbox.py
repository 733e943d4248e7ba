"""The file of a run's letters, as its run and those who read it see it."""

from __future__ import annotations

import os
import resource
import signal
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darkroom.base.errors import RepoError
from darkroom.reporting.letters import (
    Became,
    Began,
    Closed,
    Drew,
    Letter,
    Opened,
    Published,
    RunState,
    Said,
    from_line,
    to_line,
)
from darkroom.reporting.outbox import (
    Outbox,
    first_letter,
    is_held,
    outbox_folder,
    read_letters,
    remove_outbox,
    waiting_outboxes,
)

TEXT = st.text(max_size=20)
TIMES = st.floats(0, 4e9)
STATES = st.builds(RunState, type=TEXT, message=TEXT, name=TEXT, due=st.none() | TIMES)
LETTERS = st.one_of(
    st.builds(Opened, at=TIMES, to=TEXT, name=TEXT),
    st.builds(
        Began,
        at=TIMES,
        run=TEXT,
        flow=TEXT,
        name=TEXT,
        project=TEXT,
        parameters=st.dictionaries(TEXT, st.lists(TEXT)),
        state=STATES,
        needs=st.lists(TEXT).map(tuple),
    ),
    st.builds(Became, at=TIMES, run=TEXT, state=STATES, id=TEXT),
    st.builds(Said, at=TIMES, run=TEXT, text=TEXT, level=st.integers(0, 50)),
    st.builds(Published, at=TIMES, run=TEXT, key=TEXT, kind=TEXT, data=TEXT, description=TEXT, id=TEXT),
    st.builds(Drew, at=TIMES, run=TEXT, text=TEXT),
    st.builds(Closed, at=TIMES),
)


@given(LETTERS)
def test_a_letter_is_one_line_and_read_as_it_was_written(letter: Letter) -> None:
    line = to_line(letter)
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert from_line(line) == letter


@given(LETTERS, st.data())
def test_a_line_that_is_cut_is_no_letter(letter: Letter, data: st.DataObject) -> None:
    line = to_line(letter)[:-1]
    assert from_line(line[: data.draw(st.integers(0, len(line) - 1))]) is None


@pytest.mark.parametrize(
    "line", [b"", b"1", b"[]", b'{"letter": "nonsense"}', b'{"letter": "said"}', b"\0\0"]
)
def test_what_is_no_letter_is_none(line: bytes) -> None:
    assert from_line(line) is None


def said(outbox: Outbox, text: str) -> None:
    outbox.put(Said(at=outbox.now(), run="r", text=text))


def texts(path: Path) -> list[str]:
    letters = [posted.letter for posted in read_letters(path, 0)]
    return [letter.text for letter in letters if isinstance(letter, Said)]


def test_an_outbox_is_held_by_its_run_and_read_by_others_until_it_is_removed(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, "http://a/api", "name")
    assert waiting_outboxes(tmp_path) == [outbox.path]
    assert first_letter(outbox.path) == Opened(
        at=pytest.approx(time.time(), abs=60), to="http://a/api", name="name"
    )
    said(outbox, "one")
    assert is_held(outbox.path)
    (opened, one) = read_letters(outbox.path, 0)
    said(outbox, "two")
    assert next(posted.letter for posted in read_letters(outbox.path, opened.end)) == one.letter
    assert texts(outbox.path) == ["one", "two"]
    outbox.end()
    assert isinstance(read_letters(outbox.path, 0)[-1].letter, Closed)
    assert not outbox.is_delivered()
    remove_outbox(outbox.path)
    assert outbox.is_delivered()
    outbox.close()
    assert list(outbox_folder(tmp_path).iterdir()) == []


def test_the_first_of_several_outboxes_is_delivered_first(tmp_path: Path) -> None:
    outboxes = []
    for _ in range(3):
        outboxes.append(Outbox(tmp_path, "", "name"))
        time.sleep(0.002)
    assert waiting_outboxes(tmp_path) == [outbox.path for outbox in outboxes]
    for outbox in outboxes:
        outbox.close()
        assert not is_held(outbox.path)


def test_times_never_go_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outbox = Outbox(tmp_path, "", "name")
    before = outbox.now()
    monkeypatch.setattr(time, "time_ns", lambda: 1_000_000_000)
    assert before < outbox.now() < outbox.now() < before + 1
    outbox.close()


def test_a_half_letter_is_not_read_until_it_is_whole(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, "", "name")
    line = to_line(Said(at=1.0, run="r", text="whole"))
    with outbox.path.open("ab") as file:
        file.write(line[:10])
        file.flush()
        assert texts(outbox.path) == []
        file.write(line[10:])
        file.flush()
        assert texts(outbox.path) == ["whole"]
    outbox.close()


def test_a_full_disk_leaves_whole_letters_and_takes_the_others_later(tmp_path: Path) -> None:
    """The limit on a file's size stands in for the disk: a write is taken in part, and then refused."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    outbox = Outbox(tmp_path, "", "name")
    try:
        said(outbox, "first")
        resource.setrlimit(resource.RLIMIT_FSIZE, (outbox.path.stat().st_size + 30, before[1]))
        said(outbox, "second")
        said(outbox, "third")
        assert outbox.unwritten() == 2
        assert "File too large" in outbox.problem
        assert texts(outbox.path) == ["first"]
        assert outbox.path.read_bytes().endswith(b"\n")
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        outbox.end()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
        outbox.close()
    assert texts(outbox.path) == ["first", "second", "third"]
    assert (outbox.unwritten(), outbox.problem) == (0, "")


def test_lines_without_room_are_counted_and_states_are_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("darkroom.reporting.outbox.LINES_BYTES", 500)
    outbox = Outbox(tmp_path, "", "name")
    for number in range(20):
        said(outbox, f"{number:0100}")
    outbox.put(Became(at=outbox.now(), run="r", state=RunState(type="COMPLETED")))
    outbox.end()
    outbox.close()
    letters = [posted.letter for posted in read_letters(outbox.path, 0)]
    assert outbox.lost_lines == 20 - len(texts(outbox.path)) > 10
    assert [type(letter) for letter in letters[-2:]] == [Became, Closed]


def test_where_none_can_be_made_that_is_said(tmp_path: Path) -> None:
    (tmp_path / ".darkroom").write_text("no folder")
    with pytest.raises(RepoError, match=r"\.darkroom"):
        Outbox(tmp_path, "", "name")


def test_no_other_user_reads_what_stages_print(tmp_path: Path) -> None:
    umask = os.umask(0)
    try:
        outbox = Outbox(tmp_path, "", "name")
    finally:
        os.umask(umask)
    assert outbox.path.stat().st_mode & 0o777 == 0o600
    assert outbox.path.parent.stat().st_mode & 0o777 == 0o700
    outbox.close()
