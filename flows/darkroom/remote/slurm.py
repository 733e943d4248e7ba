"""Attempts as jobs of a Slurm cluster, by its own commands: sbatch, squeue, scancel, and sacct if it answers.

A job's name holds the attempt's token, so that a submit whose answer was lost is found before it is tried
again. What the cluster says of a job ends no attempt that has a record, and silence of the cluster says
nothing at all. Jobs are never requeued: another attempt has another token.
"""

from __future__ import annotations

import math
import shlex
import shutil
import subprocess
import threading
import time
from pathlib import Path

from darkroom.base import interpreter
from darkroom.base.errors import DarkroomError
from darkroom.exchange.orders import Order
from darkroom.exchange.storages import FolderStorage, Storage
from darkroom.remote.attempt import Carried
from darkroom.remote.pools import PoolSettings

COMMAND_SECONDS = 60.0
QUEUE_SECONDS = 3.0
"""Between two questions for the queue, which are for all jobs of the run at once."""

NAME = "darkroom-"
MODULE = "darkroom.hosting.cluster_job"


NEVER = (
    "configuration is not available",
    "Memory specification can not be satisfied",
    "Invalid generic resource",
    "invalid partition",
    "Invalid account",
    "unrecognized option",
    "invalid option",
)
"""The words with which `sbatch` refuses what it would refuse tomorrow, too."""


class SlurmError(OSError):
    """A command of Slurm's fails: nothing is known then."""


class RefusedError(DarkroomError):
    """The cluster has no place for such a job, and will have none."""


class Slurm:
    """The carrier of one pool of kind `slurm`."""

    def __init__(self, settings: PoolSettings, storage: Storage) -> None:
        self._settings, self._storage = settings, storage
        self._lock = threading.Lock()
        self._names: frozenset[str] = frozenset()
        self._asked = float("-inf")
        self._submitted: dict[str, float] = {}
        self._missed: dict[str, float] = {}

    def submit(self, order: Order) -> None:
        """Submit a job, unless the queue or the accounting knows one of that name.

        Raises:
            RefusedError: The cluster can never execute it.
            SlurmError: Nothing is known.

        """
        if shutil.which("sbatch") is None:
            raise RefusedError(
                "sbatch is not installed here: start the run on a login node of the cluster, or choose"
                " another pool in .darkroom/pools.yaml"
            )
        name = job_name(order.token)
        if name not in self._queue(anew=True) and not _accounted(name):
            folder = self._storage.folder if isinstance(self._storage, FolderStorage) else None
            options = submit_options(order, self._settings, folder)
            try:
                _ask("sbatch", *options, given=self._script(order))
            except SlurmError as error:
                if any(words in str(error) for words in NEVER):
                    mend = "see resources in dvc.yaml, and partition and options in .darkroom/pools.yaml"
                    raise RefusedError(f"{error}; {mend}") from error
                raise
        self._submitted[order.token] = time.monotonic()

    def state(self, token: str) -> Carried:
        """Whether the queue has the job. A job that was just submitted may not be there yet.

        Each answer of the queue says once that a job is gone: who looks more often than the queue is asked
        must not take one wrong answer for several.
        """
        names = self._queue()
        if job_name(token) in names:
            return Carried.THERE
        if self._asked <= max(self._submitted.get(token, 0.0), self._missed.get(token, 0.0)):
            return Carried.NO_NEWS
        self._missed[token] = self._asked
        return Carried.GONE

    def cancel(self, token: str) -> None:
        """Cancel the job, whichever number it has."""
        _ask("scancel", "--quiet", f"--name={job_name(token)}")

    def _queue(self, *, anew: bool = False) -> frozenset[str]:
        """The names of this user's jobs that wait or run."""
        with self._lock:
            if anew or time.monotonic() >= self._asked + QUEUE_SECONDS:
                said = _ask("squeue", "--me", "--noheader", "--format=%j")
                self._names, self._asked = frozenset(said.split()), time.monotonic()
            return self._names

    def _script(self, order: Order) -> str:
        words = interpreter.python_command(MODULE, self._storage.address, order.token)
        if self._settings.python:
            words = [self._settings.python, "-m", MODULE, self._storage.address, order.token]
        return f"#!/bin/sh\nexec {shlex.join(words)}\n"


def job_name(token: str) -> str:
    """What the job of an attempt is called."""
    return f"{NAME}{token}"


def submit_options(order: Order, settings: PoolSettings, storage: Path | None) -> list[str]:
    """The options of sbatch for an attempt: a stage's resources become the job's requests.

    `storage` is the folder for what the job itself prints; None: that is not kept.
    """
    wanted = order.resources
    options = [f"--job-name={job_name(order.token)}", "--no-requeue", f"--comment={order.stage}"]
    log = storage / "attempts" / order.token / "job.log" if storage else "/dev/null"
    options += [f"--output={log}", "--open-mode=append"]
    options += [f"--partition={settings.partition}"] if settings.partition else []
    options += [f"--cpus-per-task={wanted.cpu}"] if wanted.cpu else []
    options += [f"--mem={math.ceil(wanted.memory / 2**20)}M"] if wanted.memory else []
    options += [f"--gres=gpu:{wanted.gpu}"] if wanted.gpu else []
    if order.timeout:  # Slurm counts whole minutes; the stage's own limit ends it before
        options.append(f"--time={math.ceil(order.timeout / 60) + 5}")
    return [*options, *settings.options]


def _accounted(name: str) -> bool:
    """Whether the accounting knows a job of that name; often there is none, and then it is not asked."""
    try:
        return bool(_ask("sacct", "--noheader", "--parsable2", "--format=JobID", f"--name={name}").strip())
    except OSError:
        return False


def _ask(command: str, *words: str, given: str = "") -> str:
    """What a command of Slurm's prints.

    Raises:
        SlurmError: It fails, or does not answer.

    """
    try:
        done = subprocess.run(
            [command, *words],
            input=given,
            capture_output=True,
            encoding="utf-8",
            errors="replace",  # other jobs of the user may be called anything
            check=False,
            timeout=COMMAND_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise SlurmError(f"{command}: no answer in {COMMAND_SECONDS:.0f} s") from error
    if done.returncode:
        raise SlurmError(f"{command}: {' '.join(done.stderr.split()) or f'exit code {done.returncode}'}")
    return done.stdout
