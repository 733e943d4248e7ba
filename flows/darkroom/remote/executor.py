"""The `Executor` of a run whose stages run here and on hosts of pools."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from darkroom.base.errors import DarkroomError, explain_os_error
from darkroom.base.files import STATE_FOLDER
from darkroom.exchange.board import Board
from darkroom.exchange.code import push_commit
from darkroom.exchange.orders import Order, Record, new_run, new_token, vector_units
from darkroom.exchange.storages import check_storage
from darkroom.processes import stage_process
from darkroom.processes.stage_process import Ending, StageFiles, StageJob, StageResult
from darkroom.remote.attempt import Carrier, Notes, Offers, RemoteAttempt
from darkroom.remote.capacity import Claims, PooledCapacity
from darkroom.remote.following import FollowedOutput, Story, refused_by
from darkroom.remote.pools import Pools, PoolSettings, pools_of
from darkroom.remote.slurm import Slurm
from darkroom.repository.blobs import Blob, BlobGoneError, BlobStore, make_executable, remove_path
from darkroom.repository.filesystems import is_outage
from darkroom.runs.local_executor import LocalExecutor
from darkroom.schedule.executor import Ended
from darkroom.schedule.plan import Node
from darkroom.schedule.pool import THREAD_VARIABLES

NOTES = "attempts"

OUTAGE_SECONDS = 2.0
"""Between two tries to reach a storage that does not answer."""

Answer = TypeVar("Answer")


class PooledExecutor:
    """Executes a stage on this host, or has a host of the stage's pool execute it."""

    def __init__(self, root: Path, pools: Pools) -> None:
        self._threads = LocalExecutor(self._run)
        self._root, self._pools = root, pools
        self._name = new_run()
        self._storage = pools.storage
        self._board = Board(self._storage)
        self._notes = Notes(root / STATE_FOLDER / NOTES)
        self._carriers: dict[str, Carrier] = {
            name: self._carrier(name, settings) for name, settings in pools.file.pools.items()
        }
        self._claims = Claims(
            [name for name, settings in pools.file.pools.items() if settings.kind == "workers"]
        )
        self._pushing = threading.Lock()
        self._pushed: tuple[str, str] | None = None

    def capacity(self, nodes: Sequence[Node], jobs: int | None) -> PooledCapacity:
        """The capacity of this host and the pools.

        Raises:
            MetaError: A stage that runs here asks for more memory than the host has.
            UsageError: The storage cannot be used.

        """
        check_storage(self._storage)
        slots = {name: settings.jobs for name, settings in self._pools.file.pools.items()}
        return PooledCapacity.for_stages(nodes, jobs, slots, self._claims)

    def launch(self, job: StageJob) -> None:
        """Start a thread that executes the job, or watches over the host that does."""
        self._threads.launch(job)

    def finished(self, wait: float) -> Ended | None:
        """The next stage whose thread is done."""
        return self._threads.finished(wait)

    def is_busy(self) -> bool:
        """Whether a job is still executed, here or elsewhere."""
        return self._threads.is_busy()

    def join(self) -> None:
        """Return when every job has ended, or its host has been given up."""
        self._threads.join()

    def _carrier(self, name: str, settings: PoolSettings) -> Carrier:
        if settings.kind == "slurm":
            return Slurm(settings, self._storage)
        return Offers(self._board, name)

    def _run(self, job: StageJob) -> StageResult:
        pool = job.meta.resources.pool
        if pool is None:
            return stage_process.execute(job)
        assert job.files is not None
        if job.meta.changes_deps:
            return _failed(
                f"{job.name} changes what it depends on (changes_deps): run it here, without a pool"
            )
        if job.files.outside:
            outside = job.files.outside[0]
            return _failed(f"{outside} is outside of the repository: no other host has it; run it here")
        try:
            return self._run_elsewhere(job, job.files, pool)
        except DarkroomError as error:
            return _failed(str(error))

    def _run_elsewhere(self, job: StageJob, files: StageFiles, pool: str) -> StageResult:
        blobs = self._waiting(job, self._storage.blobs)
        order = self._waiting(job, lambda: self._order(job, files, pool, blobs))
        attempt = RemoteAttempt(
            order, self._board, self._carriers[pool], self._notes, self._pools.file.lost_after
        )
        story = Story(job, blobs.written)
        story.tell("submitted")
        left = False
        try:
            with (
                self._claims.of_attempt(job.meta.resources) as claim,
                contextlib.closing(FollowedOutput(job, self._board, pool, story)) as output,
            ):
                while (ended := self._step(attempt, job)) is None:
                    if attempt.seen and attempt.seen.host:
                        claim()
                    output.follow(attempt)
                    job.stop_now.wait(self._storage.look_seconds)
                output.follow(attempt)
                last_lines = output.last_lines
            if isinstance(ended, Record):
                left = True
                result, received = self._waiting(job, lambda: self._taken_over(ended, job, files, blobs))
                left = False
                story.end(result, ended, received)
                return result
            story.end(ended)
            if ended.ending is Ending.LOST:
                self._take_checkpoints(attempt, files, blobs)
            return replace(ended, last_lines=last_lines)
        finally:
            if not left:  # else the next run takes its result over
                attempt.close()

    def _waiting(self, job: StageJob, work: Callable[[], Answer]) -> Answer:
        """Do it, again and again where the storage does not answer, until told to stop.

        Raises:
            OSError: It is no outage of the storage, or the run is to end.

        """
        remarked = False
        while True:
            try:
                return work()
            except OSError as error:
                if not is_outage(error) or job.stop.is_set() or job.stop_now.is_set():
                    raise
                if not remarked:
                    job.on_line(f"darkroom: waits for the storage: {explain_os_error(error)}")
                remarked = True
            job.stop.wait(OUTAGE_SECONDS)

    def _step(self, attempt: RemoteAttempt, job: StageJob) -> Record | StageResult | None:
        return attempt.step(time.monotonic(), stop=job.stop.is_set(), stop_now=job.stop_now.is_set())

    def _order(self, job: StageJob, files: StageFiles, pool: str, blobs: BlobStore) -> Order:
        commit, folder = self._commit()
        root, settings, meta = files.root, self._pools.file.pools[pool], job.meta
        checkpoints = self._checkpoints(job, files)
        carried = [path for path in (*files.deps, *files.kept, *checkpoints) if (root / path).exists()]
        wanted = {"DVC_STAGE", "DVC_EXP_NAME", *THREAD_VARIABLES}
        return Order(
            token=new_token(job.rank, self._name),
            stage=job.name,
            attempt=job.attempt,
            revision=commit,
            code=self._pools.code,
            folder=folder,
            cwd=job.cwd.relative_to(root).as_posix(),
            commands=job.commands,
            env={name: value for name, value in job.env.items() if name in wanted},
            deps={path: blobs.put(root / path) for path in dict.fromkeys(carried)},
            outs=files.outs,
            uncached=files.uncached,
            kept=files.kept,
            checkpoints=checkpoints,
            timeout=meta.timeout,
            keep_daemons=meta.keep_daemons,
            resources=meta.resources,
            vector_units=vector_units() if meta.same_processor else (),
            setup=settings.setup,
            wrapper=settings.wrapper,
            cache=settings.cache,
        )

    def _checkpoints(self, job: StageJob, files: StageFiles) -> tuple[str, ...]:
        """The stage's checkpoints, from the repository's root."""
        below = job.cwd.relative_to(files.root)
        return tuple((below / path).as_posix() for path in job.meta.checkpoints)

    def _commit(self) -> tuple[str, str]:
        """The commit of this run, pushed once."""
        with self._pushing:
            if self._pushed is None:
                self._pushed = push_commit(self._root, self._pools.code)
            return self._pushed

    def _take_checkpoints(self, attempt: RemoteAttempt, files: StageFiles, blobs: BlobStore) -> None:
        """Put the last checkpoints of a lost host where the next attempt takes them from."""
        with contextlib.suppress(OSError, ValueError):  # without one it begins anew
            for path, blob in self._board.checkpoints(attempt.order.token).items():
                if path in attempt.order.checkpoints:
                    blobs.place(blob, files.root / path)

    def _taken_over(
        self, record: Record, job: StageJob, files: StageFiles, blobs: BlobStore
    ) -> tuple[StageResult, int]:
        """Put what the attempt has made where the stage would have; how it ended, and the bytes received."""
        result, received = record.result, 0
        expected = {*files.outs, *self._checkpoints(job, files)}  # nothing else may a host put here
        try:
            for path, blob in record.outs.items():
                if path not in expected:
                    continue
                remove_path(files.root / path)
                if path in record.inline:
                    (files.root / path).parent.mkdir(parents=True, exist_ok=True)
                    content = _content(record.inline[path], blob)
                    (files.root / path).write_bytes(content)
                    if blob.executable:
                        make_executable(files.root / path)
                    received += len(content)
                else:
                    received += blobs.place(blob, files.root / path)
        except BlobGoneError as error:
            return StageResult(ending=Ending.LOST, error=f"its result is lost: {error}"), received
        if result.ending is Ending.STOPPED and not (job.stop.is_set() or job.stop_now.is_set()):
            return replace(result, ending=Ending.LOST, error=f"host {record.host} was shut down"), received
        return result, received


@dataclass(frozen=True, slots=True)
class StageElsewhere:
    """A stage of this clone that other hosts execute, or are to."""

    stage: str
    pool: str
    attempt: int
    host: str | None
    """Who executes it; None: it waits for a host."""
    refusals: tuple[str, ...] = ()
    """Why hosts that have looked at it can never execute it, one line each."""

    def describe(self) -> str:
        """Say in words where the attempt is."""
        attempt = f", attempt {self.attempt}" if self.attempt > 1 else ""
        if self.host is None:
            refused = "".join(f"; {why}" for why in self.refusals)
            return f"{self.stage} waits for a host of pool {self.pool}{attempt}{refused}"
        return f"{self.stage} runs on host {self.host} of pool {self.pool}{attempt}"


def stages_elsewhere(root: Path) -> tuple[StageElsewhere, ...]:
    """The stages of the clone at `root` that are with other hosts now.

    Raises:
        UsageError: .darkroom/pools.yaml is wrong.

    """
    if (pools := pools_of(root)) is None:
        return ()
    tokens = Notes(root / STATE_FOLDER / NOTES).tokens()
    return tuple(
        StageElsewhere(
            order.stage,
            order.resources.pool or "",
            order.attempt,
            seen.host,
            tuple(refused_by(host, order.resources.pool or "", why) for host, why in seen.refusals.items()),
        )
        for order, seen in Board(pools.storage).under_way(tokens)
        if seen.record is None
    )


def _content(inline: str, blob: Blob) -> bytes:
    """The content that stands in a record.

    Raises:
        BlobGoneError: It is not what the record says.

    """
    try:
        content = base64.b64decode(inline, validate=True)
    except ValueError as error:
        raise BlobGoneError(f"its record cannot be read: {error}") from error
    if hashlib.md5(content, usedforsecurity=False).hexdigest() != blob.md5:
        raise BlobGoneError(f"{blob.md5} is damaged in its record")
    return content


def _failed(why: str) -> StageResult:
    return StageResult(ending=Ending.FAILED, error=why)
