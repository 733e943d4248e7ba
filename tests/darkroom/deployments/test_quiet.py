from pathlib import Path

import pytest

from darkroom.base.errors import UsageError
from darkroom.deployments.quiet import (
    LookMemory,
    after_look,
    fingerprint,
    read_memory,
    waiting_seconds,
    write_memory,
)

IMPORT = "deps:\n- path: /inbox\n  md5: {md5}.dir\nouts:\n- path: pictures\n"


def test_a_change_is_trained_on_once_it_was_quiet_for_long_enough() -> None:
    memory = after_look(LookMemory(), "a", 100)
    assert waiting_seconds(memory, 100, 60) == 60
    memory = after_look(memory, "a", 130)
    assert waiting_seconds(memory, 130, 60) == 30
    memory = after_look(memory, "b", 150)  # it goes on changing: from the beginning
    assert waiting_seconds(memory, 150, 60) == 60
    assert waiting_seconds(after_look(memory, "b", 215), 215, 60) == 0


def test_what_was_trained_on_is_not_new_until_it_changes() -> None:
    memory = LookMemory(seen="a", since=100, done="a")
    assert waiting_seconds(memory, 1000, 60) is None
    assert waiting_seconds(after_look(memory, "b", 1000), 1000, 60) == 60


def test_a_change_during_the_training_is_found_afterwards() -> None:
    memory = LookMemory(seen="a", since=100, done="a")  # trained on a, while b came
    memory = after_look(memory, "b", 5000)
    assert waiting_seconds(after_look(memory, "b", 5060), 5060, 60) == 0


def test_the_memory_is_kept_and_a_torn_one_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "memory.json"
    assert read_memory(path) == LookMemory()
    write_memory(path, LookMemory(seen="a", since=1.5, done="b"))
    assert read_memory(path) == LookMemory(seen="a", since=1.5, done="b")
    path.write_text('{"seen": "a')
    assert read_memory(path) == LookMemory()


def test_a_fingerprint_is_that_of_the_sources(tmp_path: Path) -> None:
    path = tmp_path / "pictures.dvc"
    path.write_text(IMPORT.format(md5="1" * 32))
    first = fingerprint([path])
    path.write_text(IMPORT.format(md5="1" * 32) + "frozen: true\n")
    assert fingerprint([path]) == first
    path.write_text(IMPORT.format(md5="2" * 32))
    assert fingerprint([path]) != first


def test_what_is_no_import_says_how_one_is_made(tmp_path: Path) -> None:
    path = tmp_path / "pictures.dvc"
    path.write_text("outs:\n- path: pictures\n")
    with pytest.raises(UsageError, match=r"pictures\.dvc is no \.dvc file of an import; `dvc import-url"):
        fingerprint([path])
    with pytest.raises(UsageError, match=r"missing\.dvc"):
        fingerprint([tmp_path / "missing.dvc"])


def test_a_clock_that_is_set_back_keeps_no_data_waiting() -> None:
    memory = after_look(LookMemory(), "a", 9_000_000)
    memory = after_look(memory, "a", 100)
    assert waiting_seconds(memory, 100, 60) == 60
    assert waiting_seconds(after_look(memory, "a", 160), 160, 60) == 0
