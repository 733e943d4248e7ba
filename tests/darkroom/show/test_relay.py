"""Who works never waits for a display, and what it could not show is said."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from darkroom.processes.stage_process import StageJob, execute
from darkroom.schedule.events import Event, Outcome, StageBar, StageFinished, StageLine
from darkroom.show.relay import WAITING_LINES, Relay


def test_events_are_told_in_their_order() -> None:
    told: list[Event] = []
    relay = Relay(told.extend)
    events: list[Event] = [
        StageLine("a", "1"),
        StageBar("b", "10%"),
        StageLine("b", "2"),
        StageFinished("a", Outcome.RAN),
    ]
    for event in events:
        relay(event)
    relay.close()
    assert told == events


def test_a_display_that_stands_still_keeps_nobody_waiting_and_says_what_it_left_out() -> None:
    told: list[Event] = []
    stands, goes_on = threading.Event(), threading.Event()

    def display(events: Sequence[Event]) -> None:
        stands.set()
        goes_on.wait()
        told.extend(events)

    relay = Relay(display)
    relay(StageLine("a", "first"))
    stands.wait()
    for n in range(WAITING_LINES + 30):
        relay(StageLine("a", str(n)))
    relay(StageFinished("a", Outcome.RAN))
    relay(StageLine("b", "not the fault of a"))
    goes_on.set()
    relay.close()
    assert len(told) == 1 + WAITING_LINES + 3
    assert told[-3:] == [
        StageLine("a", "darkroom: 30 lines left out here; the stage's log has all of them"),
        StageFinished("a", Outcome.RAN),
        StageLine("b", "not the fault of a"),
    ]


def test_an_error_of_the_display_is_told_in_the_end() -> None:
    def display(_: Sequence[Event]) -> None:
        raise ValueError("no paper")

    relay = Relay(display)
    relay(StageLine("a", "1"))
    relay(StageLine("a", "2"))
    with pytest.raises(ValueError, match="no paper"):
        relay.close()


def test_a_stage_ends_while_its_display_stands_still(tmp_path: Path) -> None:
    stands, goes_on = threading.Event(), threading.Event()

    def display(_: Sequence[Event]) -> None:
        stands.set()
        goes_on.wait()

    relay = Relay(display)
    command = "seq 1 300000; touch done"  # far more than a pipe and the queue hold
    job = StageJob(
        name="s",
        commands=(("/bin/sh", "-c", command),),
        cwd=tmp_path,
        env=dict(os.environ),
        log=tmp_path / "s.log",
        on_line=lambda line: relay(StageLine("s", line)),
    )
    try:
        assert execute(job).well
        assert stands.is_set()
        assert (tmp_path / "done").exists()
        assert len((tmp_path / "s.log").read_bytes().splitlines()) == 300_000
    finally:
        goes_on.set()
        relay.close()
