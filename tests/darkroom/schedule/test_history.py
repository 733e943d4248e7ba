from __future__ import annotations

import threading
from pathlib import Path

from darkroom.schedule.history import History


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
