"""The times and counts that Prefect keeps of a flow run, computed from its states as Prefect does.

A test compares them with what Prefect makes of the same states.
"""

from __future__ import annotations

from dataclasses import dataclass

from darkroom.reporting.letters import RunState


@dataclass(slots=True)
class RunRow:
    """A flow run after the states that it has entered so far; times are seconds since 1970."""

    expected: float
    """The time when it entered its first state."""
    state: RunState | None = None
    state_id: str = ""
    at: float = 0.0
    """The time when it entered the state."""
    start: float | None = None
    end: float | None = None
    seconds: float = 0.0
    """How long it was running."""
    count: int = 0
    """How often it began to run."""

    def enter(self, state: RunState, at: float, identifier: str) -> None:
        """Enter a state."""
        if self.state is not None and self.state.type == "RUNNING":
            self.seconds += at - self.at
        if state.type == "RUNNING":
            self.count += 1
            self.start = at if self.start is None else self.start
        if not state.ends:
            self.end = None
        elif self.end is None:
            self.start = at if self.start is None else self.start
            self.end = at
        self.state, self.at, self.state_id = state, at, identifier

    @property
    def due(self) -> float | None:
        """The time when what is scheduled is due."""
        return self.state.due if self.state is not None and self.state.type == "SCHEDULED" else None


def name_of(state: RunState) -> str:
    """The state's name; Prefect's own where it has none."""
    return state.name or state.type.capitalize()
