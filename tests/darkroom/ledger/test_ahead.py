"""The journal of stages that ended before their turn, which all runs of a repository share."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest

from darkroom.ledger.ahead import Ahead, Item

ONE, TWO = Item("dvc.lock", "größe@1", "  größe@1:\n    cmd: x\n"), Item("sub/dvc.lock", "b", "  b:\n")


def journal(tmp_path: Path) -> Path:
    return tmp_path / "ahead.jsonl"


def test_what_is_put_down_is_there_for_other_runs_once_it_is_written(tmp_path: Path) -> None:
    mine, theirs = Ahead(journal(tmp_path)), Ahead(journal(tmp_path))
    mine.put("größe@1", ONE)
    assert list(mine) == [("größe@1", ONE)]
    assert not theirs.refresh()
    mine.flush()
    assert theirs.refresh()
    assert not theirs.refresh()
    assert list(theirs) == [("größe@1", ONE)]
    theirs.put("b", TWO)
    theirs.flush()
    assert mine.refresh()
    assert list(mine) == [("größe@1", ONE), ("b", TWO)] == list(Ahead(journal(tmp_path)))


def test_what_stands_in_its_dvc_lock_waits_no_more_and_an_empty_journal_is_removed(tmp_path: Path) -> None:
    mine, theirs = Ahead(journal(tmp_path)), Ahead(journal(tmp_path))
    for stage, item in (("a", ONE), ("b", TWO)):
        mine.put(stage, item)
    mine.flush()
    mine.drop("a")
    mine.drop("c")  # which never waited
    mine.flush()
    theirs.refresh()
    assert list(theirs) == list(mine) == [("b", TWO)]
    mine.drop("b")
    mine.flush()
    assert not journal(tmp_path).exists()
    assert theirs.refresh()
    assert list(theirs) == []
    mine.flush()  # none is there to be removed


def test_each_change_is_a_line_in_plain_letters_and_costs_the_same(tmp_path: Path) -> None:
    mine = Ahead(journal(tmp_path))
    mine.put("a", ONE)
    mine.flush()
    mine.put("a", ONE)  # nothing new
    mine.put("b", TWO)
    mine.flush()
    mine.flush()
    mine.drop("a")
    mine.flush()
    lines = [["a", *ONE], ["b", *TWO], ["a"]]
    expected = "".join(f"\n{json.dumps(line, ensure_ascii=False)}" for line in lines)
    assert journal(tmp_path).read_text(encoding="utf-8") == expected
    assert "größe" in expected


def test_a_stage_that_ended_again_waits_with_its_last_entry(tmp_path: Path) -> None:
    mine = Ahead(journal(tmp_path))
    mine.put("a", ONE)
    mine.put("a", TWO)
    mine.flush()
    assert list(Ahead(journal(tmp_path))) == [("a", TWO)]


def test_torn_and_foreign_lines_spoil_no_other(tmp_path: Path) -> None:
    good = json.dumps(["a", *ONE]).encode()
    lines = [b'["a", "dvc.lo', good, b"\xff\xfe", b"7", b"{}", b'["b", "only two"]', b"[]"]
    journal(tmp_path).write_bytes(b"\n" + b"\n".join(lines))
    mine = Ahead(journal(tmp_path))
    assert list(mine) == [("a", ONE)]
    mine.put("b", TWO)
    mine.flush()
    assert list(Ahead(journal(tmp_path))) == [("a", ONE), ("b", TWO)]


def test_a_run_that_begins_writes_the_whole_journal_anew(tmp_path: Path) -> None:
    """So what others have dropped, or torn, takes no room for ever."""
    journal(tmp_path).write_bytes(b"\ntorn\n" + json.dumps(["a", *ONE]).encode())
    mine = Ahead(journal(tmp_path))
    mine.flush()
    assert b"torn" in journal(tmp_path).read_bytes()  # nothing to write
    mine.put("b", TWO)
    mine.flush()
    assert len(journal(tmp_path).read_bytes().split(b"\n")) == 3
    assert b"torn" not in journal(tmp_path).read_bytes()


def test_a_journal_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    mine = Ahead(journal(tmp_path))
    mine.put("a", ONE)
    mine.flush()
    journal(tmp_path).unlink()
    journal(tmp_path).mkdir()
    mine.put("b", TWO)
    with pytest.raises(OSError, match="Is a directory") as raised:
        mine.flush()
    assert (raised.value.errno, raised.value.filename) == (errno.EISDIR, str(journal(tmp_path)))
