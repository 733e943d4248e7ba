"""Kill training at random steps, start it again, and compare all bytes with those of training left alone.

`python -m benchmarks.darkroom.resume` kills each trainer 20 times, by SIGKILL, SIGTERM and SIGINT in turn,
several times in one training: tiny networks on made-up pictures, all augmentation on, a checkpoint after
every step. Then it measures what a checkpoint costs with the networks of params.yaml. `--out FILE` writes
what it prints.
"""

import argparse
import io
import itertools
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from benchmarks.machine import describe
from stages.core.libraries import installed
from stages.training.checkpoint import Checkpoint
from stages.training.params import CheckpointParams
from stages.training.state import TrainingState

ROOT = Path(__file__).parents[2]
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
KILLS_A_TRAINING = 4
COMPUTE = {"seed": 5, "threads": 1, "precision": "float32", "deterministic": True}
FULL_BATCHES = {"train-classifier": 128, "train-detector": 16, "train-gan": 64}
"""What `batch_size: auto` comes to with all pictures of this repository."""

Place = tuple[int, int]
"""Epoch and steps done in it."""


@dataclass(frozen=True, kw_only=True)
class Trainer:
    """One training stage with tiny settings and data for it."""

    stage: str
    outs: tuple[str, ...]
    """By the arguments' names."""
    settings: dict[str, Any]
    write_data: Callable[..., None]
    steps: int
    """Of an epoch of the tiny training."""

    def places(self) -> list[Place]:
        """Every place but the last, after which the training is over."""
        epochs = range(1, self.settings["epochs"] + 1)
        return list(itertools.product(epochs, range(1, self.steps + 1)))[:-1]


def write_pictures(folder: Path, *, count: int = 48, side: int = 16) -> None:
    """Classes that a glance tells apart: a bright bar in one of three places."""
    draw = np.random.default_rng(0)
    for split in ("train", "val"):
        labels = np.arange(count) % 3
        images = draw.integers(0, 120, (count, side, side, 1), dtype=np.uint8)
        for image, label in zip(images, labels, strict=True):
            image[label * side // 3 : label * side // 3 + side // 4] += 120
        (folder / split).mkdir(parents=True)
        np.save(folder / split / "images.npy", images)
        np.save(folder / split / "labels.npy", labels)
    (folder / "classes.json").write_text('["top", "middle", "bottom"]')


def write_scenes(folder: Path, *, count: int = 12, side: int = 64) -> None:
    """Scenes of one to three bright boxes, upright or lying."""
    draw = np.random.default_rng(0)
    for split in ("train", "val"):
        images = draw.integers(60, 90, (count, side, side, 1), dtype=np.uint8)
        annotations = []
        for row, corner in itertools.product(range(count), range(3)):
            if corner <= row % 3:
                label = int(draw.integers(2))
                width, height = ((side // 8, side // 3), (side // 3, side // 8))[label]
                x, y = (draw.integers(4, size=2) + _corner(corner, side)).tolist()
                images[row, y : y + height, x : x + width] = 220
                annotations.append({"image_id": row, "category_id": label + 1, "bbox": [x, y, width, height]})
        (folder / split).mkdir(parents=True)
        np.save(folder / split / "images.npy", images)
        (folder / split / "annotations.json").write_text(json.dumps({"annotations": annotations}))
    (folder / "classes.json").write_text('["upright", "lying"]')


def _corner(number: int, side: int) -> np.ndarray:
    return np.array([number % 2, number // 2]) * side // 2


CLASSIFIER = Trainer(
    stage="train-classifier",
    outs=("model", "metrics", "history", "rates", "samples"),
    write_data=write_pictures,
    steps=12,
    settings={
        "network": {"model": "simple-cnn", "widths": [4, 8], "dense": 8, "dropout": 0.5},
        "epochs": 3,
        "batch_size": 4,
        "optimizer": {
            "name": "adam",
            "learning_rate": 0.01,
            "beta1": 0.9,
            "beta2": 0.99,
            "weight_decay": 0.01,
        },
        "schedule": {"name": "cosine", "warmup": 0.3},
        "average_decay": 0.8,
        "patience": 3,
        "label_smoothing": 0.1,
        "balance": "sampler",
        "mirror": True,
        "shift": 2,
        "augmentations": [{"Rotate": {"limit": [-20, 20], "p": 0.7}}, {"GaussNoise": {"p": 0.5}}],
        "views": 2,
        "calibrate": True,
        "range_test": {"lowest": 0.001, "highest": 0.1, "steps": 4},
        "sheet_columns": 3,
    },
)
DETECTOR = Trainer(
    stage="train-detector",
    outs=("model", "metrics", "history", "samples"),
    write_data=write_scenes,
    steps=5,
    settings={
        "epochs": 4,
        "epoch_pictures": 10,  # of 12: a pass ends within an epoch
        "batch_size": 2,
        "learning_rate": 0.005,
        "warmup": 0.3,
        "weight_decay": 0.02,
        "average_decay": 0.5,
        "gradient_max": 5.0,
        "validate_every": 1,
        "patience": 3,
        "weights": None,
        "frozen": 1,
        "scales": [0.75, 1.0],
        "augmentations": [{"HorizontalFlip": {"p": 0.5}}, {"RandomBrightnessContrast": {"p": 0.7}}],
        "visible_min": 0.3,
        "calibrate": True,
        "sheet_rows": 2,
        "network": {
            "model": "faster-rcnn",
            "backbone": {"model": "residual", "widths": [8, 16, 24], "blocks": [1, 1]},
            "features": 16,
            "rpn_stride": 8,
            "roi_stride": 4,
            "anchor_sizes": [12.0, 20.0],
            "anchor_ratios": [0.5, 1.0, 2.0],
            "proposal_candidates": 40,
            "proposal_overlap_max": 0.7,
            "proposals_train": 20,
            "proposals_test": 10,
            "rpn_batch": 32,
            "roi_batch": 16,
            "roi_positive": 0.5,
            "roi_size": 4,
            "roi_width": 8,
            "roi_hidden": 16,
            "score_min": 0.02,
            "overlap_max": 0.5,
            "detections_max": 10,
        },
    },
)
GAN = Trainer(
    stage="train-gan",
    outs=("model", "metrics", "history", "samples"),
    write_data=write_pictures,
    steps=12,
    settings={
        "epochs": 3,
        "batch_size": 4,
        "loss": {"name": "hinge"},
        "discriminator_steps": 1,
        "spectral_norm": True,
        "augment": [],
        "text": {
            "encoder": "words",
            "share": 0.5,
            "noise": 0.1,
            "templates": ["{name}", "two {plural}"],
            "names": None,
            "descriptions": None,
        },
        "attributes": ["brightness"],
        "failure": {
            "discriminator_accuracy_max": 1.0,
            "window": 4,
            "recall_min": 0.0,
            "grace": 1,
            "patience": 2,
        },
        "sheet_every": 2,
        "film_frames": 5,
        "latent": 4,
        "condition": 4,
        "generator_width": 4,
        "discriminator_width": 4,
        "discriminator_hidden": 8,
        "generator_learning_rate": 0.001,
        "discriminator_learning_rate": 0.001,
        "beta1": 0.5,
        "beta2": 0.99,
        "class_weight": 0.5,
        "average_decay": 0.5,
        "sheet_columns": 3,
    },
)
TRAINERS = (CLASSIFIER, DETECTOR, GAN)


@dataclass(frozen=True, kw_only=True)
class Run:
    """One trainer's folder: its data, its params, its outs, its checkpoint."""

    trainer: Trainer
    folder: Path
    root: Path = ROOT
    """Where the package `stages` is."""

    @classmethod
    def prepare(cls, trainer: Trainer, folder: Path, *, seconds: float = 0, **changed: Any) -> "Run":
        """A run with params of its own; `data` lies beside all runs of the trainer."""
        folder.mkdir(parents=True)
        if not (folder.parent / "data").exists():
            trainer.write_data(folder.parent / "data")
        run = cls(trainer=trainer, folder=folder)
        run.write_params(seconds=seconds, **changed)
        return run

    def write_params(self, *, seconds: float = 0, **changed: Any) -> None:
        """params.yaml with the trainer's settings and what is `changed` in them."""
        document = {
            "compute": COMPUTE,
            "libraries": {"torch": installed("torch")},
            "checkpoints": {"seconds": seconds},
            self.trainer.stage: self.trainer.settings | changed,
        }
        (self.folder / "params.yaml").write_text(yaml.safe_dump(document))

    @property
    def checkpoint(self) -> Path:
        """Its file, which is there while training is not finished."""
        return self.folder / "checkpoint"

    def arguments(self) -> dict[str, Path]:
        """The stage's arguments."""
        outs = {name: self.folder / name for name in self.trainer.outs}
        data, params = self.folder.parent / "data", self.folder / "params.yaml"
        return {"data": data, "params": params, "checkpoint": self.checkpoint, **outs}

    def start(self) -> subprocess.Popen[str]:
        """The stage's command."""
        module = f"stages.{self.trainer.stage.replace('-', '_')}"
        options = [part for name, path in self.arguments().items() for part in (f"--{name}", str(path))]
        command = [sys.executable, "-m", module, *options]
        return subprocess.Popen(command, cwd=self.root, stderr=subprocess.PIPE, text=True, env=_environment())

    def finish(self) -> str:
        """Run the command to its end; what it said on stderr."""
        process = self.start()
        _, said = process.communicate()
        if process.returncode:
            raise RuntimeError(f"{self.trainer.stage}: exit code {process.returncode}: {said}")
        return said

    def kill_at(self, place: Place, number: signal.Signals) -> tuple[bool, str]:
        """Run until a checkpoint of `place` or a later one is there, then send the signal.

        Whether that ended it (and it was not over before), and what it said on stderr.
        """
        process = self.start()
        while process.poll() is None:
            if (seen := self.place()) is not None and seen >= place:
                process.send_signal(number)
                break
            time.sleep(0.001)
        _, said = process.communicate()
        if process.returncode not in (0, -number):
            raise RuntimeError(f"{self.trainer.stage}: exit code {process.returncode}: {said}")
        return process.returncode == -number, said

    def place(self) -> Place | None:
        """Where the checkpoint is."""
        try:
            with self.checkpoint.open("rb") as file:
                file.readline()  # the checksum
                header = json.loads(file.readline())
        except FileNotFoundError:
            return None
        return header["epoch"], header["step"]

    def outs(self) -> dict[str, bytes]:
        """All that it wrote."""
        paths = [self.folder / name for name in self.trainer.outs]
        files = [file for path in paths for file in ([path] if path.is_file() else sorted(path.iterdir()))]
        return {str(file.relative_to(self.folder)): file.read_bytes() for file in files}


def _environment() -> dict[str, str]:
    return os.environ | {"NO_ALBUMENTATIONS_UPDATE": "1", "PYTHONWARNINGS": "error"}


def campaign(trainer: Trainer, folder: Path, *, kills: int, draw: random.Random) -> dict[str, Any]:
    """Kill so often, in as many trainings as it takes; a row of the table."""
    alone = Run.prepare(trainer, folder / "alone", seconds=3600)
    alone.finish()
    signals = itertools.cycle(SIGNALS)
    counts = dict.fromkeys(SIGNALS, 0)
    trainings = equal = 0
    while sum(counts.values()) < kills:
        run = Run.prepare(trainer, folder / f"killed-{trainings}")
        wanted = min(KILLS_A_TRAINING, kills - sum(counts.values()))
        for place in sorted(draw.sample(trainer.places(), wanted)):
            number = next(signals)
            if (seen := run.place()) is not None and seen >= place:
                place = (seen[0], seen[1] + 1)  # it was killed later than asked for: now one step further
            if not run.kill_at(place, number)[0]:
                break  # it was over before
            counts[number] += 1
        else:
            run.finish()
        trainings += 1
        equal += run.outs() == alone.outs() and not run.checkpoint.exists()
    return {
        "trainer": trainer.stage,
        **{number.name: count for number, count in counts.items()},
        "trainings": trainings,
        "steps of each": len(trainer.places()) + 1,
        "with all bytes equal": equal,
    }


@dataclass(frozen=True)
class Kept:
    """A part of a checkpoint as it was read."""

    state: dict[str, Any]

    def state_dict(self) -> dict[str, Any]:
        """What was read."""
        return self.state

    def load_state_dict(self, _: Any, /) -> None:
        """Not asked for: the checkpoint is written anew."""
        raise NotImplementedError("nothing is resumed here")


def cost(trainer: Trainer, folder: Path) -> dict[str, Any]:
    """What a checkpoint costs with the network and the pictures of params.yaml; a row of the table."""
    document = yaml.safe_load((ROOT / "params.yaml").read_text())
    side = document["preprocess"]["detection"]["side"] if trainer is DETECTOR else 28
    size = FULL_BATCHES[trainer.stage]
    full = replace(
        trainer,
        settings=document[trainer.stage] | {"batch_size": size},
        write_data=partial(trainer.write_data, count=8 * size, side=side),
    )
    run = Run.prepare(full, folder / "run")
    process = run.start()
    while run.place() is None and process.poll() is None:
        time.sleep(0.001)
    asked = time.perf_counter()
    process.send_signal(signal.SIGTERM)
    process.communicate()
    ended = time.perf_counter() - asked
    each, every = seconds_to_write(run.checkpoint), CheckpointParams().seconds
    return {
        "trainer": trainer.stage,
        "MB": f"{run.checkpoint.stat().st_size / 1e6:.1f}",
        "ms to write": f"{each * 1000:.0f}",
        f"share of the time, one in {every} s": f"{each / every:.2%}",
        "s from SIGTERM to the end": f"{ended:.1f}",
    }


def seconds_to_write(path: Path, *, times: int = 20) -> float:
    """The median of so many writes of the checkpoint's content to a file beside it."""
    _checksum, _header, state = path.read_bytes().split(b"\n", maxsplit=2)
    parts = {name: Kept(part) for name, part in torch.load(io.BytesIO(state), weights_only=True).items()}
    del parts["state"], parts["generators"]
    again = Checkpoint(path.with_name("again"), key={}, seconds=0)
    with again.keeping(TrainingState(), **parts):
        moments = [time.perf_counter() for _ in again.steps(range(times + 1))]
    return statistics.median(after - before for before, after in itertools.pairwise(moments))


def table(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Rows as markdown."""
    yield "| " + " | ".join(rows[0]) + " |"
    yield "|" + "---|" * len(rows[0])
    for row in rows:
        yield "| " + " | ".join(str(value) for value in row.values()) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=20, help="of each trainer")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32), help="of the moments")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    draw = random.Random(arguments.seed)
    # Started in the background by a shell we ignore SIGINT, and so would what we start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with tempfile.TemporaryDirectory() as folder:
        killed = [
            campaign(trainer, Path(folder) / trainer.stage, kills=arguments.kills, draw=draw)
            for trainer in TRAINERS
        ]
        costs = [cost(trainer, Path(folder) / f"{trainer.stage}-full") for trainer in TRAINERS]
    command = f"python -m benchmarks.darkroom.resume --kills {arguments.kills} --seed {arguments.seed}"
    report = "\n".join(
        [
            "# Training killed and resumed\n",
            f"`{command}` on {describe()}.\n",
            "Killed at random steps, started again by the same command, compared with training left alone:\n",
            *table(killed),
            "\nWhat a checkpoint costs with the networks of params.yaml:\n",
            *table(costs),
        ]
    )
    print(report)
    if arguments.out:
        arguments.out.write_text(report + "\n")
    if any(row["with all bytes equal"] < row["trainings"] for row in killed):
        sys.exit("error: a resumed training ended in other bytes")


if __name__ == "__main__":
    main()
