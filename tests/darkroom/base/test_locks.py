"""Ranges of files: held by whoever has the open file, free when the last one is gone."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from darkroom.base.locks import FOR_EVER, LockFile, LockFileError, first_held, lock_range, unlock_range
from tests.darkroom.waiting import wait_for


def test_a_range_belongs_to_one_open_file(tmp_path: Path) -> None:
    one, other = LockFile(tmp_path / "f"), LockFile(tmp_path / "f")
    assert one.lock(10, 20)
    assert not other.lock(15, 25)
    assert other.lock(20, 30)
    assert [other.locked(*part) for part in ((0, 10), (0, 11), (19, 20), (20, 30))] == [
        False,
        True,
        True,
        False,
    ]
    with LockFile(tmp_path / "f") as third:
        assert first_held(third.descriptor, 0, 100) == (10, 20)
        assert first_held(third.descriptor, 25, 26) == (20, 30)
        assert first_held(third.descriptor, 30, 100) is None
        unlock_range(one.descriptor, 12, FOR_EVER)
        assert first_held(third.descriptor, 0, 100) == (10, 12)
        assert third.lock(40, FOR_EVER)
        assert first_held(other.descriptor, 50, 51) == (40, FOR_EVER)
    one.close()
    other.close()


def test_who_may_only_read_a_file_sees_who_holds_it_and_holds_none_of_it(
    tmp_path: Path,
) -> None:
    with LockFile(tmp_path / "f") as file:
        reader = os.open(tmp_path / "f", os.O_RDONLY)
        with pytest.raises(OSError, match="Bad file descriptor"):
            lock_range(reader, 0, 1)
        assert first_held(reader, 0, 1) is None
        assert file.lock(0, 7)
        assert first_held(reader, 0, 1) == (0, 7)
        os.close(reader)


def test_who_inherits_the_open_file_holds_the_range_until_it_is_gone(tmp_path: Path) -> None:
    with LockFile(tmp_path / "f") as file:
        assert file.lock(0, 8)
        child = subprocess.Popen(["sleep", "100"], pass_fds=(file.descriptor,))
        stranger = subprocess.Popen(["sleep", "100"])
    with LockFile(tmp_path / "f") as file:
        assert file.locked(0, 8)
        child.send_signal(signal.SIGKILL)
        assert wait_for(lambda: not file.locked(0, 8))
    child.wait()
    stranger.kill()
    stranger.wait()


def test_notes_that_are_torn_or_foreign_are_passed_over(tmp_path: Path) -> None:
    with LockFile(tmp_path / "f") as file:
        assert file.notes() == []
        file.write_notes([{"a": 1}, {"b": "ü"}])
        assert file.notes() == [{"a": 1}, {"b": "ü"}]
        file.write_notes([{"c": 1}])
        assert file.notes() == [{"c": 1}]
        (tmp_path / "f").write_bytes(b'{"d": 1}\n[1]\n\xff\xfe{"e"\n{"g": 2}\n' + b'{"h":' * 9000)
        assert file.notes() == [{"d": 1}, {"g": 2}]


def test_links_and_other_traps_are_refused_and_left_as_they_are(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / "link").symlink_to(victim)
    (tmp_path / "hard").hardlink_to(victim)
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "folder").mkdir()
    for name, why in (
        ("link", "is no plain file of its own, as a lock must be; remove it"),
        ("hard", "is no plain file"),
        ("fifo", "is no plain file"),
        ("folder", "is no plain file"),
        ("none/f", "No such file"),
    ):
        with pytest.raises(LockFileError, match=f"^{tmp_path / name}: {why}") as caught:
            LockFile(tmp_path / name)
        assert "GPU" not in str(caught.value)  # locks of clones and of services are no leases
    assert victim.read_text() == "mine"
