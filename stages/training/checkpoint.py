"""Checkpoints, with which a training that is killed at any step ends in the bytes of an uninterrupted one.

A checkpoint holds everything that the next step reads: networks, optimizers, schedules, averages, every
random generator, and the `TrainingState`, which the loop uses instead of local variables. It is used only if
nothing that decides the result has changed (`decisive`).

The file has a SHA-256 of the rest, a line of JSON (key, epoch, step), and the state as torch.save writes it.
It is read with weights_only, which runs no code. torch.save keeps strides and safetensors does not: with
other strides torch chooses other kernels, and these give other bits.
"""

import hashlib
import io
import json
import pickle
import platform
import signal
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import torch
from tqdm import tqdm

import stages
from stages.core.errors import TrainingError
from stages.core.files import remove_leftovers, write_atomically
from stages.core.params import StageParams
from stages.networks.compute import Compute
from stages.training.state import Generators, Part, TrainingState

Batch = TypeVar("Batch")

SIGNALS = (signal.SIGTERM, signal.SIGINT)


def decisive(
    *, data: Path, params: Iterable[StageParams], libraries: Mapping[str, str], compute: Compute
) -> dict[str, str]:
    """Everything that decides a training's result. A checkpoint with any difference is not used.

    Call it when all modules are imported: it includes the code of every imported module of `stages`.
    """
    files = {getattr(module, "__dict__", {}).get("__file__") for module in list(sys.modules.values())}
    package = Path(stages.__file__).parent
    sources = [path for file in files if file and (path := Path(file)).is_relative_to(package)]
    versions = {**libraries, "torch": torch.__version__, "python": platform.python_version()}
    return {
        "code": _digest_of_files(package, sources),
        "params": _digest(json.dumps([values.model_dump(mode="json") for values in params]).encode()),
        "data": _digest_of_files(data, [path for path in data.rglob("*") if path.is_file()]),
        "libraries": _digest(json.dumps(versions, sort_keys=True).encode()),
        "machine": compute.describe(),
    }


class Checkpoint:
    """The checkpoint of one training, in a file that is there only while training is not finished."""

    def __init__(self, path: Path, *, key: Mapping[str, str], seconds: float) -> None:
        self._path = path
        self._key = dict(key)
        self._seconds = seconds
        self._state = TrainingState()
        self._parts: dict[str, Part] = {}
        self._saved = time.monotonic()
        self._signal: int | None = None
        self._interruptible = False

    @contextmanager
    def keeping(self, state: TrainingState, **parts: Part) -> Iterator[None]:
        """Take up `state` and `parts` if they were left; keep them every few seconds, and at a signal.

        At SIGTERM or SIGINT the step under way is finished, and the process ends by that signal.
        """
        self._state = state
        self._parts = {"state": state, "generators": Generators(), **parts}
        self._take_up()
        self._saved = time.monotonic()
        heeded = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
        before = {number: signal.signal(number, self._on_signal) for number in heeded}
        try:
            yield
            self._stop_if_asked()  # between the last validation and here
        except _Stopped:
            self._end()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def steps(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """The batches; with each the state is a step further, once its work is done."""
        for batch in batches:
            yield batch
            self._state.step += 1
            self._stop_if_asked()
            if time.monotonic() - self._saved >= self._seconds:
                self._save_if_possible()

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Heed signals at once while the block runs, which changes nothing that a checkpoint stores."""
        self._interruptible = True
        try:
            self._stop_if_asked()
            yield
        finally:
            self._interruptible = False

    def remove(self) -> None:
        """Remove the checkpoint: training is finished and all of its results are written."""
        self._path.unlink(missing_ok=True)
        remove_leftovers(self._path)

    def _on_signal(self, number: int, _frame: object) -> None:
        self._signal = number
        if self._interruptible:
            self._interruptible = False  # a second signal must not disturb the last checkpoint
            raise _Stopped

    def _stop_if_asked(self) -> None:
        if self._signal is not None:
            raise _Stopped

    def _take_up(self) -> None:
        """Load the state from the file, unless there is none, or it is not of this training."""
        try:
            state = _read(self._path, self._key)
        except FileNotFoundError:
            return
        except (ValueError, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            _say(f"{self._path}: {reason}: not taken up, training starts afresh")
            return
        try:
            for name, part in self._parts.items():
                part.load_state_dict(state[name])
        except Exception as error:  # what a part raises is its own to choose; some have been loaded already
            reason = " ".join(str(error).split()) or type(error).__name__
            raise TrainingError(
                f"{self._path}: does not fit this training ({reason}); remove it, and training starts afresh"
            ) from error
        _say(f"{self._path}: training goes on after {self._place()}")

    def _save(self) -> None:
        place = {"epoch": self._state.epoch, "step": self._state.step}
        content = io.BytesIO()
        content.write(json.dumps({"key": self._key, **place}, sort_keys=True).encode() + b"\n")
        torch.save({name: part.state_dict() for name, part in self._parts.items()}, content)
        payload = content.getvalue()
        write_atomically(self._path, f"{_digest(payload)}\n".encode() + payload)

    def _save_if_possible(self) -> None:
        """A full disk is no reason to end training: it may finish, and say so itself."""
        try:
            self._save()
        except OSError as error:
            _say(f"{self._path}: not written ({error.strerror}); training goes on without a new checkpoint")
        self._saved = time.monotonic()

    def _end(self) -> NoReturn:
        """Keep the state and end by the signal that came."""
        assert self._signal is not None
        line = f"stopped by {signal.Signals(self._signal).name} after {self._place()}"
        try:
            self._save()
            _say(f"{line}; {self._path} keeps it: the same command goes on from there")
        except OSError as error:
            _say(f"{line}; {self._path}: not written ({error.strerror}); make room there")
        sys.stderr.flush()
        signal.signal(self._signal, signal.SIG_DFL)
        signal.raise_signal(self._signal)
        raise SystemExit(128 + self._signal)  # where the signal is blocked

    def _place(self) -> str:
        return f"epoch {self._state.epoch}, step {self._state.step}"


class _Stopped(BaseException):
    """A signal came, and what is kept is whole."""


def _read(path: Path, key: Mapping[str, str]) -> dict[str, Any]:
    """The state in the file, by the names of its parts.

    Raises:
        FileNotFoundError: There is no such file.
        OSError: The file cannot be read.
        ValueError: The file is damaged, or was made by another training; the message says which.

    """
    digest, _, payload = path.read_bytes().partition(b"\n")
    if digest != _digest(payload).encode():
        raise ValueError("damaged, its checksum is another")
    header, _, content = payload.partition(b"\n")
    try:
        found = dict(json.loads(header)["key"])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ValueError("damaged, its first line is no checkpoint's") from None
    if others := [name for name in key if found.get(name) != key[name]]:
        raise ValueError(f"made with other {', '.join(others)}")
    try:
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise ValueError("holds more than numbers") from None
    except Exception as error:  # what torch raises of a damaged file is any class
        raise ValueError(f"damaged ({' '.join(str(error).split())[:200]})") from None
    if not isinstance(state, dict):
        raise ValueError("damaged, it holds no state by name")
    return state


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _digest_of_files(folder: Path, paths: Iterable[Path]) -> str:
    """The digest of the files' names within the folder and of their contents."""
    listed = []
    for path in sorted(paths):
        with path.open("rb") as file:
            listed.append(f"{path.relative_to(folder)} {hashlib.file_digest(file, 'sha256').hexdigest()}")
    return _digest("\n".join(listed).encode())


def _say(line: str) -> None:
    tqdm.write(line, file=sys.stderr)
