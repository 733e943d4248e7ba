"""The note of finished outs that are not recorded yet."""

from __future__ import annotations

from pathlib import Path

import pytest

from darkroom.ledger.unkept import RESERVED_BYTES, Unkept

FACTS = {"cmd": "make", "deps": {"a": "1"}, "outs": {"b": "2"}}


def test_what_a_command_made_is_noted_until_it_is_recorded(tmp_path: Path) -> None:
    unkept = Unkept(tmp_path)
    assert unkept.find("one") is None
    assert unkept.note("one", FACTS)
    assert unkept.note("two", {"cmd": "other"})
    assert unkept.note("two", {"cmd": "again"})
    later = Unkept(tmp_path)
    assert later.find("one") == FACTS
    assert later.find("two") == {"cmd": "again"}
    later.forget(["one", "three"])
    assert (unkept.find("one"), unkept.find("two")) == (None, {"cmd": "again"})
    later.forget(["two"])
    assert list(tmp_path.iterdir()) == []
    later.forget(["two"])


def test_forgetting_what_is_not_noted_writes_nothing(tmp_path: Path) -> None:
    unkept = Unkept(tmp_path)
    unkept.note("one", FACTS)
    before = (tmp_path / "unkept.json").stat()
    unkept.forget(["two"])
    after = (tmp_path / "unkept.json").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'"one"', b"\xff"])
def test_a_torn_note_is_none_and_the_next_one_takes_its_place(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "unkept.json").write_bytes(content)
    unkept = Unkept(tmp_path)
    assert unkept.find("one") is None
    assert unkept.note("one", FACTS)
    assert unkept.find("one") == FACTS


def test_bytes_are_held_until_they_are_let_go(tmp_path: Path) -> None:
    unkept, other = Unkept(tmp_path), Unkept(tmp_path)
    unkept.reserve()
    held = tmp_path / "reserve"
    assert held.stat().st_size == RESERVED_BYTES
    assert held.stat().st_blocks * 512 >= RESERVED_BYTES  # of the disk, not of an empty file's name
    before = held.stat().st_mtime_ns
    other.reserve()
    assert held.stat().st_mtime_ns == before
    unkept.close()
    other.close()
    assert list(tmp_path.iterdir()) == []


def test_where_nothing_can_be_written_nothing_is_noted(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    unkept = Unkept(tmp_path / "file")
    unkept.reserve()
    assert not unkept.note("one", FACTS)
    assert unkept.find("one") is None
    unkept.forget(["one"])
    unkept.close()


def test_a_note_that_has_no_room_gets_that_of_the_held_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is full as long as the bytes are held."""
    unkept = Unkept(tmp_path)
    unkept.reserve()
    written = Path.write_bytes

    def full(path: Path, *words: bytes) -> int:
        if (tmp_path / "reserve").exists():
            raise OSError(28, "No space left on device")
        return written(path, *words)

    monkeypatch.setattr("darkroom.ledger.unkept.write_text", lambda path, text: full(path, text.encode()))
    assert unkept.note("one", FACTS)
    assert unkept.find("one") == FACTS
    assert not (tmp_path / "reserve").exists()
