"""Which stages are begun once more, and when."""

from __future__ import annotations

import pytest

from darkroom.processes.stage_process import Ending, StageResult
from darkroom.schedule.attempts import Attempts
from darkroom.schedule.events import StageAgain

KILLED = StageResult(ending=Ending.KILLED, code=-9)


@pytest.mark.parametrize("ending", [Ending.KILLED, Ending.OUT_OF_MEMORY])
def test_a_kill_and_a_want_of_memory_are_worth_another_attempt(ending: Ending) -> None:
    attempts = Attempts({"train": 1})
    result = StageResult(ending=ending, code=-9, memory="the host's memory")
    assert attempts.begin("train") == 1
    assert attempts.after("train", result) == StageAgain("train", result.describe(), 2.0, 1, 1)
    assert attempts.begin("train") == 2
    assert attempts.after("train", result) is None
    assert attempts.number_of("train") == 2


@pytest.mark.parametrize("ending", [Ending.FAILED, Ending.TIMED_OUT, Ending.STOPPED])
def test_any_other_end_is_none(ending: Ending) -> None:
    attempts = Attempts({"train": 3})
    attempts.begin("train")
    assert attempts.after("train", StageResult(ending=ending, code=1)) is None


def test_the_waits_are_doubled_up_to_two_minutes() -> None:
    attempts, waits = Attempts({"train": 9}), []
    while True:
        attempts.begin("train")
        if not (again := attempts.after("train", KILLED)):
            break
        waits.append(again.seconds)
    assert waits == [2, 4, 8, 16, 32, 64, 120, 120, 120]


def test_stages_are_counted_apart() -> None:
    attempts = Attempts({"one": 1, "two": 0})
    attempts.begin("one")
    attempts.begin("two")
    assert attempts.after("one", KILLED) is not None
    assert attempts.after("two", KILLED) is None


def test_an_attempt_that_others_disturbed_is_none_of_the_retries() -> None:
    attempts = Attempts({"train": 1})
    attempts.begin("train")
    assert attempts.apart("train", "a dep changed") == StageAgain("train", "a dep changed", 0.0, 0, 0)
    attempts.begin("train")
    again = attempts.after("train", KILLED)
    assert again is not None
    assert (again.retry, again.retries, again.seconds) == (1, 1, 2.0)
    assert attempts.begin("train") == 3
    assert attempts.after("train", KILLED) is None
