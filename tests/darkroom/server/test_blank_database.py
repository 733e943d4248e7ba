"""A new project's server starts on a copy of the database that an earlier first start has made."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from darkroom.server import blank_database
from tests.darkroom.server.processes.temporary import temporary_server
from tests.places import ROOT


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def make(database: Path) -> Path:
    with closing(sqlite3.connect(database)) as made, made:
        made.execute("create table run (name text)")
    return database


def tables(database: Path) -> set[str]:
    with closing(sqlite3.connect(database)) as held:
        return {name for (name,) in held.execute("select name from sqlite_master where type = 'table'")}


def test_what_was_kept_is_taken_where_nothing_is(tmp_path: Path) -> None:
    assert not blank_database.take(tmp_path / "new.db")  # nothing is kept yet
    assert not (tmp_path / "new.db").exists()
    blank_database.keep(make(tmp_path / "first.db"))
    assert blank_database.take(tmp_path / "new.db")
    assert tables(tmp_path / "new.db") == {"run"}
    (tmp_path / "own.db").write_bytes(b"the user's")
    assert not blank_database.take(tmp_path / "own.db")
    assert (tmp_path / "own.db").read_bytes() == b"the user's"
    assert not list(tmp_path.rglob("*.partial"))


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("no folder")
    blank_database.keep(make(tmp_path / "first.db"))
    assert not blank_database.take(tmp_path / "new.db")


@pytest.mark.slow
def test_what_a_first_server_has_made_is_whole_and_holds_no_run(tmp_path: Path) -> None:
    for name in ("first", "second"):
        with temporary_server(tmp_path / name):
            assert blank_database.kept_at().exists()
    made = tables(tmp_path / "first/prefect.db")
    assert {"flow_run", "log", "artifact"} < made
    assert tables(tmp_path / "second/prefect.db") == made
    with closing(sqlite3.connect(blank_database.kept_at())) as kept:
        filled = {name for name in made if kept.execute(f'select 1 from "{name}" limit 1').fetchall()}
    assert filled == {"alembic_version"}


ELSEWHERE = """\
import os, signal, sys
from pathlib import Path
from darkroom.server.serving import CONNECTION, listen_near, serve
from tests.darkroom.server.processes.temporary import temporary_server
folder, database = map(Path, sys.argv[1:])
folder.mkdir()
stop = lambda url: os.kill(os.getpid(), signal.SIGTERM)
serve(folder, listen_near(0), stop, {CONNECTION: f"sqlite+aiosqlite:///{database}"})
"""


@pytest.mark.slow
def test_a_server_whose_database_is_elsewhere_leaves_none_in_the_project(tmp_path: Path) -> None:
    blank_database.keep(make(tmp_path / "first.db"))
    folder, database = tmp_path / "folder", tmp_path / "elsewhere.db"
    command = [sys.executable, "-c", ELSEWHERE, str(folder), str(database)]
    subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    assert "flow_run" in tables(database)
    assert not (folder / "prefect.db").exists()
    assert tables(blank_database.kept_at()) == {"run"}
