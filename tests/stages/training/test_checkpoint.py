"""What is taken up, what is not, and that killed training ends in the bytes of training left alone."""

import io
import json
import random
import shutil
import signal
import subprocess
import sys
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import Any

import albumentations as A
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.darkroom.resume import CLASSIFIER, ROOT, TRAINERS, Run
from stages.augmentation.pipeline import TransformGenerators
from stages.core.errors import TrainingError
from stages.training.checkpoint import Checkpoint
from stages.training.state import TrainingState

KEY = {"code": "a", "params": "b"}


class CrashError(Exception):
    pass


def toy_training(path: Path, *, crash_after: int | None = None, key: dict[str, str] = KEY) -> list[Any]:
    """Two epochs of five steps that draw from every global generator; the weights and the history."""
    torch.manual_seed(0)
    np.random.seed(0)
    random.seed(0)
    network = torch.nn.Linear(3, 1)
    optimizer = torch.optim.Adam(network.parameters(), fused=True)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
    state = TrainingState()
    checkpoint = Checkpoint(path, key=key, seconds=0)
    left = crash_after
    with checkpoint.keeping(state, network=network, optimizer=optimizer, scheduler=scheduler):
        while state.epoch <= 2:
            for _ in checkpoint.steps(range(state.step, 5)):
                if left == 0:
                    raise CrashError
                left = left and left - 1
                loss = network(torch.randn(4, 3)).sum() * random.random() + np.random.rand()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                scheduler.step()
                state.figures.append({"loss": loss.item()})
            state.end_epoch({"loss": sum(figures["loss"] for figures in state.figures)})
    return [network.weight.tolist(), state.history]


@pytest.mark.slow
@pytest.mark.parametrize("steps", range(1, 10))
def test_training_ends_alike_wherever_it_was_left(tmp_path: Path, steps: int, capsys: Any) -> None:
    alone = toy_training(tmp_path / "alone")
    with pytest.raises(CrashError):
        toy_training(tmp_path / "crashed", crash_after=steps)
    assert toy_training(tmp_path / "crashed") == alone
    epoch, step = (1, steps) if steps <= 5 else (2, steps - 5)
    said = capsys.readouterr().err
    assert said == f"{tmp_path / 'crashed'}: training goes on after epoch {epoch}, step {step}\n"


@pytest.fixture
def left(tmp_path: Path) -> Path:
    """A checkpoint after three steps."""
    with pytest.raises(CrashError):
        toy_training(tmp_path / "checkpoint", crash_after=3)
    return tmp_path / "checkpoint"


def test_of_another_key_it_is_not_taken_up(left: Path, capsys: Any) -> None:
    toy_training(left, key={"code": "a", "params": "other"})
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"{left}: made with other params: not taken up, training starts afresh"


@pytest.mark.slow
def test_damaged_anywhere_it_is_not_taken_up(left: Path, tmp_path: Path, capsys: Any) -> None:
    content, draw = left.read_bytes(), random.Random(0)
    alone = toy_training(tmp_path / "alone")
    for at in [0, 64, 65, len(content) - 1, *draw.sample(range(len(content)), 10)]:
        flipped = bytes([content[at] ^ 1 << draw.randrange(8)])
        left.write_bytes(
            content[:at] + draw.choice([b"", flipped + content[at + 1 :]])
        )  # cut off, or flipped
        assert toy_training(left) == alone
        (line,) = capsys.readouterr().err.splitlines()
        assert "damaged, its checksum is another: not taken up, training starts afresh" in line


def test_loading_runs_no_code(left: Path, tmp_path: Path, capsys: Any) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "ran",))

    content = io.BytesIO()
    torch.save({"state": Evil()}, content)
    sealed(left, json.dumps({"key": KEY}).encode() + b"\n" + content.getvalue())
    toy_training(left)
    assert "holds more than numbers: not taken up" in capsys.readouterr().err
    assert not (tmp_path / "ran").exists()


def sealed(path: Path, payload: bytes) -> None:
    """A checkpoint whose checksum is right, whatever it holds."""
    path.write_bytes(sha256(payload).hexdigest().encode() + b"\n" + payload)


@pytest.mark.slow
@pytest.mark.parametrize(
    "header", [b"", b"{", b"[]", b"7", b'{"key": 3}', b'{"key": ["ab"]}', b"[" * 100_000]
)
def test_a_damaged_first_line_is_said_and_training_starts_afresh(
    left: Path, tmp_path: Path, header: bytes, capsys: Any
) -> None:
    alone = toy_training(tmp_path / "alone")
    sealed(left, header + b"\n" + left.read_bytes().split(b"\n", 2)[2])
    assert toy_training(left) == alone
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(": not taken up, training starts afresh")


@pytest.mark.slow
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=60), kept=st.floats(0, 1))
def test_damaged_content_is_said_in_one_line(
    left: Path, tmp_path: Path, capsys: Any, content: bytes, kept: float
) -> None:
    whole = left.with_name("whole")
    if not whole.exists():
        whole.write_bytes(left.read_bytes())
    _, header, state = whole.read_bytes().split(b"\n", 2)
    sealed(left, header + b"\n" + state[: int(kept * (len(state) - 1))] + content)
    capsys.readouterr()
    toy_training(left)
    (line,) = capsys.readouterr().err.splitlines()
    # cut by a byte and with another in its place it may be whole again
    assert line.endswith(": not taken up, training starts afresh") or "training goes on after" in line


def test_state_of_another_training_is_one_line(left: Path) -> None:
    content = io.BytesIO()
    torch.save({"state": {"epoch": 1}}, content)
    sealed(left, json.dumps({"key": KEY}).encode() + b"\n" + content.getvalue())
    with pytest.raises(TrainingError, match=f"{left}: does not fit this training .*; remove it") as refused:
        toy_training(left)
    assert "\n" not in str(refused.value)


def test_a_folder_in_its_place_is_said_and_training_goes_on(tmp_path: Path, capsys: Any) -> None:
    alone = toy_training(tmp_path / "alone")
    (tmp_path / "checkpoint").mkdir()
    assert toy_training(tmp_path / "checkpoint") == alone
    assert "checkpoint: Is a directory: not taken up, training starts afresh" in capsys.readouterr().err


def test_a_full_disk_does_not_end_training(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    alone = toy_training(tmp_path / "alone")

    def full_disk(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("stages.training.checkpoint.write_atomically", full_disk)
    assert toy_training(tmp_path / "checkpoint") == alone
    assert "not written (No space left on device); training goes on" in capsys.readouterr().err


def test_removing_takes_what_a_killed_write_left(left: Path) -> None:
    (left.parent / ".checkpoint.123.partial").touch()
    Checkpoint(left, key=KEY, seconds=0).remove()
    assert list(left.parent.iterdir()) == []


def test_a_pipeline_of_transforms_goes_on_drawing_where_it_was() -> None:
    def pipeline(seed: int) -> A.Compose:
        some = A.OneOf([A.HorizontalFlip(p=0.5), A.RandomBrightnessContrast(p=0.5)], p=0.7)
        return A.Compose([some, A.RandomBrightnessContrast(p=0.9)], seed=seed)

    def draw(transform: A.Compose) -> list[Any]:
        image = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
        return [transform(image=image)["image"].tolist() for _ in range(10)]

    first, second = pipeline(1), pipeline(2)
    draw(first)
    state = TransformGenerators(first).state_dict()
    wanted = draw(first)
    assert draw(second) != wanted
    TransformGenerators(second).load_state_dict(state)
    assert draw(second) == wanted


STOPPED = """
import os, signal, sys, time
from pathlib import Path
from stages.training.checkpoint import Checkpoint
from stages.training.state import TrainingState
state, checkpoint = TrainingState(), Checkpoint(Path(sys.argv[1]), key={}, seconds=3600)
with checkpoint.keeping(state):
    for step in checkpoint.steps(range(3)):
        if sys.argv[2] == "step":
            os.kill(os.getpid(), signal.SIGTERM)
            state.figures.append({"finished": step})
    with checkpoint.interruptible():
        if sys.argv[2] == "evaluation":
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(60)
    state.end_epoch({"epoch": 1})
    os.kill(os.getpid(), signal.SIGTERM)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("moment", "epoch", "steps", "figures"), [("step", 1, 1, 1), ("evaluation", 1, 3, 0), ("end", 2, 0, 0)]
)
def test_a_signal_is_heeded_after_the_step_but_at_once_in_an_evaluation(
    tmp_path: Path, moment: str, epoch: int, steps: int, figures: int
) -> None:
    command = [sys.executable, "-c", STOPPED, str(tmp_path / "checkpoint"), moment]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == -signal.SIGTERM
    assert done.stderr == (
        f"stopped by SIGTERM after epoch {epoch}, step {steps}; {tmp_path / 'checkpoint'} keeps it: "
        "the same command goes on from there\n"
    )
    state = TrainingState()
    with Checkpoint(tmp_path / "checkpoint", key={}, seconds=3600).keeping(state):
        assert (state.epoch, state.step, len(state.figures)) == (epoch, steps, figures)


@pytest.mark.slow
@pytest.mark.parametrize("trainer", TRAINERS, ids=lambda trainer: trainer.stage)
def test_killed_twice_a_trainer_ends_in_the_same_bytes(trainer: Any, tmp_path: Path) -> None:
    alone = Run.prepare(trainer, tmp_path / "alone", seconds=3600)
    import_module(f"stages.{trainer.stage.replace('-', '_')}.stage").main(**alone.arguments())
    early, late = sorted(random.sample(trainer.places()[:-4], 2))
    # A training that outruns its watcher is over before it is killed: then another one.
    for attempt in range(10):
        run = Run.prepare(trainer, tmp_path / f"killed-{attempt}")
        if not run.kill_at(early, signal.SIGKILL)[0]:
            continue
        ended, said = run.kill_at(max(late, _next(run.place())), signal.SIGTERM)
        if ended:
            break
    assert ended
    assert "training goes on after" in said
    assert "stopped by SIGTERM after" in said
    assert "training goes on after" in run.finish()
    assert run.outs() == alone.outs()
    assert sorted(path.name for path in run.folder.iterdir()) == sorted([*trainer.outs, "params.yaml"])


def _next(place: Any) -> Any:
    return place[0], place[1] + 1


@pytest.mark.slow
def test_other_code_params_or_data_are_another_training(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "stages", tmp_path / "stages", ignore=shutil.ignore_patterns("__pycache__"))
    prepared = Run.prepare(CLASSIFIER, tmp_path / "run")
    run = Run(trainer=CLASSIFIER, folder=prepared.folder, root=tmp_path)
    while not run.kill_at((1, 3), signal.SIGKILL)[0]:  # once is enough, where it does not outrun us
        pass
    kept = run.checkpoint.read_bytes()

    def said_after(change: Any) -> str:
        run.checkpoint.write_bytes(kept)
        change()
        said = run.finish().splitlines()[0]
        run.write_params()
        return said

    def change_code() -> None:
        with (tmp_path / "stages/classifier/network.py").open("a") as file:
            file.write("# another comment\n")

    def change_data() -> None:
        np.save(tmp_path / "data/val/labels.npy", np.zeros(48, dtype=np.int64))

    assert "training goes on after" in said_after(lambda: None)
    assert "made with other params: not taken up" in said_after(lambda: run.write_params(mirror=False))
    change_code()
    assert "made with other code, data: not taken up" in said_after(change_data)
