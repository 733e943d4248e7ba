"""In which order Prefect's server looks at events: causes first, but without a long wait for a lost one.

PREFECT_SERVER_EVENTS_CAUSAL_ORDERING names this module to the server. An event of a flow run names the one
before it. Prefect's own order lets an event wait 15 minutes for that one. Some never come: Prefect's
scheduler makes runs without an event of their first state, and a server that was started again has forgotten
what it has seen. So the notice of a scheduled run that failed could come 15 minutes after the failure.
"""

from __future__ import annotations

import datetime

from prefect.server.events.ordering.memory import CausalOrdering as MemoryOrdering
from prefect.server.events.schemas.events import ReceivedEvent

PATIENCE = datetime.timedelta(seconds=10)
"""How long an event waits for the one before it; in one process they come within a second."""


class CausalOrdering(MemoryOrdering):
    """Prefect's order of events in memory, with less patience."""

    async def wait_for_leader(self, event: ReceivedEvent) -> None:
        """Let the event wait for the one before it, unless it has waited long enough."""
        if _now() - event.received < PATIENCE:
            await super().wait_for_leader(event)

    async def get_lost_followers(self) -> list[ReceivedEvent]:
        """Return the events that have waited long enough, and forget that they wait."""
        patient = [event for event, since in self._waitlist.items() if _now() - since >= PATIENCE]
        lost = await self.followers_by_id(patient)
        for event in lost:
            await self.forget_follower(event)
        return lost


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
