"""A database of the project that is none, is damaged, or is in order and cannot be used."""

from __future__ import annotations

import os
import resource
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from darkroom.reporting.outbox import first_letter, outbox_folder, waiting_outboxes
from darkroom.server import blank_database
from darkroom.server import database as prefect_database
from darkroom.server.database import DatabaseError, prepare
from darkroom.server.places import server_folder
from tests.darkroom.repositories import make
from tests.darkroom.shapes import Shape
from tests.places import ROOT

KNOWN = "9725c1cbee35"
"""Prefect's first migration."""


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def database(tmp_path: Path) -> Path:
    folder = tmp_path / "prefect"
    folder.mkdir()
    return written(folder / "prefect.db")


def written(path: Path, revision: str = KNOWN) -> Path:
    with closing(sqlite3.connect(path)) as made, made:
        made.execute("create table alembic_version (version_num text)")
        made.execute("insert into alembic_version values (?)", [revision])
        made.execute("create table run (name text)")
        made.executemany("insert into run values (?)", [(f"{number} " * 400,) for number in range(200)])
    return path


def rows(path: Path) -> list[tuple[str]]:
    with closing(sqlite3.connect(path)) as held:
        return held.execute("select name from run").fetchall()


@contextmanager
def locked(path: Path) -> Iterator[None]:
    with closing(sqlite3.connect(path, isolation_level=None)) as held:
        held.execute("begin exclusive")
        yield


def with_a_log(path: Path) -> bytes:
    """Leave it as a killed server does, with what was written last in a file beside it; that."""
    beside = path.with_name(f"{path.name}-wal")
    with closing(sqlite3.connect(path)) as held:
        held.execute("pragma journal_mode = wal")
        with held:
            held.execute("insert into run values ('last')")
        log = beside.read_bytes()
        database = path.read_bytes()
    path.write_bytes(database)
    beside.write_bytes(log)
    return log


def cut(path: Path) -> None:
    os.truncate(path, 300)


def emptied(path: Path) -> None:
    os.truncate(path, 0)


def garbage(path: Path) -> None:
    path.write_bytes(b"no database at all" * 100)


def truncated(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def overwritten(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(8192)
        file.write(os.urandom(40_000))


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize("harm", [garbage, truncated, cut, emptied, overwritten, folder, pipe])
def test_what_is_no_database_any_more_is_set_aside_and_kept(
    database: Path, harm: Callable[[Path], None]
) -> None:
    log = with_a_log(database)
    harm(database)
    before = database.lstat()
    (said,) = prepare(database)
    assert said.startswith(f"{database}: ")
    assert not list(database.parent.glob("prefect.db")) + list(database.parent.glob("prefect.db-*"))
    (aside,) = database.parent.glob("prefect.db.damaged-*[0-9]")
    assert aside.name in said
    assert (aside.lstat().st_ino, aside.lstat().st_size) == (before.st_ino, before.st_size)
    assert aside.with_name(f"{aside.name}-wal").read_bytes() == log
    assert prepare(database) == []


def test_two_that_are_set_aside_in_one_second_have_names_of_their_own(database: Path) -> None:
    for number in range(3):
        database.write_bytes(b"%d" % number * 100)
        prepare(database)
    asides = [path.read_bytes()[:1] for path in database.parent.glob("prefect.db.damaged-*")]
    assert sorted(asides) == [b"0", b"1", b"2"]


def test_one_in_order_is_left_as_it_is(database: Path) -> None:
    before = database.read_bytes()
    assert prepare(database) == []
    assert database.read_bytes() == before
    assert list(database.parent.iterdir()) == [database]


def test_an_empty_file_is_in_order(database: Path) -> None:
    database.write_bytes(b"")  # so SQLite itself begins one
    assert prepare(database) == []


def test_one_that_is_locked_is_left_alone(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefect_database, "LOCK_SECONDS", 0.1)
    with locked(database), pytest.raises(DatabaseError, match="another process has locked it"):
        prepare(database)
    assert prepare(database) == []


def test_one_of_a_newer_prefect_is_left_alone(tmp_path: Path) -> None:
    newer = written(tmp_path / "prefect.db", "ffffffffffff")
    with pytest.raises(DatabaseError, match=r"a newer Prefect has made it \(its state ffffffffffff"):
        prepare(newer)
    assert newer.exists()


AS_NOBODY = """\
import os, sys
from pathlib import Path
from darkroom.server.database import DatabaseError, prepare
os.setuid(65534)
try:
    print(prepare(Path(sys.argv[1])))
except DatabaseError as error:
    print(error)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_one_that_may_not_be_written_is_left_alone() -> None:
    with tempfile.TemporaryDirectory() as folder:  # pytest's are for their owner alone
        Path(folder).chmod(0o755)
        database = written(Path(folder) / "prefect.db")
        database.chmod(0o644)
        command = [sys.executable, "-c", AS_NOBODY, str(database)]
        here = ROOT
        done = subprocess.run(command, cwd=here, capture_output=True, text=True, check=False)
    assert "have its permissions changed" in done.stdout, done.stderr


def test_a_template_that_was_damaged_is_not_taken_and_that_is_said(database: Path, tmp_path: Path) -> None:
    kept = blank_database.kept_at()
    blank_database.keep(database)
    new = tmp_path / "prefect" / "new.db"
    assert prepare(new) == []
    assert rows(new) == rows(database)
    for harm in (truncated, overwritten, garbage):
        new.unlink(missing_ok=True)
        blank_database.keep(database)
        harm(kept)
        (said,) = prepare(new)
        assert said.startswith(f"{kept}: is damaged")
        assert not new.exists()


def test_a_template_for_which_there_is_no_room_is_not_called_damaged(database: Path) -> None:
    blank_database.keep(database)
    database.unlink()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        assert prepare(database) == []
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(database.parent.iterdir())


def test_of_runs_that_begin_at_once_one_sets_it_aside(database: Path) -> None:
    garbage(database)
    blank_database.keep(written(database.with_name("template.db")))
    said: list[str] = []
    threads = [threading.Thread(target=lambda: said.extend(prepare(database))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(said) == 1
    assert len(list(database.parent.glob("prefect.db.damaged-*"))) == 1
    assert rows(database) == rows(database.with_name("template.db"))


PIPELINE = "stages:\n  a: {cmd: cp in.txt a.txt, deps: [in.txt], outs: [a.txt]}\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make(tmp_path / "r", Shape("small", {"dvc.yaml": PIPELINE, "in.txt": "1\n"}), tmp_path)


def run(root: Path, **more: str) -> str:
    """Run the pipeline; what it said beside its output."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    done = subprocess.run(
        [Path(sys.executable).with_name("darkroom"), "run"],
        cwd=root,
        env={**kept, "HOME": str(root.parent), **more},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "1 stage ran" in done.stdout
    assert "outs" in (root / "dvc.lock").read_text()
    return done.stderr


@pytest.mark.slow
def test_a_run_does_not_look_at_its_database_which_may_be_out_of_order(root: Path) -> None:
    folder = server_folder(root)
    folder.mkdir(parents=True)
    with locked(written(folder / "prefect.db")):
        assert run(root) == ""
    assert len(waiting_outboxes(root)) == 1


@pytest.mark.slow
def test_a_run_goes_on_where_nothing_can_be_written_down_for_prefect(root: Path) -> None:
    outbox_folder(root).parent.mkdir()
    outbox_folder(root).write_text("no folder")
    said = run(root)
    assert said.startswith("warning: Prefect is not told all of this run: all of it (")
    assert said.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize("url", ["http://127.0.0.1:9/api", "nonsense"])
def test_a_run_goes_on_where_the_server_that_is_set_does_not_answer(root: Path, url: str) -> None:
    assert run(root, PREFECT_API_URL=url, DARKROOM_SERVER_SECONDS="0.1") == ""
    (kept,) = waiting_outboxes(root)
    opened = first_letter(kept)
    assert opened is not None
    assert opened.to == url
