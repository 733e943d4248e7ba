"""Training the generator: what each step does, and the stage as a command."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from stages.compute import Compute, prepare
from stages.datasets import ClassificationSplit
from stages.errors import DataError, TrainingError
from stages.models.gan import build_discriminator, build_generator, generate, load_generator
from stages.params import ComputeParams
from stages.resume import Checkpoint
from stages.train_gan import (
    TrainGanParams,
    relative_spread,
    train,
    train_discriminator_step,
    train_generator_step,
)
from tests.stages.param_files import write_params

SETTINGS = {
    "epochs": 2,
    "batch_size": 8,
    "latent": 4,
    "embedding": 4,
    "generator_width": 4,
    "discriminator_width": 4,
    "discriminator_hidden": 8,
    "generator_learning_rate": 0.001,
    "discriminator_learning_rate": 0.001,
    "beta1": 0.0,
    "beta2": 0.99,
    "class_weight": 0.5,
    "average_decay": 0.5,
    "sheet_columns": 3,
}


@pytest.fixture
def compute() -> Compute:
    return prepare(ComputeParams(seed=0, threads=1, precision="float32", deterministic=True))


@pytest.fixture
def checkpoint(tmp_path: Path) -> Checkpoint:
    return Checkpoint(tmp_path / "checkpoint", key={}, seconds=3600)


def params(**changes: Any) -> TrainGanParams:
    return TrainGanParams(**(SETTINGS | changes))


def split_of(images: np.ndarray[Any, Any]) -> ClassificationSplit:
    labels = np.arange(len(images)) % 2
    return ClassificationSplit(images=images, labels=labels, classes=["square", "bar"])


@pytest.fixture
def split() -> ClassificationSplit:
    return split_of(np.random.default_rng(0).integers(0, 256, (20, 8, 8, 1), dtype=np.uint8))


def test_a_discriminator_step_changes_the_discriminator_alone(compute: Compute) -> None:
    generator, discriminator = networks()
    labels = torch.tensor([0, 1, 0, 1])
    fakes = generator(torch.randn(4, 4), labels)
    before = discriminator.classify.weight.clone()
    optimizer = torch.optim.SGD(discriminator.parameters(), 0.1)
    real = torch.randn(4, 1, 8, 8)
    figures = train_discriminator_step(discriminator, optimizer, real, fakes, labels, class_weight=1.0)
    assert not torch.equal(before, discriminator.classify.weight)
    assert all(weight.grad is None for weight in generator.parameters())
    assert 0 <= figures["d_accuracy_real"] <= 1
    assert figures["d_loss"] >= 0


def test_a_generator_step_leaves_the_discriminator_as_it_is_and_trainable(compute: Compute) -> None:
    generator, discriminator = networks()
    labels = torch.tensor([0, 1, 0, 1])
    optimizer = torch.optim.SGD(generator.parameters(), 0.1)
    fakes = generator(torch.randn(4, 4), labels)
    before = generator.embed.weight.clone()
    train_generator_step(discriminator, optimizer, fakes, labels, class_weight=1.0)
    assert not torch.equal(before, generator.embed.weight)
    assert all(weight.grad is None and weight.requires_grad for weight in discriminator.parameters())


def test_the_discriminator_learns_to_tell_fixed_fakes_from_real_pictures(compute: Compute) -> None:
    _, discriminator = networks()
    optimizer = torch.optim.Adam(discriminator.parameters(), 0.01)
    labels = torch.arange(16) % 2
    real, fakes = torch.ones(16, 1, 8, 8), -torch.ones(16, 1, 8, 8)
    losses = [
        float(
            train_discriminator_step(discriminator, optimizer, real, fakes, labels, class_weight=0)["d_loss"]
        )
        for _ in range(60)
    ]
    assert losses[-1] < 0.5 < losses[0]


def networks() -> tuple[Any, Any]:
    pictures = {"size": 8, "channels": 1, "classes": 2}
    return (
        build_generator(pictures | {"latent": 4, "embedding": 4, "width": 4}),
        build_discriminator(pictures | {"width": 4, "hidden": 8}),
    )


def test_a_generator_of_equal_pictures_has_no_spread(compute: Compute, split: ClassificationSplit) -> None:
    generator, _ = networks()
    lively = relative_spread(generator, split, compute, seed=0)
    with torch.no_grad():
        generator.layers[0].weight[:, :4] = 0  # deaf to the latent vector
    assert relative_spread(generator, split, compute, seed=0) == 0 < lively


@pytest.mark.slow
def test_the_generator_learns_the_classes(compute: Compute, checkpoint: Checkpoint) -> None:
    images = np.zeros((64, 8, 8, 1), dtype=np.uint8)
    images[0::2, :4], images[1::2, 4:] = 255, 255  # class 0 bright above, class 1 bright below
    generator, history = train(
        split_of(images), params(epochs=60, batch_size=16), compute, seed=0, checkpoint=checkpoint
    )
    made = generate(generator, np.array([0, 1] * 8), seed=1, compute=compute, batch_size=16)
    above, below = made[:, :4].mean(axis=(1, 2, 3)), made[:, 4:].mean(axis=(1, 2, 3))
    np.testing.assert_array_equal(above > below, [True, False] * 8)
    assert [row["epoch"] for row in history] == list(range(1, 61))


def test_training_that_diverges_says_where(
    compute: Compute, split: ClassificationSplit, checkpoint: Checkpoint
) -> None:
    with pytest.raises(TrainingError, match=r"epoch 1, step \d+: .*lower the learning rate"):
        train(
            split,
            params(generator_learning_rate=1e38, discriminator_learning_rate=1e38),
            compute,
            seed=0,
            checkpoint=checkpoint,
        )


def test_trains_in_bfloat16(split: ClassificationSplit, checkpoint: Checkpoint) -> None:
    low = prepare(ComputeParams(seed=0, threads=1, precision="bfloat16", deterministic=True))
    _, history = train(split, params(), low, seed=0, checkpoint=checkpoint)
    assert [row["epoch"] for row in history] == [1, 2]


def test_oblong_pictures_are_refused(compute: Compute, checkpoint: Checkpoint) -> None:
    with pytest.raises(DataError, match="8x6"):
        train(
            split_of(np.zeros((20, 8, 6, 1), dtype=np.uint8)),
            params(),
            compute,
            seed=0,
            checkpoint=checkpoint,
        )


def run_stage(folder: Path, out: Path) -> subprocess.CompletedProcess[str]:
    """The command of dvc.yaml on a small split."""
    outs = {
        "model": "model.safetensors",
        "metrics": "metrics.json",
        "history": "history.csv",
        "sheet": "sheet.png",
        "checkpoint": "checkpoint",
    }
    arguments = [f"--data={folder / 'data'}", f"--params={folder / 'params.yaml'}"]
    arguments += [f"--{name}={out / file}" for name, file in outs.items()]
    command = [sys.executable, "-m", "stages.train_gan", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def project(tmp_path: Path, split: ClassificationSplit) -> Path:
    folder = tmp_path / "data" / "train"
    folder.mkdir(parents=True)
    np.save(folder / "images.npy", split.images)
    np.save(folder / "labels.npy", split.labels)
    (tmp_path / "data" / "classes.json").write_text(json.dumps(split.classes))
    write_params(tmp_path / "params.yaml", "train-gan", SETTINGS)
    return tmp_path


@pytest.mark.slow
def test_the_stage_writes_the_same_bytes_twice(project: Path) -> None:
    for out in (project / "first", project / "second"):
        done = run_stage(project, out)
        assert done.returncode == 0, done.stderr
    for path in sorted((project / "first").iterdir()):
        assert path.read_bytes() == (project / "second" / path.name).read_bytes(), path.name
    metrics = json.loads((project / "first/metrics.json").read_text())
    assert metrics["pictures_seen"] == 2 * 16  # two epochs of two whole batches of 8 out of 20
    assert list(pd.read_csv(project / "first/history.csv")["epoch"]) == [1, 2]
    assert load_generator(project / "first/model.safetensors").config["size"] == 8


@pytest.mark.slow
def test_an_unknown_key_ends_the_stage_with_one_line(project: Path) -> None:
    write_params(project / "params.yaml", "train-gan", {**SETTINGS, "latant": 3})
    done = run_stage(project, project / "out")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].endswith("train-gan.latant: unknown key; did you mean 'latent'?")
    assert not (project / "out").exists()
