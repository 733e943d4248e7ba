"""What the stages of the campaign's repository run: outs written slowly, in pieces: a kill tears them.

Plain Python with nothing of darkroom's, started in milliseconds. What it writes is decided by its deps and
params alone, down to the last byte. The folder in $FAULTS_JOURNAL is told of each execution: a line at its
begin and one at its end, a line for whoever else writes the same outs or holds the same device meanwhile.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

PIECES = 16
FILE_SIZE = 1_000_000
FOLDER_FILES = 6
STEPS = 12
STEPS_A_CHECKPOINT = 3


def say(word: str, name: str, rest: str = "") -> None:
    """Append one line to the journal, in one write: lines of several processes never mix."""
    line = f"{word} {name} {os.getpid()} {rest}".rstrip() + "\n"
    file = os.open(journal() / "executions", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, line.encode())
    os.close(file)


def journal() -> Path:
    return Path(os.environ["FAULTS_JOURNAL"])


def hold(folder: Path, thing: str, name: str) -> None:
    """Lock a thing until this process ends; whoever holds it already is told of."""
    folder.mkdir(parents=True, exist_ok=True)
    file = os.open(folder / thing.replace("/", "_"), os.O_WRONLY | os.O_CREAT)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say("conflict", name, thing)


def runner() -> Path:
    """Holds the pid of the run that this belongs to; not there where nobody is shot at."""
    return journal() / f"runner {os.environ.get('FAULTS_RUN')}"


def stay_if_orphaned() -> None:
    """Wait to be found where the run is gone that this belongs to: it would end by itself too soon."""
    with contextlib.suppress(FileNotFoundError):
        try:
            os.kill(int(runner().read_text()), 0)
        except ProcessLookupError:
            time.sleep(60)


def start_daemon(name: str, how: str) -> None:
    """Leave a process behind: in a session of its own, or by a double fork, with all that is open here."""
    if not runner().exists():
        return
    command = [sys.executable, __file__, name, "--as-daemon"]
    if how == "session":
        nowhere = subprocess.DEVNULL
        subprocess.Popen(command, start_new_session=True, stdin=nowhere, stdout=nowhere, stderr=nowhere)
    elif child := os.fork():
        os.waitpid(child, 0)
    else:
        os.setsid()
        if os.fork():
            os._exit(0)
        os.execv(sys.executable, command)


def be_daemon(name: str) -> None:
    """Do nothing, for longer than anybody waits; tell where the one before still lives."""
    hold(journal() / "writers", f"{name} daemon", name)
    time.sleep(600)


def digest(name: str, deps: list[Path], params: list[str]) -> bytes:
    """What decides the outs."""
    values = json.loads(Path("params.json").read_text())
    state = hashlib.sha256(name.encode())
    for key in params:
        state.update(f"{key}={values[key]}".encode())
    for dep in deps:
        for file in sorted(filter(Path.is_file, dep.rglob("*"))) if dep.is_dir() else [dep]:
            state.update(str(file).encode() + file.read_bytes())
    return state.digest()


def write_slowly(path: Path, key: bytes, size: int, seconds: float) -> None:
    """A file of `size` bytes; its beginning comes last, so that a torn one can have the full size."""
    content = hashlib.shake_256(key + str(path).encode()).digest(size)
    path.parent.mkdir(parents=True, exist_ok=True)
    step = -(-size // PIECES)
    with path.open("wb") as file:
        file.write(bytes(step))
        for start in [*range(step, size, step), 0]:
            time.sleep(seconds / PIECES)
            file.seek(start)
            file.write(content[start : start + step])
            file.flush()


def write_folder_slowly(path: Path, key: bytes, seconds: float) -> None:
    for number in range(FOLDER_FILES):
        file = path / f"part {number % 2}" / f"{number}.bin"
        write_slowly(file, key, FILE_SIZE // FOLDER_FILES, seconds / FOLDER_FILES)


def train(name: str, key: bytes, checkpoint: Path, seconds: float) -> Iterator[str]:
    """Yield a line of history a step, taken up from the checkpoint where there is one of the same key.

    On SIGTERM it writes a checkpoint and dies of the signal.
    """
    told: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: told.append(number))
    weights, history = read_checkpoint(checkpoint, key) or (key.hex(), [])
    if history:
        say("resume", name, f"at step {len(history)}")
    while len(history) < STEPS:
        weights = hashlib.sha256(f"{weights} {len(history)}".encode()).hexdigest()
        history.append(weights[:12])
        time.sleep(seconds / STEPS)
        if told or len(history) % STEPS_A_CHECKPOINT == 0:
            write_checkpoint(checkpoint, key, weights, history)
        if told:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTERM)
    yield from history


def write_checkpoint(path: Path, key: bytes, weights: str, history: list[str]) -> None:
    body = json.dumps({"key": key.hex(), "weights": weights, "history": history})
    partial = path.with_suffix(".partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    with partial.open("w") as file:
        file.write(hashlib.sha256(body.encode()).hexdigest() + "\n" + body)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def read_checkpoint(path: Path, key: bytes) -> tuple[str, list[str]] | None:
    try:
        checksum, body = path.read_text().split("\n", 1)
    except (OSError, ValueError):
        return None
    if hashlib.sha256(body.encode()).hexdigest() != checksum:
        return None
    held = json.loads(body)
    return (held["weights"], held["history"]) if held["key"] == key.hex() else None


def execute(given: argparse.Namespace) -> None:
    hold(journal() / "writers", given.name + (" child" if given.as_child else ""), given.name)
    if devices := os.environ.get("CUDA_VISIBLE_DEVICES"):
        for device in devices.split(","):
            hold(Path(os.environ["FAULTS_DEVICES"]), device, given.name)
    key = digest(given.name, given.deps, given.params)
    seconds = given.seconds / max(1, len(given.file) + bool(given.folder) + bool(given.train))
    if given.daemon:
        start_daemon(given.name, given.daemon)
    children = [_start_child(given, path) for path in given.by_child]
    if given.train:
        history = list(train(given.name, key, given.train, seconds))
        key = "\n".join(history).encode()
        given.history.parent.mkdir(parents=True, exist_ok=True)
        given.history.write_text("step,weights\n" + "".join(f"{n},{w}\n" for n, w in enumerate(history)))
    for path in given.file:
        write_slowly(path, key, FILE_SIZE, seconds)
    if given.folder:
        write_folder_slowly(given.folder, key, seconds)
    if given.metrics:
        given.metrics.parent.mkdir(parents=True, exist_ok=True)
        given.metrics.write_text(json.dumps({"score": int.from_bytes(key[:3]) / 2**24}, indent=2) + "\n")
    if sum(child.wait() != 0 for child in children):  # waits for all of them
        sys.exit(f"{given.name}: a child failed")
    if given.train:
        given.train.unlink(missing_ok=True)


def _start_child(given: argparse.Namespace, path: Path) -> subprocess.Popen[bytes]:
    """This program again, for one file: what a data loader's worker is to a real stage."""
    named = [__file__, given.name, "--as-child", f"--seconds={given.seconds}", "--file", path]
    return subprocess.Popen([sys.executable, *named, "--deps", *given.deps, "--params", *given.params])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    parser.add_argument("--as-child", action="store_true")
    parser.add_argument("--as-daemon", action="store_true")
    parser.add_argument("--daemon", choices=("session", "double-fork"))
    parser.add_argument("--seconds", type=float, default=0.3)
    for many in ("--deps", "--file", "--by-child"):
        parser.add_argument(many, type=Path, nargs="*", default=[])
    for one in ("--folder", "--metrics", "--history", "--train"):
        parser.add_argument(one, type=Path)
    parser.add_argument("--params", nargs="*", default=[])
    given = parser.parse_args()
    if given.as_daemon:
        be_daemon(given.name)
        return
    if not given.as_child:
        say("begin", given.name)
    execute(given)
    stay_if_orphaned()
    if not given.as_child:
        say("end", given.name)


if __name__ == "__main__":
    main()
