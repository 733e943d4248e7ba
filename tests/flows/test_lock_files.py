"""Ranges of shared files: held by whoever has the open file, free when the last one is gone."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from flows.lock_files import LeaseError, LockFile, lease_folder, make_folder
from tests.flows.processes import wait_for


def test_a_range_belongs_to_one_open_file(tmp_path: Path) -> None:
    one, other = LockFile(tmp_path / "f"), LockFile(tmp_path / "f")
    assert one.lock(10, 20)
    assert not other.lock(15, 25)
    assert other.lock(20, 30)
    with LockFile(tmp_path / "f") as third:
        assert third.locked(0, 100) == [(10, 20), (20, 30)]
        assert third.locked(12, 22) == [(12, 20), (20, 22)]
    one.unlock(10, 20)
    assert other.locked(0, 100) == []
    one.close()
    other.close()


def test_who_inherits_the_open_file_holds_the_range_until_it_is_gone(tmp_path: Path) -> None:
    with LockFile(tmp_path / "f") as file:
        assert file.lock(0, 8)
        child = subprocess.Popen(["sleep", "100"], pass_fds=(file.descriptor,))
        stranger = subprocess.Popen(["sleep", "100"])
    with LockFile(tmp_path / "f") as file:
        assert file.locked(0, 8) == [(0, 8)]
        child.send_signal(signal.SIGKILL)
        assert wait_for(lambda: not file.locked(0, 8))
    child.wait()
    stranger.kill()
    stranger.wait()


@pytest.mark.slow
def test_a_moment_alone(tmp_path: Path) -> None:
    with LockFile(tmp_path / "f") as one, LockFile(tmp_path / "f") as other:
        with one.alone(0, 1) as alone:
            assert alone
            with other.alone(0, 1) as also:
                assert not also
        with other.alone(0, 1) as then:
            assert then


def test_notes_that_are_torn_or_foreign_are_passed_over(tmp_path: Path) -> None:
    with LockFile(tmp_path / "f") as file:
        assert file.notes() == []
        file.write_notes([{"a": 1}, {"b": "ü"}])
        assert file.notes() == [{"a": 1}, {"b": "ü"}]
        file.write_notes([{"c": 1}])
        assert file.notes() == [{"c": 1}]
        (tmp_path / "f").write_bytes(b'{"d": 1}\n[1]\n\xff\xfe{"e"\n{"g": 2}\n')
        assert file.notes() == [{"d": 1}, {"g": 2}]


def test_everybody_may_use_what_one_made_whatever_its_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        make_folder(tmp_path / "leases")
        LockFile(tmp_path / "leases" / "f").close()
    finally:
        os.umask(before)
    assert (tmp_path / "leases").stat().st_mode & 0o7777 == 0o1777
    assert (tmp_path / "leases" / "f").stat().st_mode & 0o777 == 0o666


def test_links_and_other_traps_are_refused(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / "link").symlink_to(victim)
    (tmp_path / "hard").hardlink_to(victim)
    os.mkfifo(tmp_path / "fifo")
    for name in ("link", "hard", "fifo"):
        with pytest.raises(LeaseError, match=f"^{tmp_path / name}: "):
            LockFile(tmp_path / name)
    (tmp_path / "folder").mkdir()
    (tmp_path / "leases").symlink_to(tmp_path / "folder")
    with pytest.raises(LeaseError, match="is no folder"):
        make_folder(tmp_path / "leases")
    with pytest.raises(LeaseError, match="No such file or directory"):
        make_folder(tmp_path / "none" / "leases")
    assert victim.read_text() == "mine"


def test_the_folder_is_the_same_for_all_and_can_be_set() -> None:
    assert lease_folder({"DARKROOM_LEASES": "/x/y"}) == Path("/x/y")
    folder = lease_folder({})
    assert folder.name == "darkroom"
    assert folder.parent.stat().st_mode & 0o1007 == 0o1007
