"""Training the generator: what each step does, and the stage as a command."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from stages.by_hand.generate import ask, draw
from stages.by_hand.generate import main as generate_pictures
from stages.core.errors import DataError, TrainingError
from stages.core.packed import ClassificationSplit
from stages.core.params import ComputeParams
from stages.generator.network import generate, load_generator
from stages.networks.compute import Compute, prepare
from stages.train_gan.frames import frame_steps
from stages.train_gan.material import draw_batch, material_of
from stages.train_gan.params import TrainGanParams
from stages.train_gan.stage import training_of
from stages.train_gan.steps import (
    build_adversaries,
    make_fakes,
    train_discriminator_step,
    train_generator_step,
)
from stages.train_gan.trainer import GanTrainer, relative_spread
from stages.training.checkpoint import Checkpoint
from stages.training.samples import GeneratorSamples, read_samples
from stages.training.state import TrainingState
from tests.stages.param_files import write_params

SETTINGS = {
    "epochs": 2,
    "batch_size": 8,
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
    "latent": 4,
    "condition": 4,
    "generator_width": 4,
    "discriminator_width": 4,
    "discriminator_hidden": 8,
    "generator_learning_rate": 0.001,
    "discriminator_learning_rate": 0.001,
    "beta1": 0.0,
    "beta2": 0.99,
    "class_weight": 0.5,
    "average_decay": 0.5,
    "failure": {
        "discriminator_accuracy_max": 1.0,
        "window": 2,
        "recall_min": 0.0,
        "grace": 1,
        "patience": 2,
    },
    "sheet_columns": 3,
    "sheet_every": 1,
    "film_frames": 3,
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


def started(split: ClassificationSplit, settings: TrainGanParams, compute: Compute) -> Any:
    """Networks, a batch and fakes in its place."""
    material, scale = material_of(split, settings)
    networks = build_adversaries(split, settings, compute, material, scale, steps=60)
    batch = draw_batch(material, torch.arange(8), settings, compute)
    return networks, batch, make_fakes(networks.generator.network, batch, compute)


def trained_on(
    split: ClassificationSplit, settings: TrainGanParams, compute: Compute, checkpoint: Checkpoint
) -> tuple[GanTrainer, TrainingState]:
    """The trainer after its training, and what that ended with."""
    training, trainer = training_of(split, settings, compute, seed=0)
    return trainer, training.run(trainer, checkpoint)


def copy_of(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: weight.clone() for name, weight in network.named_parameters()}


def changed(network: torch.nn.Module, before: dict[str, torch.Tensor]) -> bool:
    return any(not torch.equal(before[name], weight) for name, weight in network.named_parameters())


LOSSES = [
    {"name": "hinge"},
    {"name": "non-saturating", "r1": 1.0, "r1_every": 2},
    {"name": "wgan-gp", "penalty": 10.0},
]


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss["name"])
def test_each_step_changes_its_own_network_alone(
    compute: Compute, split: ClassificationSplit, loss: dict[str, Any]
) -> None:
    settings = params(loss=loss, spectral_norm=loss["name"] == "hinge", augment=["translation"])
    networks, batch, fakes = started(split, settings, compute)
    made, judge = networks.generator.network, networks.discriminator.network
    generator, discriminator = copy_of(made), copy_of(judge)
    figures = train_discriminator_step(networks, batch, fakes, settings, compute, step=1)
    assert 0 <= figures["d_accuracy_real"] <= 1
    assert changed(judge, discriminator)
    assert not changed(made, generator)
    discriminator = copy_of(judge)
    train_generator_step(networks, batch, fakes, settings, compute)
    assert changed(made, generator)
    assert not changed(judge, discriminator)
    assert all(weight.requires_grad for weight in judge.parameters())


@pytest.mark.slow
@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss["name"])
def test_the_discriminator_learns_to_tell_fixed_fakes_from_real_pictures(
    compute: Compute, loss: dict[str, Any]
) -> None:
    settings = params(loss=loss, class_weight=0, attributes=[], discriminator_learning_rate=0.01)
    networks, batch, _ = started(split_of(np.full((8, 8, 8, 1), 255, np.uint8)), settings, compute)
    fakes = -torch.ones_like(batch.real)
    losses = [
        float(train_discriminator_step(networks, batch, fakes, settings, compute, step=step)["d_loss"])
        for step in range(1, 61)
    ]
    assert losses[-1] < losses[0] - 0.3


def test_equal_pictures_have_no_spread(split: ClassificationSplit) -> None:
    assert relative_spread(split.images, split.images, split.labels) == 1
    assert relative_spread(split.images, np.zeros_like(split.images), split.labels) == 0


def test_of_many_steps_frames_are_drawn_evenly_and_of_the_last() -> None:
    assert frame_steps(100, 4) == {25, 50, 75, 100}
    assert frame_steps(3, 10) == {1, 2, 3}


def test_a_generator_that_collapsed_is_not_given_out(
    compute: Compute, split: ClassificationSplit, checkpoint: Checkpoint, capsys: Any
) -> None:
    failing = SETTINGS["failure"] | {"recall_min": 0.9, "patience": 1}
    with pytest.raises(TrainingError, match=r"^epoch 2, step 2: collapse, only 0\.\d+ of .*; no gen"):
        trained_on(split, params(failure=failing, epochs=5), compute, checkpoint)
    assert "epoch 2, step 2: collapse" in capsys.readouterr().err  # said at once, the first epoch forgiven


def test_a_discriminator_that_wins_outright_ends_training(compute: Compute, checkpoint: Checkpoint) -> None:
    failing = {"discriminator_accuracy_max": 0.95, "window": 3, "recall_min": 0.5, "grace": 1, "patience": 2}
    easy = params(  # real pictures are all white, and the generator stands still
        failure=failing,
        epochs=9,
        generator_learning_rate=1e-9,
        discriminator_learning_rate=0.01,
        class_weight=0,
        attributes=[],
    )
    said = (
        r"^epoch 3, step 1: the discriminator wins outright, .*; "
        r"epoch 3, step 8: collapse, only 0\.0000 .*; in trouble since epoch 2; "
        r"no generator is written; if none is wanted: train-gan: null$"
    )
    with pytest.raises(TrainingError, match=said):
        trained_on(split_of(np.full((64, 8, 8, 1), 255, np.uint8)), easy, compute, checkpoint)


@pytest.mark.slow
def test_the_generator_learns_the_classes(compute: Compute, checkpoint: Checkpoint) -> None:
    images = np.zeros((64, 8, 8, 1), dtype=np.uint8)
    images[0::2, :4], images[1::2, 4:] = 255, 255  # class 0 bright above, class 1 bright below
    trainer, state = trained_on(
        split_of(images),
        params(
            epochs=60,
            batch_size=16,
            attributes=[],
            generator_learning_rate=0.005,
            discriminator_learning_rate=0.002,
        ),
        compute,
        checkpoint,
    )
    made = generate(trainer.judged, np.array([0, 1] * 8), seed=1, compute=compute, batch_size=16)
    above, below = made[:, :4].mean(axis=(1, 2, 3)), made[:, 4:].mean(axis=(1, 2, 3))
    np.testing.assert_array_equal(above > below, [True, False] * 8)
    assert [row["epoch"] for row in state.history] == list(range(1, 61))
    saved = trainer.judged.cpu()  # as one that is loaded
    for prompt, is_above in (("two squares", True), ("bar", False)):
        drawn = draw(saved, ask(saved, prompt, {}), 8, seed=2)
        assert ((drawn[:, :4].mean(axis=(1, 2, 3)) > drawn[:, 4:].mean(axis=(1, 2, 3))) == is_above).all()


def test_training_that_diverges_says_where(
    compute: Compute, split: ClassificationSplit, checkpoint: Checkpoint
) -> None:
    with pytest.raises(TrainingError, match=r"epoch 1, step \d+: .*lower the learning rate"):
        trained_on(
            split,
            params(generator_learning_rate=1e38, discriminator_learning_rate=1e38),
            compute,
            checkpoint,
        )


def test_trains_in_bfloat16(split: ClassificationSplit, checkpoint: Checkpoint) -> None:
    low = prepare(ComputeParams(seed=0, threads=1, precision="bfloat16", deterministic=True))
    _, state = trained_on(split, params(), low, checkpoint)
    assert [row["epoch"] for row in state.history] == [1, 2]


@pytest.mark.parametrize(("side", "channels"), [(32, 1), (64, 3)])
def test_other_sizes_and_colour(compute: Compute, checkpoint: Checkpoint, side: int, channels: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (16, side, side, channels), dtype=np.uint8)
    settings = params(epochs=1, augment=["brightness", "translation", "cutout"])
    trainer, _ = trained_on(split_of(images), settings, compute, checkpoint)
    made = generate(trainer.judged, np.array([0, 1]), seed=1, compute=compute, batch_size=2)
    assert made.shape == (2, side, side, channels)


def test_a_caption_of_ones_own_is_asked_for(compute: Compute, checkpoint: Checkpoint) -> None:
    images = np.random.default_rng(0).integers(0, 256, (16, 8, 8, 1), dtype=np.uint8)
    captions = ["striped" if number % 4 == 0 else "" for number in range(16)]
    trainer, _ = trained_on(replace(split_of(images), captions=captions), params(), compute, checkpoint)
    saved = trainer.judged.cpu()  # as one that is loaded
    assert len(draw(saved, ask(saved, "two striped bars", {}), 3, seed=0)) == 3


def test_oblong_pictures_are_refused(compute: Compute, checkpoint: Checkpoint) -> None:
    with pytest.raises(DataError, match="8x6"):
        trained_on(
            split_of(np.zeros((20, 8, 6, 1), dtype=np.uint8)),
            params(),
            compute,
            checkpoint,
        )


def run_stage(folder: Path, out: Path) -> subprocess.CompletedProcess[str]:
    """The command of dvc.yaml on a small split."""
    outs = {
        "model": "model.safetensors",
        "metrics": "metrics.json",
        "history": "history.csv",
        "samples": "samples.safetensors",
        "checkpoint": "checkpoint",
    }
    arguments = [f"--data={folder / 'data'}", f"--params={folder / 'params.yaml'}"]
    arguments += [f"--{name}={out / file}" for name, file in outs.items()]
    command = [sys.executable, "-m", "stages.train_gan", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def write_project(folder: Path, split: ClassificationSplit, settings: dict[str, Any]) -> None:
    """The split as preprocess packs it, and params.yaml."""
    train = folder / "data" / "train"
    train.mkdir(parents=True)
    np.save(train / "images.npy", split.images)
    np.save(train / "labels.npy", split.labels)
    if split.captions is not None:
        (train / "captions.json").write_text(json.dumps(split.captions))
    (folder / "data" / "classes.json").write_text(json.dumps(split.classes))
    write_params(folder / "params.yaml", "train-gan", settings)


@pytest.fixture
def project(tmp_path: Path, split: ClassificationSplit) -> Path:
    write_project(tmp_path, split, SETTINGS)
    return tmp_path


@pytest.mark.slow
def test_the_stage_writes_the_same_bytes_twice(project: Path) -> None:
    for out in (project / "first", project / "second"):
        done = run_stage(project, out)
        assert done.returncode == 0, done.stderr
    files = [path for path in sorted((project / "first").rglob("*")) if path.is_file()]
    for path in files:
        other = project / "second" / path.relative_to(project / "first")
        assert path.read_bytes() == other.read_bytes(), path.name
    samples = read_samples(project / "first/samples.safetensors", GeneratorSamples)
    assert samples.epochs.tolist() == [1, 2]
    assert samples.steps.tolist() == [1, 3, 4]
    assert samples.step_pictures.shape == (3, 2 * 3, 8, 8, 1)  # of two classes, from three latents each
    np.testing.assert_array_equal(samples.epoch_pictures[-1], samples.step_pictures[-1])
    metrics = json.loads((project / "first/metrics.json").read_text())
    assert metrics["pictures_seen"] == 2 * 16  # two epochs of two whole batches of 8 out of 20
    assert list(pd.read_csv(project / "first/history.csv")["epoch"]) == [1, 2]
    assert load_generator(project / "first/model.safetensors").config["size"] == 8


IN_WORDS = {"name": "adam", "learning_rate": 0.001, "beta1": 0.0, "beta2": 0.99, "weight_decay": 0.0}
SGD = {"name": "sgd", "learning_rate": 0.01, "momentum": 0.5, "weight_decay": 0.0}
UNSAID = dict.fromkeys(("generator_learning_rate", "discriminator_learning_rate", "beta1", "beta2"))


def weights_after(
    split: ClassificationSplit, compute: Compute, folder: Path, **changes: Any
) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    kept = Checkpoint(folder / "none", key={}, seconds=3600)
    return trained_on(split, params(**changes), compute, kept)[0].judged.state_dict()


def test_adam_in_so_many_words_gives_the_same_weights(
    compute: Compute, split: ClassificationSplit, tmp_path: Path
) -> None:
    short = weights_after(split, compute, tmp_path)
    both = {"generator": IN_WORDS, "discriminator": IN_WORDS}
    long = weights_after(split, compute, tmp_path, **UNSAID, optimizers=both)
    assert all(torch.equal(short[name], long[name]) for name in short)


@pytest.mark.parametrize("schedule", [None, {"name": "cosine", "warmup": 0.5}])
def test_other_optimizers_and_schedules(
    compute: Compute, split: ClassificationSplit, tmp_path: Path, schedule: dict[str, Any] | None
) -> None:
    both = {"generator": SGD, "discriminator": IN_WORDS}
    usual = weights_after(split, compute, tmp_path)
    other = weights_after(
        split, compute, tmp_path, **UNSAID, optimizers=both, schedule=schedule, discriminator_steps=2
    )
    assert any(not torch.equal(usual[name], other[name]) for name in usual)


def test_optimizers_beside_the_keys_that_stand_for_them_are_refused() -> None:
    both = {"generator": SGD, "discriminator": SGD}
    wanted = "optimizers is wanted, or generator_learning_rate and .* and beta2 in its place, not both"
    with pytest.raises(ValueError, match=wanted):
        params(optimizers=both)
    with pytest.raises(ValueError, match=wanted):
        params(beta2=None)


@pytest.mark.slow
def test_an_unknown_key_ends_the_stage_with_one_line(project: Path) -> None:
    write_params(project / "params.yaml", "train-gan", {**SETTINGS, "latant": 3})
    done = run_stage(project, project / "out")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].endswith("train-gan.latant: unknown key; did you mean 'latent'?")
    assert not (project / "out").exists()


@pytest.mark.slow
def test_numbers_and_captions_decide_what_is_drawn(tmp_path: Path) -> None:
    """Bars at the left or right, as their captions say, of any brightness: asked for as a user does."""
    bright = np.random.default_rng(0).uniform(50, 230, 128).astype(np.uint8)
    images = np.zeros((128, 8, 8, 1), dtype=np.uint8)
    images[0::2, 2:6, :4] = bright[0::2, None, None, None]
    images[1::2, 2:6, 4:] = bright[1::2, None, None, None]
    bars = ClassificationSplit(
        images=images, labels=np.zeros(128, np.int64), classes=["bar"], captions=["left", "right"] * 64
    )
    changes = {"epochs": 40, "batch_size": 16, "average_decay": 0.9, "sheet_every": 40, "film_frames": 1}
    sizes = {"generator_width": 8, "discriminator_width": 8, "discriminator_hidden": 16}
    rates = {"generator_learning_rate": 0.005, "discriminator_learning_rate": 0.003}
    write_project(tmp_path, bars, SETTINGS | changes | sizes | rates)
    done = run_stage(tmp_path, tmp_path / "out")
    assert done.returncode == 0, done.stderr

    def drawn(*asked: str) -> np.ndarray[Any, Any]:
        folder = tmp_path / "drawn"
        model = str(tmp_path / "out/model.safetensors")
        assert generate_pictures([*asked, "--n", "32", "--out", str(folder), "--model", model]) == 0
        pictures = [Image.open(folder / f"{number:02d}.png").convert("L") for number in range(1, 33)]
        return np.stack([np.asarray(picture, dtype=np.float64) for picture in pictures])  # [32, 8, 8]

    dark, light = (
        drawn("bar", "--attribute", f"brightness={asked}").max(axis=(1, 2)) for asked in (0.3, 0.8)
    )
    assert dark.mean() + 50 < light.mean()  # asked for: 128 more
    for side, is_left in (("left", True), ("right", False)):
        pictures = drawn(side)
        at_left = pictures[:, :, :4].mean(axis=(1, 2)) > pictures[:, :, 4:].mean(axis=(1, 2))
        assert (at_left == is_left).mean() > 0.8, side
