"""`darkroom run --json` and what of the host is in use."""

import json
import re

import pytest

from darkroom.schedule.events import Outcome, RunFinished, RunStarted, StageFinished, StageLine
from darkroom.schedule.plan import Plan
from darkroom.show.load import HostLoad, in_gib
from darkroom.show.machine import printing_events


def test_each_event_is_a_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    with printing_events() as observe:
        observe(RunStarted("r", Plan((), None, ())))
        observe(StageLine("a", "says\nmore"))
        observe(StageFinished("a", Outcome.FAILED, ("forced",), 1.0, "a: failed"))
        observe(RunFinished(False, 2.0))
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["event"] for line in lines] == [
        "run-started",
        "stage-line",
        "stage-finished",
        "run-finished",
    ]
    assert lines[0]["plan"] == {"stages": [], "seconds": None, "critical_path": []}
    assert lines[1]["line"] == "says\nmore"
    assert (lines[2]["outcome"], lines[2]["error"]) == ("failed", "a: failed")
    assert lines[3] == {"event": "run-finished", "well": False, "seconds": 2.0}


def test_the_host_in_use_is_said_and_not_read_anew_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DARKROOM_GPUS", "2x16GB")  # declared: nothing tells what is in use
    load = HostLoad(clock=lambda: 7.0)
    words = load.words()
    assert re.fullmatch(r"CPU \d+ %, memory \d+\.\d of \d+\.\d GiB", words)
    assert load.words() is words
    assert in_gib(3 << 29, 1 << 32) == "1.5 of 4.0 GiB"
