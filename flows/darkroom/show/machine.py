"""`darkroom run --json`: the events of a run, one JSON object a line, for programs."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from darkroom.schedule.events import Event, RunStarted
from darkroom.show.relay import Relay

_CAPITAL = re.compile(r"(?<!^)(?=[A-Z])")


def event_json(event: Event) -> dict[str, Any]:
    """The event's name, such as `stage-started`, and its fields."""
    name = _CAPITAL.sub("-", type(event).__name__).lower()
    if isinstance(event, RunStarted):
        return {"event": name, "run": event.run, "plan": event.plan.to_json()}
    return {"event": name, **dataclasses.asdict(event)}


@contextlib.contextmanager
def printing_events() -> Iterator[Callable[[Event], None]]:
    """An observer of a run that prints each event as a line; all are printed when the context ends."""
    with contextlib.closing(Relay(_print)) as observe:
        yield observe


def _print(events: Sequence[Event]) -> None:
    print("\n".join(json.dumps(event_json(event)) for event in events), flush=True)
