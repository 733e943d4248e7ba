"""Which Prefect API a run is recorded in, and who may read what it records there."""

import base64
import contextlib
import os
import sqlite3
from pathlib import Path

import pytest

from darkroom.base.errors import DarkroomError
from darkroom.cli.main import run_command
from darkroom.reporting.outbox import outbox_folder, waiting_outboxes
from darkroom.server import login
from darkroom.server.configured import Configured, require_answer
from darkroom.server.places import server_folder
from tests.darkroom.repositories import make
from tests.darkroom.server.processes.pages_process import pages_process
from tests.darkroom.shapes import Shape
from tests.darkroom.waiting import wait_for


def test_a_server_that_does_not_answer_is_one_line() -> None:
    with pytest.raises(DarkroomError, match=r"no Prefect server answers at http://127.0.0.1:9/api") as error:
        require_answer(Configured("http://127.0.0.1:9/api", "PREFECT_API_URL"))
    assert str(error.value).startswith("PREFECT_API_URL: ")
    assert "\n" not in str(error.value)


def test_what_is_no_address_is_one_line() -> None:
    with pytest.raises(DarkroomError, match="nonsense"):
        require_answer(Configured("nonsense", "here"))


@pytest.mark.slow
def test_a_run_keeps_what_it_records_from_others_and_the_string_from_its_stages(tmp_path: Path) -> None:
    pipeline = "stages:\n  tell: {cmd: env > told.txt; env, outs: [told.txt]}\n"
    root = make(tmp_path / "small", Shape("private", {"dvc.yaml": pipeline}), tmp_path)
    umask = os.umask(0)
    try:
        assert run_command(["run", "--repo", str(root)]) == 0
        with pages_process(root):
            assert wait_for(lambda: not waiting_outboxes(root))
    finally:
        os.umask(umask)
    folder = server_folder(root)
    assert folder.stat().st_mode & 0o777 == 0o700
    auth = login.auth_string(folder)
    secret = auth.partition(":")[2]
    holders = [path for path in root.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]
    assert login.auth_file(folder) in holders
    assert not [path for path in holders if path.stat().st_mode & 0o077 or folder not in path.parents]
    assert "DVC_STAGE=tell" in (root / "told.txt").read_text()
    assert "PREFECT_" not in (root / "told.txt").read_text()
    with contextlib.closing(sqlite3.connect(folder / "prefect.db")) as database:
        texts = ["\n".join(database.iterdump())]
    assert "DVC_STAGE=tell" in texts[0]
    assert outbox_folder(root).stat().st_mode & 0o777 == 0o700
    texts += [path.read_text() for path in (root / "told.txt", *root.rglob("*.log"))]
    basic = base64.b64encode(auth.encode()).decode()
    assert not [text for text in texts for shown in (secret, basic) if shown in text]
