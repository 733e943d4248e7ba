"""One at a time decides: who draws which number, and who waits for whom."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from darkroom.base.locks import FOR_EVER
from darkroom.gpus import lease_gate
from darkroom.gpus.lease_folder import LeaseFile, OwnFile, SharedFolder
from darkroom.gpus.lease_gate import GATE, alone_at_gate


class Watched(SharedFolder):
    """A folder in which something happens once ours has drawn its number, or while it waits."""

    after_the_draw: Callable[[], None] | None = None
    while_it_waits: Callable[[], None] | None = None
    looks = 0

    def held(self, kind: str) -> list[LeaseFile]:
        found = super().held(kind)
        if self.after_the_draw:
            self.after_the_draw()
            self.after_the_draw = None
        return found

    def look(self, name: str) -> LeaseFile | None:
        self.looks += 1
        if self.looks == 9 and self.while_it_waits:
            self.while_it_waits()
        return super().look(name)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Watched]:
    made = Watched(tmp_path / "leases")
    yield made
    made.close()


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who does not get in does not wait for long."""
    monkeypatch.setattr(lease_gate, "_TRY_SECONDS", 0.05)


def number_of_ours(folder: SharedFolder) -> int:
    """It is the last one."""
    return max(file.length for file in folder.held(GATE) if file.note == {"mine": 1})


def ahead_of_us(folder: SharedFolder) -> LeaseFile | None:
    with alone_at_gate(folder, {"mine": 1}) as ahead:
        return ahead


def test_the_first_draws_1_and_takes_its_number_with_it(folder: Watched) -> None:
    for _ in range(2):
        with alone_at_gate(folder, {"mine": 1}) as ahead:
            assert ahead is None
            assert number_of_ours(folder) == 1
        assert folder.held(GATE) == []


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize(("number", "ours"), [(1, 2), (7, 8), (FOR_EVER - 2, FOR_EVER - 1), (FOR_EVER, 1)])
def test_who_was_there_before_comes_first(folder: Watched, number: int, ours: int) -> None:
    with folder.make(GATE, number, {}) as other:
        with alone_at_gate(folder, {"mine": 1}) as ahead:
            assert ahead is not None
            assert (ahead.inode, ahead.length) == (other.inode, number)
            assert number_of_ours(folder) == ours
        assert [file.inode for file in folder.held(GATE)] == [other.inode]
    assert ahead_of_us(folder) is None


def test_who_has_the_last_number_keeps_all_from_drawing_one(folder: Watched) -> None:
    with folder.make(GATE, FOR_EVER - 1, {}) as other:
        ahead = ahead_of_us(folder)
    assert ahead is not None
    assert ahead.inode == other.inode


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize(("number", "before_us"), [(1, True), (2, None), (3, False), (FOR_EVER, True)])
def test_who_draws_while_we_do_comes_before_or_after(
    folder: Watched, number: int, before_us: bool | None
) -> None:
    """Ours is 2. The same number twice: the inode decides, for both of them in the same way."""
    first, late = folder.make(GATE, 1, {}), []

    def others() -> None:
        first.free()
        late.append(folder.make(GATE, number, {}))

    folder.after_the_draw = others
    with alone_at_gate(folder, {"mine": 1}) as ahead:
        (ours,) = [file for file in folder.held(GATE) if file.note == {"mine": 1}]
        assert ours.length == 2
    assert (ahead is not None) == (late[0].inode < ours.inode if before_us is None else before_us)
    late[0].free()


@pytest.mark.parametrize("number", [1, FOR_EVER])
def test_who_ends_lets_us_in(folder: Watched, number: int) -> None:
    other = folder.make(GATE, number, {})
    folder.while_it_waits = other.free
    assert ahead_of_us(folder) is None
    assert folder.looks >= 9


def test_who_draws_a_number_after_ours_lets_us_in(folder: Watched) -> None:
    other = folder.make(GATE, FOR_EVER, {})
    folder.while_it_waits = lambda: other.hold_only(2)
    assert ahead_of_us(folder) is None
    other.free()


class Sorted(Watched):
    """Others are looked at in the order of their numbers, the last drawn first."""

    def held(self, kind: str) -> list[LeaseFile]:
        return sorted(super().held(kind), key=lambda file: -file.length)


@pytest.fixture
def in_order(tmp_path: Path) -> Iterator[Sorted]:
    made = Sorted(tmp_path / "leases")
    yield made
    made.close()


@pytest.mark.usefixtures("soon")
def test_ours_is_greater_than_all_numbers_and_who_comes_later_lets_nobody_be_forgotten(
    in_order: Sorted,
) -> None:
    """Ours is 6. One that draws 9 meanwhile is passed over; then 5 is ahead."""
    first, second = in_order.make(GATE, 5, {}), in_order.make(GATE, 3, {})
    late: list[OwnFile] = []
    in_order.after_the_draw = lambda: late.append(in_order.make(GATE, 9, {}))
    with alone_at_gate(in_order, {"mine": 1}) as ahead:
        assert number_of_ours(in_order) == 6
        assert ahead is not None
        assert ahead.inode == first.inode
    for file in (first, second, *late):
        file.free()


def test_behind_the_last_number_nobody_waits(folder: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is none to draw after it: who has it is told at once."""

    def wait(_: float) -> None:
        raise AssertionError

    monkeypatch.setattr("time.sleep", wait)
    with folder.make(GATE, FOR_EVER - 1, {}) as other:
        ahead = ahead_of_us(folder)
    assert ahead is not None
    assert ahead.inode == other.inode
