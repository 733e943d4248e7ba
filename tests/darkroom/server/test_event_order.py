"""When the server looks at an event whose cause comes late, or never."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Iterator
from uuid import UUID, uuid4

import pytest
from prefect.server.events.ordering import EventArrivedEarly
from prefect.server.events.schemas.events import ReceivedEvent, Resource

from darkroom.server import event_order
from darkroom.server.event_order import CausalOrdering

NOW = datetime.datetime.now(datetime.UTC)


@pytest.fixture
def order(monkeypatch: pytest.MonkeyPatch) -> Iterator[CausalOrdering]:
    monkeypatch.setattr(event_order, "PATIENCE", datetime.timedelta(hours=1))
    yield CausalOrdering("a test")
    CausalOrdering.clear_all_scopes()


def event(name: str, follows: UUID | None = None) -> ReceivedEvent:
    resource = Resource.model_validate({"prefect.resource.id": "prefect.flow-run.1"})
    return ReceivedEvent(occurred=NOW, event=name, resource=resource, id=uuid4(), follows=follows)


async def look_at(order: CausalOrdering, one: ReceivedEvent, seen: list[str]) -> None:
    """As the server's triggers do; one that has come too early waits."""

    async def look(event: ReceivedEvent, depth: int = 0) -> None:
        async with order.preceding_event_confirmed(look, event, depth):
            seen.append(event.event)

    try:
        await look(one)
    except EventArrivedEarly:
        seen.append(f"{one.event} waits")


def test_a_failure_after_a_state_that_nobody_tells_waits_no_longer_than_patience(
    order: CausalOrdering, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a run that a schedule has made: its first state has no event."""
    pending = event("Pending", uuid4())
    failed = event("Failed", pending.id)
    seen: list[str] = []

    async def story() -> None:
        await look_at(order, pending, seen)
        await look_at(order, failed, seen)
        assert await order.get_lost_followers() == []
        monkeypatch.setattr(event_order, "PATIENCE", datetime.timedelta())  # as if the time had passed
        for lost in await order.get_lost_followers():
            await look_at(order, lost, seen)
        assert await order.get_lost_followers() == []

    asyncio.run(story())
    assert seen == ["Pending waits", "Failed waits", "Pending", "Failed"]


def test_events_that_come_in_another_order_are_looked_at_in_their_own(order: CausalOrdering) -> None:
    running = event("Running")
    failed = event("Failed", running.id)
    seen: list[str] = []

    async def story() -> None:
        await look_at(order, failed, seen)
        await look_at(order, running, seen)

    asyncio.run(story())
    assert seen == ["Failed waits", "Running", "Failed"]
