"""One attempt on its host: it is claimed, checked out, executed in a folder of its own, and handed in."""

from __future__ import annotations

import base64
import contextlib
import functools
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from darkroom.base.errors import DarkroomError, explain_os_error
from darkroom.base.git import GitError
from darkroom.base.meta import StageMeta
from darkroom.clones.checkout import bring_to_newest
from darkroom.exchange.board import Board
from darkroom.exchange.code import revision_name
from darkroom.exchange.orders import INLINE_BYTES, Order, Record, vector_units
from darkroom.exchange.printed import PrintedWriter
from darkroom.hosting.place import HostPlace, host_name
from darkroom.processes import stage_process
from darkroom.processes.stage_process import Ending, StageJob, StageResult
from darkroom.repository.blobs import (
    Blob,
    BlobGoneError,
    BlobStore,
    UnfitError,
    blob_of_file,
    prune_folder,
    remove_path,
)
from darkroom.repository.filesystems import is_outage

BEAT_SECONDS = 2.0
CHECKPOINT_SECONDS = 5.0
"""Between two looks for a new checkpoint of the stage."""

PATIENCE_SECONDS = 900.0
"""The time for which a host tries to reach the storage once more, before it gives a result up."""

LONGEST_WAIT_SECONDS = 30.0

Say = Callable[[str], None]
Answer = TypeVar("Answer")


def execute_claimed(
    place: HostPlace,
    order: Order,
    env: Mapping[str, str],
    descriptors: tuple[int, ...],
    stop: threading.Event,
    say: Say,
) -> bool:
    """Execute an attempt that this host has claimed, and hand its record in. False: nobody waits for it.

    `env` is what the host adds for its leases, `descriptors` are their locks. `stop` ends the stage.
    """
    folder = place.attempts / order.token
    log = folder.with_suffix(".log")
    printed = PrintedWriter(place.board, order.token, log)
    orders = _Orders(place.board, order.token, stop, printed)
    checkpoints = _Checkpoints(place, order, folder / order.folder)
    try:
        with place.held(order.token), orders.followed(), checkpoints.kept():
            record = _record(place, order, folder, env, descriptors, orders, log, say)
            if orders.revoked.is_set():
                say(f"{order.stage}: given up by its run: its result is not handed in")
                return False
            _patiently(orders.carry, f"{order.stage}: output", say)
            handed_in = _patiently(lambda: place.board.hand_in(record), f"{order.stage}: record", say)
        if not handed_in:
            say(f"{order.stage}: given up by its run: its result is refused")
        return handed_in
    finally:
        if order.cache is not None:
            prune_folder(place.folder / "cache", order.cache)


class _Orders:
    """What the run still wants of the attempt, seen by a thread that also shows that the host lives."""

    def __init__(self, board: Board, token: str, stop: threading.Event, printed: PrintedWriter) -> None:
        self._board, self._token, self._host_stop = board, token, stop
        self._printed, self._carrying = printed, threading.Lock()
        self.stop, self.stop_now, self.revoked = threading.Event(), threading.Event(), threading.Event()
        self._done = threading.Event()

    @contextlib.contextmanager
    def followed(self) -> Iterator[None]:
        """Follow them in the meantime."""
        thread = threading.Thread(target=self._follow, name=f"beat {self._token}", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._done.set()
            thread.join()

    def _follow(self) -> None:
        number, due = 0, 0.0
        while not self._done.is_set():
            with contextlib.suppress(OSError):  # the storage cannot be reached: the stage goes on
                self._look()
                if time.monotonic() >= due and not self.revoked.is_set():
                    self._board.beat(self._token, number)
                    number, due = number + 1, time.monotonic() + BEAT_SECONDS
                if not self.revoked.is_set():
                    self.carry()
            if self._host_stop.is_set():
                self.stop.set()
            self._done.wait(self._board.storage.look_seconds)

    def carry(self) -> None:
        """Carry what the stage has printed to the run.

        Raises:
            OSError: The storage cannot be reached.

        """
        with self._carrying:
            self._printed.carry()

    def _look(self) -> None:
        wishes = self._board.wishes(self._token)
        if not wishes.current:
            self.revoked.set()
        if wishes.stop:
            self.stop.set()
        if wishes.stop_now or not wishes.current:
            self.stop_now.set()


class _Checkpoints:
    """Stores a stage's checkpoints while it runs, in a thread: another host may have to go on from them."""

    def __init__(self, place: HostPlace, order: Order, root: Path) -> None:
        self._place, self._order, self._root = place, order, root
        self._done = threading.Event()
        self._kept: dict[str, tuple[int, int]] = {}
        self._blobs: dict[str, Blob] = {}

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        """Keep them in the meantime."""
        if not self._order.checkpoints:
            yield
            return
        thread = threading.Thread(target=self._keep, name=f"checkpoints {self._order.token}", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._done.set()
            thread.join()

    def _keep(self) -> None:
        while not self._done.wait(CHECKPOINT_SECONDS):
            with contextlib.suppress(OSError):  # none yet, or the storage is away: at the next look
                if self._keep_new():
                    self._place.board.keep_checkpoints(self._order.token, self._blobs)

    def _keep_new(self) -> bool:
        """Store those that are others than at the last look. False: there are none."""
        new = False
        for path in self._order.checkpoints:
            file = self._root / path
            if not file.is_file():
                continue
            state = file.stat()
            if self._kept.get(path) != (state.st_mtime_ns, state.st_ino):
                held = self._place.attempts / f"{self._order.token}.{secrets.token_hex(4)}"
                self._blobs[path] = self._place.blobs.put_replaced(file, held)  # an out may be a folder
                self._kept[path] = (state.st_mtime_ns, state.st_ino)
                new = True
        return new


def _record(
    place: HostPlace,
    order: Order,
    folder: Path,
    env: Mapping[str, str],
    descriptors: tuple[int, ...],
    orders: _Orders,
    log: Path,
    say: Say,
) -> Record:
    units = vector_units()
    record = Record(token=order.token, host=host_name(), result=_failed(""), vector_units=units)
    if order.vector_units and order.vector_units != units:
        return replace(record, result=_failed(_other_units(order.vector_units, units)))
    try:
        root = _checked_out(order, folder)
        fetched = _fetched(place, order, root, orders, say)
    except BlobGoneError as error:
        return replace(record, result=StageResult(ending=Ending.LOST, error=str(error)))
    except GitError as error:  # another host may reach the repository that this one cannot
        return replace(record, result=StageResult(ending=Ending.LOST, error=f"host {host_name()}: {error}"))
    except DarkroomError as error:
        return replace(record, result=_failed(f"host {host_name()}: {error}"))
    except OSError as error:
        return replace(record, result=_failed(f"host {host_name()}: {explain_os_error(error)}"))
    record = replace(record, fetched=fetched)
    job = _job(order, root, env, descriptors, orders, log)
    try:
        result = _set_up(order, root, job) or stage_process.execute(job)
    except OSError as error:
        return replace(record, result=_failed(f"host {host_name()}: {explain_os_error(error)}"))
    record = replace(record, result=result)
    if not result.well:
        with contextlib.suppress(OSError):  # a later attempt begins anew then
            return replace(record, outs=_stored(place.blobs, root, order.checkpoints))
        return record
    if missing := [path for path in order.outs if not os.path.lexists(root / path)]:
        return replace(
            record, result=replace(result, ending=Ending.FAILED, error=f"has not made {missing[0]}")
        )
    blobs = place.blobs
    try:
        record = _patiently(lambda: _with_outs(record, blobs, root, order), f"{order.stage}: outs", say)
    except UnfitError as error:
        return replace(record, result=_failed(f"host {host_name()}: {explain_os_error(error)}"))
    with contextlib.suppress(OSError):  # the stages after it may run here: then nothing is fetched
        _stored(place.cache, root, tuple(path for path in order.outs if path not in record.inline))
    return record


def _with_outs(record: Record, blobs: BlobStore, root: Path, order: Order) -> Record:
    """The record with what the stage has made, all of it stored but what stands in the record itself."""
    small = [path for path in order.uncached if _is_small(root / path)]
    outs = {path: blob_of_file(root / path) for path in small}
    inline = {path: base64.b64encode((root / path).read_bytes()).decode() for path in small}
    outs |= _stored(blobs, root, tuple(path for path in order.outs if path not in inline))
    return replace(record, outs=outs, inline=inline, stored=blobs.written)


def _is_small(file: Path) -> bool:
    return file.is_file() and file.stat().st_size <= INLINE_BYTES


def _stored(blobs: BlobStore, root: Path, paths: tuple[str, ...]) -> dict[str, Blob]:
    return {path: blobs.put(root / path) for path in paths if (root / path).exists()}


def _checked_out(order: Order, folder: Path) -> Path:
    """Check the commit out, and make room for the outs; DVC's root."""
    folder.mkdir(parents=True)
    bring_to_newest(folder, order.code, revision_name(order.revision))
    root = folder / order.folder
    for path in order.outs:
        remove_path(root / path)
        (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / order.cwd).mkdir(parents=True, exist_ok=True)
    return root


def _fetched(place: HostPlace, order: Order, root: Path, orders: _Orders, say: Say) -> int:
    """Fetch what the stage needs; the bytes that were fetched."""

    def may_wait(error: OSError) -> bool:
        return is_outage(error) and not orders.stop.is_set() and not orders.stop_now.is_set()

    fetched = 0
    for path, blob in order.deps.items():
        remove_path(root / path)
        place_it = functools.partial(place.blobs.place, blob, root / path, place.cache)
        fetched += _patiently(place_it, f"{order.stage}: {path}", say, may_wait)
    return fetched


def _job(
    order: Order,
    root: Path,
    env: Mapping[str, str],
    descriptors: tuple[int, ...],
    orders: _Orders,
    log: Path,
) -> StageJob:
    return StageJob(
        name=order.stage,
        commands=tuple(_wrapped(order.wrapper, command) for command in order.commands),
        cwd=root / order.cwd,
        env={**os.environ, **order.env, **env, "DVC_ROOT": str(root)},
        descriptors=descriptors,
        attempt=order.attempt,
        meta=StageMeta(timeout=order.timeout, keep_daemons=order.keep_daemons),
        log=log,
        stop=orders.stop,
        stop_now=orders.stop_now,
    )


def _wrapped(wrapper: str, command: tuple[str, ...]) -> tuple[str, ...]:
    """The command with the wrapper before it, in which a shell puts in variables of the stage."""
    return ("/bin/sh", "-c", f'exec {wrapper} "$@"', "sh", *command) if wrapper else command


def _set_up(order: Order, root: Path, job: StageJob) -> StageResult | None:
    """Make the environment, at the checkout's root; None: it is there.

    The stage's time limit is none of this: building an environment is not the stage's work.
    """
    if not order.setup:
        return None
    shell = ("/bin/sh", "-c", order.setup)
    result = stage_process.execute(replace(job, commands=(shell,), cwd=root, meta=StageMeta()))
    if result.well:
        return None
    said = f"`{order.setup}` (setup of its pool) {result.describe()}"
    return replace(result, error=f"host {host_name()}: {said}")


def _may_wait(error: OSError) -> bool:
    """Whether to try again what must not be lost: a storage that is full may have room later."""
    return not isinstance(error, UnfitError)


def _patiently(
    work: Callable[[], Answer], what: str, say: Say, may_wait: Callable[[OSError], bool] = _may_wait
) -> Answer:
    """Do it, once more after a while where the storage cannot be reached.

    Raises:
        OSError: It could not be reached for PATIENCE_SECONDS, or is nothing to wait for.

    """
    until, wait = time.monotonic() + PATIENCE_SECONDS, 1.0
    while True:
        try:
            return work()
        except OSError as error:
            if time.monotonic() >= until or not may_wait(error):
                raise
            say(f"{what}: {explain_os_error(error)}: tried again in {wait:.0f} s")
            time.sleep(wait)
            wait = min(2 * wait, LONGEST_WAIT_SECONDS)


def _failed(why: str) -> StageResult:
    return StageResult(ending=Ending.FAILED, error=why)


def _other_units(planned: tuple[str, ...], here: tuple[str, ...]) -> str:
    lacks, has = sorted(set(planned) - set(here)), sorted(set(here) - set(planned))
    words = [f"lacks {', '.join(lacks[:3])}"] if lacks else []
    words += [f"has {', '.join(has[:3])} beside"] if has else []
    return (
        f"host {host_name()} {' and '.join(words)}, unlike the host that planned, and the stage's result"
        " depends on it (same_processor in dvc.yaml); plan on such a host, or choose a pool of like ones"
    )
