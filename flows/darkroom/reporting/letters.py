"""The messages of a run, called letters: one line of JSON each, with the time of the event.

A letter has everything that its delivery needs, including identifiers. If a deliverer was killed, the next
one can tell by the identifiers which letters have already arrived.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any
from uuid import uuid4

RUN_FLOW, STAGE_FLOW = "darkroom", "darkroom-stage"
"""What Prefect calls all runs, and the stages of all runs."""

VERSION = 1


def new_id() -> str:
    """An identifier that nothing else has."""
    return str(uuid4())


@dataclass(frozen=True, kw_only=True, slots=True)
class RunState:
    """A state of Prefect's."""

    type: str
    """One of Prefect's types, such as `RUNNING`."""
    message: str = ""
    name: str = ""
    """Empty: Prefect's own for the type."""
    due: float | None = None
    """The time when what is scheduled is due, in seconds since 1970."""

    @property
    def ends(self) -> bool:
        """Whether nothing comes after it."""
        return self.type in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


@dataclass(frozen=True, kw_only=True, slots=True)
class Opened:
    """The first letter of every outbox: where all of them go."""

    at: float
    to: str
    """The URL of a Prefect API; empty: the project's own server."""
    name: str
    version: int = VERSION


@dataclass(frozen=True, kw_only=True, slots=True)
class Began:
    """A flow run begins. One under another is drawn in that one's graph, behind those that it needs."""

    at: float
    run: str
    flow: str
    name: str
    project: str
    parameters: Mapping[str, Any]
    state: RunState
    parent: str = ""
    number: int = 0
    """Which one it is under its parent."""
    needs: tuple[str, ...] = ()
    """The flow runs that it needs."""
    progress: str = ""
    """The key of the artifact that shows how far it is; empty: none does."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Became:
    """A flow run is in another state now."""

    at: float
    run: str
    state: RunState
    id: str = field(default_factory=new_id)


@dataclass(frozen=True, kw_only=True, slots=True)
class Said:
    """A line of a flow run's log."""

    at: float
    run: str
    text: str
    level: int = logging.INFO


@dataclass(frozen=True, kw_only=True, slots=True)
class Drew:
    """A line of a flow run that tells how far it is, and that is not in its log: the state of a bar, say."""

    at: float
    run: str
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Published:
    """An artifact of a flow run; one of the same identifier takes the place of the one before."""

    at: float
    run: str
    key: str
    kind: str
    """Prefect's type, `markdown` or `table` (JSON)."""
    data: str
    description: str
    id: str = field(default_factory=new_id)


@dataclass(frozen=True, kw_only=True, slots=True)
class Closed:
    """Nothing more comes."""

    at: float


Letter = Opened | Began | Became | Said | Drew | Published | Closed
_KINDS: dict[str, type[Letter]] = {
    kind.__name__.lower(): kind for kind in (Opened, Began, Became, Said, Drew, Published, Closed)
}


def to_line(letter: Letter) -> bytes:
    """The letter as a line, in ASCII."""
    return json.dumps({"letter": type(letter).__name__.lower(), **asdict(letter)}).encode() + b"\n"


def from_line(line: bytes) -> Letter | None:
    """The letter in a line; None where there is none: it is spoilt, or a newer version wrote it."""
    try:
        fields = json.loads(line)
        kind = _KINDS[fields.pop("letter")]
        if "state" in fields:
            fields["state"] = RunState(**fields["state"])
        if "needs" in fields:
            fields["needs"] = tuple(fields["needs"])
        return kind(**fields)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
