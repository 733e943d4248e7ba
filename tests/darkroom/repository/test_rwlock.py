"""DVC's rwlock: who blocks whom, and that nothing stale or torn blocks anybody."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from dvc.rwlock import SCHEMA

from darkroom.repository.rwlock import PathsInUse
from darkroom.schedule.scheduler import Busy
from tests.darkroom.waiting import wait_for

ME = {"pid": os.getpid(), "cmd": " ".join(sys.argv)}


@pytest.fixture
def in_use(tmp_path: Path) -> PathsInUse:
    return PathsInUse(tmp_path / "rwlock", contextlib.nullcontext)


def held(tmp_path: Path) -> Any:
    return json.loads((tmp_path / "rwlock").read_text())


def write(tmp_path: Path, pid: int, mode: str = "write", path: str = "/r/out") -> None:
    who = {"pid": pid, "cmd": "dvc repro"}
    (tmp_path / "rwlock").write_text(json.dumps({mode: {path: who if mode == "write" else [who]}}))


def test_entries_are_as_dvc_writes_them_and_go_with_the_last_user(tmp_path: Path, in_use: PathsInUse) -> None:
    in_use.take(["/r/in"], ["/r/a"])
    in_use.take(["/r/in"], ["/r/b"])
    assert held(tmp_path) == {"read": {"/r/in": [ME]}, "write": {"/r/a": ME, "/r/b": ME}}
    assert SCHEMA(held(tmp_path)) == held(tmp_path)
    in_use.give(["/r/in"], ["/r/a"])
    in_use.flush()
    assert held(tmp_path) == {"read": {"/r/in": [ME]}, "write": {"/r/b": ME}}
    in_use.give_all()
    assert held(tmp_path) == {}


@pytest.mark.parametrize(
    ("mode", "read", "write_", "blocked"),
    [
        ("write", ["/r/out"], [], True),
        ("write", [], ["/r/out"], True),
        ("write", ["/r"], [], True),
        ("write", [], ["/r/out/deep"], True),
        ("write", ["/r/outer"], ["/r/other"], False),
        ("read", ["/r/out"], [], False),
        ("read", [], ["/r/out"], True),
    ],
)
def test_a_living_process_blocks_what_overlaps(
    tmp_path: Path, in_use: PathsInUse, mode: str, read: list[str], write_: list[str], blocked: bool
) -> None:
    with subprocess.Popen(["sleep", "100"]) as other:
        write(tmp_path, other.pid, mode)
        expectation = pytest.raises(Busy, match=f"/r/out is in use by pid {other.pid}")
        with expectation if blocked else contextlib.nullcontext():
            in_use.take(read, write_)
        other.kill()


def test_dead_processes_zombies_and_reused_pids_block_nobody(tmp_path: Path, in_use: PathsInUse) -> None:
    with subprocess.Popen(["sleep", "100"]) as other:
        write(tmp_path, other.pid)
        os.utime(tmp_path / "rwlock", (1, 1))  # written before that process was started
        in_use.heal()
        assert held(tmp_path) == {}
        write(tmp_path, other.pid)
        in_use.heal()
        assert held(tmp_path) != {}
        other.kill()
        assert wait_for(lambda: in_use.heal() or held(tmp_path) == {})  # a zombie until it is waited for
    write(tmp_path, other.pid)
    in_use.take([], ["/r/out"])
    assert held(tmp_path) == {"write": {"/r/out": ME}}


def test_a_file_that_dvc_has_left_empty_is_whole(tmp_path: Path, in_use: PathsInUse) -> None:
    left = json.dumps(SCHEMA({}))
    assert left != "{}"
    (tmp_path / "rwlock").write_text(left)
    assert not in_use.heal()
    assert (tmp_path / "rwlock").read_text() == left


@pytest.mark.parametrize("torn", ["", "{", '{"write": {"/r/out": {"pid": 1, "c', "[1]", '{"write": [1]}'])
def test_a_torn_file_is_healed_and_keeps_what_is_ours(tmp_path: Path, in_use: PathsInUse, torn: str) -> None:
    in_use.take([], ["/r/a"])
    (tmp_path / "rwlock").write_text(torn)
    in_use.heal()
    assert held(tmp_path) == {"write": {"/r/a": ME}}
    in_use.give([], ["/r/a"])
    in_use.flush()
    assert held(tmp_path) == {}
