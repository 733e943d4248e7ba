"""What must hold in a repository whenever no run is at work, and at the end; hashed here, not by DVC.

Each check yields findings; none is what should be found.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.darkroom.repositories import contents
from tests.faults.repository import BIN, Start, read_lock

CORRUPT = "corrupt outs committed"
ORPHAN = "orphan processes"
DAEMON = "daemons of a run before"
LEAKED = "leases leaked"
UNREADABLE = "unreadable locks"
AGAIN = "finished stages run again"
WRONG_LOCK = "dvc.lock with what no undisturbed run records"
WRONG_END = "wrong end states"
CONFLICT = "two writers on an out, or on a device"
STUCK = "runs that did not end"
UNFINISHED = "undisturbed runs that did not finish the rest"
KINDS = (
    CORRUPT,
    ORPHAN,
    DAEMON,
    LEAKED,
    UNREADABLE,
    AGAIN,
    WRONG_LOCK,
    WRONG_END,
    CONFLICT,
    STUCK,
    UNFINISHED,
)

Entries = Mapping[str, Any]
"""The stages of a dvc.lock."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that must never be."""

    kind: str
    what: str


def finished(entries: Entries, undisturbed: Entries) -> set[str]:
    """The stages that are recorded as an undisturbed run records them."""
    return {name for name, entry in entries.items() if undisturbed.get(name) == entry}


def at_rest(root: Path, start: Start) -> Iterator[Finding]:
    """What must hold after any run, however it went."""
    try:
        entries = read_lock(root)
    except ValueError as error:
        yield Finding(UNREADABLE, str(error))
        return
    undisturbed = start.lock_after()
    yield from wrong_entries(entries, start.lock_before(), undisturbed)
    done = finished(entries, undisturbed)
    for name, entry in entries.items():
        for out in entry.get("outs", ()):
            # the outs of an outdated stage are removed before it runs, and lost ones are not yet restored
            whole = name in done and name not in start.lost
            yield from corrupt(root, name, out, in_workspace=whole)


def wrong_entries(entries: Entries, before: Entries, undisturbed: Entries) -> Iterator[Finding]:
    """Entries are of before or of the end; those of the end come after what they need, in the end's order."""
    for name, entry in entries.items():
        if entry not in (undisturbed.get(name), before.get(name)):
            yield Finding(WRONG_LOCK, f"{name}: {json.dumps(entry)}")
    done = finished(entries, undisturbed)
    makers = {out["path"]: name for name, entry in undisturbed.items() for out in entry.get("outs", ())}
    for name in sorted(done):
        needs = {makers[dep["path"]] for dep in undisturbed[name]["deps"] if dep["path"] in makers}
        if missing := sorted(needs - done):
            yield Finding(WRONG_LOCK, f"{name} is recorded, {', '.join(missing)} that it needs not")
    if list(entries) != [name for name in undisturbed if name in entries]:
        yield Finding(WRONG_LOCK, f"order {list(entries)}")


def corrupt(root: Path, stage: str, out: Mapping[str, Any], *, in_workspace: bool) -> Iterator[Finding]:
    """A recorded out whose content, in the cache or the workspace, is not what its hash says."""
    path, recorded = root / out["path"], out["md5"]
    small = path.parent.name == "metrics"  # `cache: false`
    if not small and (wrong := wrong_in_cache(root / ".dvc/cache/files/md5", recorded)):
        yield Finding(CORRUPT, f"{stage}: {out['path']}: in the cache {wrong}")
    if in_workspace and content_hash(path) != recorded:
        yield Finding(CORRUPT, f"{stage}: {out['path']}: the workspace's content is not the recorded one")


def wrong_in_cache(cache: Path, recorded: str) -> str | None:
    """Which of a recorded out's cache files is missing or has other content."""
    path = cache / recorded[:2] / recorded[2:]
    if not path.exists():
        return f"{recorded} is missing"
    data = path.read_bytes()
    if md5(data) != recorded.removesuffix(".dir"):
        return f"{recorded} has other content"
    if not recorded.endswith(".dir"):
        return None
    parts = (wrong_in_cache(cache, part["md5"]) for part in json.loads(data))
    return next(filter(None, parts), None)


def content_hash(path: Path) -> str | None:
    """The hash that DVC's format has for a file or a folder; None where there is neither."""
    if path.is_file():
        return md5(path.read_bytes())
    if not path.is_dir():
        return None
    parts = [
        {"md5": md5(file.read_bytes()), "relpath": file.relative_to(path).as_posix()}
        for file in path.rglob("*")
        if file.is_file()
    ]
    parts.sort(key=lambda part: part["relpath"])
    return md5(json.dumps(parts, sort_keys=True).encode()) + ".dir"


def md5(data: bytes) -> str:
    """In hex digits."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def unreadable(root: Path, env: Mapping[str, str]) -> Iterator[Finding]:
    """DVC's own lock files, read here and by `dvc status`."""
    path = root / ".dvc/tmp/rwlock"
    try:
        json.loads(path.read_text())
    except FileNotFoundError:
        pass
    except ValueError:
        yield Finding(UNREADABLE, f"{path}: {path.read_bytes()[:200]!r}")
    status = subprocess.run(
        [BIN / "dvc", "status", "--json"], cwd=root, env=env, capture_output=True, text=True, check=False
    )
    if status.returncode:
        yield Finding(UNREADABLE, f"dvc status: {status.stderr.strip()}")


def wrong_end(root: Path, start: Start) -> Iterator[Finding]:
    """Every file of the repository, the cache's too, against the undisturbed end."""
    wanted, found = contents(start.after), contents(root)
    for name in sorted({*wanted, *found}):
        if wanted.get(name) != found.get(name):
            how = "missing" if name not in found else "not to be there" if name not in wanted else "different"
            yield Finding(WRONG_END, f"{name}: {how}")
