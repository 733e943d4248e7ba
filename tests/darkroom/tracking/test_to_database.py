"""Letters in the database of the project's own server: each once, with its times, whoever was killed."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from darkroom.reporting.deliverers import Destination
from darkroom.reporting.letters import Became, Began, Letter, Published, Said
from darkroom.reporting.outbox import read_letters, waiting_outboxes
from darkroom.reporting.pipeline import run_reported
from darkroom.runs.report import RunOptions
from darkroom.server.places import server_folder
from tests.darkroom.repositories import make
from tests.darkroom.shapes import Shape
from tests.leftovers import shared_environment
from tests.places import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

EVERY = int(os.environ.get("DELIVERY_STEPS", "7"))
"""Kills at each so-manieth step; 1: at all of them."""

# One is killed once and runs again, one fails, one needs two.
PIPELINE = """\
stages:
  first:
    cmd: test -e ../once || { touch ../once; kill -KILL $$; }; echo epoch 1/1 loss 1; echo 1 > first.txt
    outs: [first.txt]
    meta: {retries: 1}
  second:
    cmd: cp in.txt second.txt; echo '{"loss":1}' > m.json
    deps: [in.txt]
    outs: [second.txt]
    metrics: [m.json: {cache: false}]
  third:
    cmd: echo wrong; exit 3
    deps: [first.txt, second.txt]
    outs: [third.txt]
"""


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The outbox of a real run, which nobody has delivered."""
    folder = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_SITE_CACHE_DIR", str(folder / "site"))
        root = make(folder / "template", Shape("told", {"dvc.yaml": PIPELINE, "in.txt": "1\n"}), folder)
        record, lost = run_reported(RunOptions(repo=root, jobs=1), root, Destination("", "", 0))
    assert not record.report.well
    assert lost is None
    (outbox,) = waiting_outboxes(root)
    return outbox


@pytest.fixture
def letters(template: Path) -> list[Letter]:
    return [posted.letter for posted in read_letters(template, 0) if posted.letter is not None]


def delivered(root: Path, *words: object) -> None:
    command = [sys.executable, "-m", "tests.darkroom.tracking.killed_deliveries", str(root), *map(str, words)]
    done = subprocess.run(
        command, cwd=ROOT, env=shared_environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert waiting_outboxes(root) == []


def query(root: Path, text: str, *values: object) -> Iterator[dict[str, Any]]:
    with closing(sqlite3.connect(server_folder(root) / "prefect.db")) as database:
        database.row_factory = sqlite3.Row
        yield from (dict(row) for row in database.execute(text, values).fetchall())


def moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")


def states(root: Path, run: str) -> list[tuple[str, str, str]]:
    """Type, name and time of a flow run's states."""
    asked = "select type, name, timestamp from flow_run_state where flow_run_id = ? order by timestamp"
    return [(row["type"], row["name"], row["timestamp"]) for row in query(root, asked, run)]


def family(root: Path, name: str) -> dict[str, dict[str, Any]]:
    """The flow runs of the run `name` and of its stages, by name."""
    (parent,) = query(root, "select * from flow_run where name = ?", name)
    asked = (
        "select r.* from flow_run r join task_run t on r.parent_task_run_id = t.id where t.flow_run_id = ?"
    )
    children = list(query(root, asked, parent["id"]))
    assert len({child["name"] for child in children}) == len(children)
    return {"template": parent, **{child["name"]: child for child in children}}


def check_told(root: Path, name: str, told: list[Letter], *, killed: bool = False) -> None:
    """What is in the database of a run is what its letters tell, once, with their times."""
    found = family(root, name)
    names = {letter.run: letter.name for letter in told if isinstance(letter, Began)}
    assert set(found) == set(names.values())
    expected: dict[str, list[tuple[str, str]]] = defaultdict(list)
    lines: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for letter in told:
        if isinstance(letter, Began | Became):
            expected[names[letter.run]].append((letter.state.type, moment(letter.at)))
        if isinstance(letter, Said):
            lines[names[letter.run]].append((letter.text, moment(letter.at)))
    last = moment(max(letter.at for letter in told))
    for each, run in found.items():
        entered = [(kind, when) for kind, _, when in states(root, run["id"])]
        wanted = expected[each]
        if killed and wanted[-1][0] in ("RUNNING", "SCHEDULED"):
            # Where the last letter is a state's own, the moments would be the same.
            assert entered[-1][0] == "CRASHED"
            assert entered[-1][1] >= last
            wanted = [*wanted, entered[-1]]
        assert entered == wanted
        assert (run["state_type"], run["state_timestamp"]) == entered[-1]
        assert run["start_time"] == entered[0][1]
        assert run["end_time"] == entered[-1][1]
        asked = "select message, timestamp from log where flow_run_id = ? order by timestamp"
        assert [tuple(row.values()) for row in query(root, asked, run["id"])] == lines[each]
        of_task = list(query(root, "select * from task_run where id = ?", run["parent_task_run_id"]))
        assert [(row["state_type"], row["start_time"], row["end_time"]) for row in of_task] == [
            (run["state_type"], run["start_time"], run["end_time"])
        ] * len(of_task)
    published = [letter for letter in told if isinstance(letter, Published)]
    keys = "select key from artifact where flow_run_id = ?"
    kept = [row["key"] for run in found.values() for row in query(root, keys, run["id"])]
    assert len(set(kept)) == len(kept)
    assert {letter.key for letter in published} <= set(kept)


def test_whenever_a_delivery_is_killed_all_is_told_once(
    tmp_path: Path, template: Path, letters: list[Letter]
) -> None:
    delivered(tmp_path, "killed", EVERY, template)
    runs = [row["name"] for row in query(tmp_path, "select name from flow_run where name like 'run-%'")]
    assert len(runs) > 5
    for name in runs:
        check_told(tmp_path, name, letters)
    assert list(query(tmp_path, "select * from configuration where key like 'darkroom%'")) == []


def test_whenever_a_run_is_killed_what_it_told_is_there_and_the_rest_has_crashed(
    tmp_path: Path, template: Path, letters: list[Letter]
) -> None:
    delivered(tmp_path, "cut", template)
    assert list(query(tmp_path, "select * from flow_run where name in ('run-0', 'run-1')")) == []
    for number in range(2, len(letters) + 1):
        check_told(tmp_path, f"run-{number}", letters[:number], killed=True)


COUNTED = (
    *("state_type", "state_name", "state_timestamp", "run_count", "expected_start_time"),
    *("next_scheduled_start_time", "start_time", "end_time", "total_run_time", "parameters", "context"),
    *("empirical_policy", "tags", "auto_scheduled", "job_variables"),
)
OF_TASKS = ("state_type", "run_count", "task_key", "dynamic_key", "empirical_policy", "tags")


def test_the_rows_are_those_that_prefect_would_have_written(tmp_path: Path, template: Path) -> None:
    delivered(tmp_path, "again", template)
    ours, prefects = family(tmp_path, "ours"), family(tmp_path, "prefects")
    assert set(ours) == set(prefects)
    for name, run in ours.items():
        theirs = prefects[name]
        assert {key: run[key] for key in COUNTED} == {key: theirs[key] for key in COUNTED}
        assert states(tmp_path, run["id"]) == states(tmp_path, theirs["id"])
        assert set(json.loads(run["labels"])) == set(json.loads(theirs["labels"]))
        details = "select state_details from flow_run_state where flow_run_id = ? order by timestamp"
        for one, other in zip(
            query(tmp_path, details, run["id"]), query(tmp_path, details, theirs["id"]), strict=True
        ):
            shown, wanted = json.loads(one["state_details"]), json.loads(other["state_details"])
            assert {k for k, v in shown.items() if v} == {k for k, v in wanted.items() if v}
            assert shown["scheduled_time"] == wanted["scheduled_time"]
        tasks = [
            next(query(tmp_path, "select * from task_run where id = ?", each["parent_task_run_id"]), None)
            for each in (run, theirs)
        ]
        if tasks[0] and tasks[1]:
            for key in (
                "state_type",
                "run_count",
                "task_key",
                "dynamic_key",
                "empirical_policy",
                "tags",
                "flow_run_run_count",
            ):
                assert tasks[0][key] == tasks[1][key], key
            needs = [len(json.loads(task["task_inputs"])["needs"]) for task in tasks if task]
            assert needs[0] == needs[1]
