"""The order that asks another host to execute a stage, and the host's answer, both as JSON."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from darkroom.base.meta import Resources
from darkroom.processes.stage_process import StageResult
from darkroom.repository.blobs import Blob

Written = TypeVar("Written", "Order", "Record")

VERSION = 1

RANK_DIGITS = RUN_DIGITS = 6
"""How many of a token's 32 digits tell the rank, and how many the run."""

INLINE_BYTES = 64 * 1024
"""An out that DVC does not cache stands in the record itself up to this size."""


_LEAST_URGENT = 0xFFFFFF


def new_run() -> str:
    """What tells the tokens of one run from those of others."""
    return secrets.token_hex(RUN_DIGITS // 2)


def new_token(rank: int, run: str) -> str:
    """What tells an attempt from all others, whoever makes them: those of a run sort by their urgency."""
    place = f"{min(rank, _LEAST_URGENT):0{RANK_DIGITS}x}"
    return f"{place}{run}{secrets.token_hex(10)}"


def run_of(token: str) -> str:
    """The run that made the token."""
    return token[RANK_DIGITS : RANK_DIGITS + RUN_DIGITS]


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """An attempt to be executed. Paths are from the root of DVC's repository, which is `folder` in git's."""

    token: str
    stage: str
    attempt: int
    revision: str
    """The commit."""
    code: str
    """The git repository that has it."""
    folder: str
    cwd: str
    commands: tuple[tuple[str, ...], ...]
    env: Mapping[str, str]
    """What the stage's environment has beyond the host's own."""
    deps: Mapping[str, Blob] = field(default_factory=dict)
    outs: tuple[str, ...] = ()
    uncached: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    checkpoints: tuple[str, ...] = ()
    timeout: float | None = None
    keep_daemons: bool = False
    resources: Resources = field(default_factory=Resources)
    vector_units: tuple[str, ...] = ()
    """The vector units of the host that planned; empty: they do not matter."""
    setup: str = ""
    """A command for the shell that makes the environment, at the checkout's root."""
    wrapper: str = ""
    """What a shell reads before each command, such as `apptainer exec $DVC_ROOT/image.sif`."""
    cache: int | None = None
    """Bytes that the host may keep of what it has fetched and made; None: all."""

    @property
    def key(self) -> str:
        """What is the same of two orders that ask for the same work."""
        same = {**_fields(self), "token": "", "attempt": 0}
        return hashlib.sha256(json.dumps(same, default=_fields, sort_keys=True).encode()).hexdigest()

    def to_json(self) -> str:
        """The order as it is written."""
        return json.dumps({"version": VERSION, **_fields(self)}, default=_fields)

    @classmethod
    def from_json(cls, text: str) -> Order:
        """The order as it was written.

        Raises:
            ValueError: It is none, or one of another version.

        """
        return _read(_ORDERS, text)


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """How an attempt ended. It is written once all that it names is stored."""

    token: str
    host: str
    result: StageResult
    outs: Mapping[str, Blob] = field(default_factory=dict)
    inline: Mapping[str, str] = field(default_factory=dict)
    """The contents, in base64, of small outs that DVC does not cache."""
    vector_units: tuple[str, ...] = ()
    fetched: int = 0
    """The bytes that the host fetched."""
    stored: int = 0
    """The bytes that the host stored: what it has made, as far as the storage lacked it."""

    def to_json(self) -> str:
        """The record as it is written."""
        return json.dumps({"version": VERSION, **_fields(self)}, default=_fields)

    @classmethod
    def from_json(cls, text: str) -> Record:
        """The record as it was written.

        Raises:
            ValueError: It is none, or one of another version.

        """
        return _read(_RECORDS, text)


def _fields(one: Any) -> dict[str, Any]:
    """What a dataclass holds, by name."""
    return {field.name: getattr(one, field.name) for field in dataclasses.fields(one)}


_ORDERS = TypeAdapter(Order)
_RECORDS = TypeAdapter(Record)


def _read(kind: TypeAdapter[Written], text: str) -> Written:
    """What was written as JSON, each value of its type: another host wrote it.

    Raises:
        ValueError: It is something else, or of another version.

    """
    try:
        held = json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(held, dict) or held.pop("version", None) != VERSION:
        raise ValueError("written by another version of darkroom: install the same one on all hosts")
    try:
        return kind.validate_python(held)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"no {error.title.lower()}: {where}: {first['msg']}") from error


VECTOR_UNITS = ("avx", "amx", "asimd", "fma", "neon", "sse4", "sve")
"""The beginnings of a processor's flags that change how sums are rounded."""


def vector_units(cpu_info: Path = Path("/proc/cpuinfo")) -> tuple[str, ...]:
    """The vector units of this host's processor, sorted; empty where it does not say."""
    try:
        lines = cpu_info.read_text().splitlines()
    except OSError:
        return ()
    flags = next((line for line in lines if line.partition(":")[0].strip() in ("flags", "Features")), "")
    return tuple(sorted({flag for flag in flags.partition(":")[2].split() if flag.startswith(VECTOR_UNITS)}))
