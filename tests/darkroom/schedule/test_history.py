from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import pytest

from darkroom.schedule import history as module
from darkroom.schedule.history import RECENT, History


def test_the_median_of_the_last_runs_counts(tmp_path: Path) -> None:
    history = History(tmp_path / "state")
    assert history.seconds() == {}
    for seconds in (100.0, 1.0, 2.0, 3.0, 4.0, 5.0):
        history.add("run", "größe@1", seconds)
    history.add("run", "other", 0.5)
    assert history.seconds() == {"größe@1": 3.0, "other": 0.5}


def test_torn_lines_are_left_out(tmp_path: Path) -> None:
    history = History(tmp_path)
    history.add("run", "a", 1.0)
    with (tmp_path / "history.jsonl").open("a") as file:
        file.write('[]\n{"stage": "a", "sec')
    history.add("run", "a", 3.0)
    assert history.seconds() == {"a": 2.0}


def test_runs_side_by_side_lose_nothing(tmp_path: Path) -> None:
    def add(name: str) -> None:
        for _ in range(200):
            History(tmp_path).add("run", name, 1.0)

    threads = [threading.Thread(target=add, args=(f"s{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = (tmp_path / "history.jsonl").read_text().splitlines()
    assert len(lines) == 800
    assert set(History(tmp_path).seconds()) == {"s0", "s1", "s2", "s3"}


def test_however_many_runs_there_were_the_file_holds_what_counts(tmp_path: Path) -> None:
    history, file = History(tmp_path), tmp_path / "history.jsonl"
    stages = [f"a stage with a name of some length {n}" for n in range(200)]
    sizes = []
    for run in range(40):
        history.shorten()
        lines = [json.dumps({"run": f"run {run}", "stage": stage, "seconds": float(run)}) for stage in stages]
        with file.open("a") as notes:
            notes.writelines(f"{line}\n" for line in lines)
        sizes.append(file.stat().st_size)
    one_run = sizes[0]
    assert max(sizes) <= (2 * RECENT + 2) * one_run * 1.1
    assert history.seconds() == dict.fromkeys(stages, 37.0)


def test_stages_that_ran_long_ago_are_forgotten_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STAGES", 2)
    monkeypatch.setattr(module, "LITTLE_BYTES", 0)
    history = History(tmp_path)
    for stage in ("old", "older", "a", "old", "b", *["c"] * 10):
        history.add("run", stage, 1.0)
    history.shorten()
    assert set(history.seconds()) == {"b", "c"}


def test_who_adds_while_another_shortens_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LITTLE_BYTES", 0)

    def add(name: str) -> None:
        for n in range(30):
            History(tmp_path).add("run", f"{name}{n}", 1.0)
            History(tmp_path).add("run", "often", 1.0)

    def shorten() -> None:
        for _ in range(30):
            History(tmp_path).shorten()

    jobs = [lambda: add("a"), lambda: add("b"), shorten]
    threads = [threading.Thread(target=job) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(History(tmp_path).seconds()) == 61


def test_the_last_run_is_told_in_the_order_in_which_its_stages_began(tmp_path: Path) -> None:
    history = History(tmp_path)
    assert history.last_run() == []
    (tmp_path / "history.jsonl").write_text('{"run": "old", "stage": "a", "seconds": 1.0}\n[]\n')
    history.add("first", "a", 1.0)
    history.add("last", "late", 0.0)
    history.add("last", "early", 1000.0)
    told = history.last_run()
    assert [(one.run, one.stage, one.seconds) for one in told] == [
        ("last", "early", 1000.0),
        ("last", "late", 0.0),
    ]
    assert told[0].began < told[1].began


def test_a_line_says_in_plain_letters_which_stage_of_which_run_took_how_long(tmp_path: Path) -> None:
    history, before = History(tmp_path), time.time()
    history.add("r1", "größe", 1.23456)
    with (tmp_path / "history.jsonl").open("a") as file:
        file.write('{"torn')
    history.add("r1", "b", 2.0)
    first, torn, second = (tmp_path / "history.jsonl").read_text(encoding="utf-8").splitlines()
    assert first.startswith('{"run": "r1", "stage": "größe", "seconds": 1.235, "ended": ')
    assert torn == '{"torn'
    assert json.loads(second)["seconds"] == 2.0
    ended = json.loads(first)["ended"]
    assert before - 0.001 <= ended <= time.time() + 0.001
    assert ended == round(ended, 3)
    began, _ = (one.began for one in sorted(history.last_run(), key=lambda one: one.seconds))
    assert began == pytest.approx(ended - 1.235)


def test_a_small_file_and_one_that_holds_little_in_vain_are_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history, file = History(tmp_path), tmp_path / "history.jsonl"
    history.shorten()
    assert not file.exists()
    line = '{"run": "r", "stage": "a", "seconds": 1.0}\n'
    file.write_text(line * 2 * RECENT)
    size = file.stat().st_size
    monkeypatch.setattr(module, "LITTLE_BYTES", size)
    history.shorten()
    assert file.stat().st_size == size  # no larger than what is little
    monkeypatch.setattr(module, "LITTLE_BYTES", 0)
    file.write_text(line * (2 * RECENT - 1))
    history.shorten()
    assert file.stat().st_size == size - len(line)  # more than half of it counts
    file.write_text(line * 2 * RECENT)
    history.shorten()
    assert file.read_text() == line * RECENT


def test_lines_of_an_older_version_count_for_nothing(tmp_path: Path) -> None:
    lines = [
        '{"stage": "a"}',
        '{"seconds": 5}',
        '{"stage": "a", "seconds": "x"}',
        "7",
        '{"stage": "b", "seconds": "2"}',
    ]
    (tmp_path / "history.jsonl").write_text("\n".join(lines) + "\n")
    assert History(tmp_path).seconds() == {"b": 2.0}
    assert History(tmp_path).last_run() == []
