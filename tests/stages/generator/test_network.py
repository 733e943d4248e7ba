"""The generator and the discriminator through their public doors."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stages.core.errors import DataError, ModelError
from stages.core.params import ComputeParams
from stages.generator.network import (
    Generator,
    build_discriminator,
    build_generator,
    coarsest,
    draw_latents,
    generate,
    load_generator,
    render,
)
from stages.networks.compute import Compute, prepare
from stages.networks.model_files import save_model

PICTURES = {"size": 12, "channels": 3}
CLASSES = ["coat", "bag", "dress", "boot"]
TEXT = {"encoder": "words", "vocabulary": ["coat", "bag"], "dimensions": 2}
BRIGHTNESS = {"names": ["brightness"], "mean": [0.5], "std": [0.1]}


@pytest.fixture
def compute() -> Compute:
    return prepare(ComputeParams(seed=0, threads=1, precision="float32", deterministic=True))


@pytest.fixture
def generator(compute: Compute) -> Generator:
    return generator_of().eval()


def generator_of(**changes: Any) -> Generator:
    own = {"classes": CLASSES, "latent": 5, "condition": 3, "width": 4, "text": None, "attributes": None}
    return build_generator(PICTURES | own | changes)


@pytest.mark.parametrize(("size", "expected"), [(28, (7, 2)), (64, (8, 3)), (30, (15, 1)), (2, (1, 1))])
def test_coarsest_halves_until_small_or_odd(size: int, expected: tuple[int, int]) -> None:
    assert coarsest(size) == expected


def test_odd_sizes_are_refused() -> None:
    with pytest.raises(DataError, match="side 27"):
        generator_of(size=27)


@pytest.mark.parametrize("size", [28, 32, 64])
def test_pictures_have_the_shape_and_range_promised(compute: Compute, size: int) -> None:
    network = generator_of(size=size)
    images = network(3 * torch.randn(6, 5), network.ask(network.by_class(torch.arange(6) % 4)))
    assert images.shape == (6, 3, size, size)
    assert images.dtype == torch.float32
    assert -1 <= images.min() < images.max() <= 1


def test_generate_repeats_with_its_seed_whatever_the_batch(compute: Compute, generator: Generator) -> None:
    labels = np.arange(10) % 4

    def pictures(seed: int, batch_size: int) -> np.ndarray[Any, Any]:
        return generate(generator, labels, seed=seed, compute=compute, batch_size=batch_size)

    first = pictures(seed=1, batch_size=10)
    assert first.shape == (10, 12, 12, 3)
    assert first.dtype == np.uint8
    np.testing.assert_array_equal(first, pictures(seed=1, batch_size=10))
    # Batches of another size may round otherwise in the last bit: one grey level at the most.
    assert np.abs(first.astype(int) - pictures(seed=1, batch_size=3)).max() <= 1
    assert np.abs(first.astype(int) - pictures(seed=2, batch_size=10)).max() > 1


def test_the_label_changes_the_picture(compute: Compute, generator: Generator) -> None:
    latents = torch.randn(1, 5).repeat(4, 1)
    images = render(generator, latents, generator.ask(generator.by_class(torch.arange(4))), compute)
    assert len(np.unique(images, axis=0)) == 4


def test_a_text_and_a_number_change_the_picture(compute: Compute) -> None:
    network = generator_of(text=TEXT, attributes=BRIGHTNESS).eval()
    kinds = network.by_text(torch.eye(2)).repeat(2, 1)
    numbers = torch.tensor([[0.0, 0.0], [0.0, 0.0], [2.0, 1.0], [2.0, 1.0]])
    images = render(network, torch.randn(1, 5).repeat(4, 1), network.ask(kinds, numbers), compute)
    assert len(np.unique(images, axis=0)) == 4


def test_a_class_and_a_text_are_encoded_alike_long() -> None:
    network = generator_of(text=TEXT)
    lengths = torch.cat([network.by_class(torch.arange(4)), network.by_text(100 * torch.eye(2))]).norm(dim=1)
    torch.testing.assert_close(lengths, torch.full((6,), 3**0.5))


def test_a_generator_without_text_says_so(generator: Generator) -> None:
    with pytest.raises(DataError, match="trained without text: ask for a class"):
        generator.by_text(torch.eye(2))


def test_truncated_latents_stay_within(compute: Compute) -> None:
    latents = draw_latents(1000, 4, seed=0, truncation=0.5)
    assert latents.abs().max() <= 0.5 < draw_latents(1000, 4, seed=0).abs().max()
    # uniform enough between: of a normal distribution within half a deviation the deviation is .286
    assert float(latents.std()) == pytest.approx(0.286, abs=0.01)
    assert torch.equal(latents, draw_latents(1000, 4, seed=0, truncation=0.5))


def test_rendering_leaves_a_training_network_training(compute: Compute, generator: Generator) -> None:
    before = {name: value.clone() for name, value in generator.state_dict().items()}
    asked = generator.ask(generator.by_class(torch.arange(2))).detach()
    render(generator.train(), torch.randn(2, 5), asked, compute)
    assert generator.training
    assert all(torch.equal(before[name], value.cpu()) for name, value in generator.state_dict().items())


def test_a_saved_generator_makes_the_same_pictures(
    compute: Compute, generator: Generator, tmp_path: Path
) -> None:
    path, labels = tmp_path / "generator.safetensors", np.arange(4)
    save_model(path, generator, kind="generator", config=generator.config)
    loaded = load_generator(path)
    np.testing.assert_array_equal(
        generate(generator, labels, seed=3, compute=compute, batch_size=4),
        generate(loaded, labels, seed=3, compute=compute, batch_size=4),
    )


def test_a_model_of_another_kind_is_refused(generator: Generator, tmp_path: Path) -> None:
    save_model(tmp_path / "other", generator, kind="classifier", config=generator.config)
    with pytest.raises(ModelError, match="a generator was asked for"):
        load_generator(tmp_path / "other")


def test_the_discriminator_judges_realness_by_class_and_names_the_class(compute: Compute) -> None:
    discriminator = build_discriminator(PICTURES | {"classes": 4, "width": 4, "hidden": 16})
    images, labels = torch.randn(1, 3, 12, 12).repeat(4, 1, 1, 1), torch.arange(4)
    realness, logits = discriminator.eval()(images, labels)
    assert realness.shape == (4,)
    assert logits.shape == (4, 4)
    assert len(realness.unique()) == 4  # one picture, four classes asked for
    torch.testing.assert_close(logits, logits[:1].expand(4, -1))  # which class it is does not depend on that


def test_without_spectral_normalisation_the_weights_are_plain_and_numbers_count() -> None:
    discriminator = build_discriminator(
        PICTURES | {"classes": 4, "width": 4, "hidden": 16, "given": 2, "spectral": False}
    ).eval()
    assert not [name for name in discriminator.state_dict() if "parametrizations" in name]
    images, labels = torch.randn(1, 3, 12, 12).repeat(2, 1, 1, 1), torch.zeros(2, dtype=torch.int64)
    realness, _ = discriminator(images, labels, torch.tensor([[0.0, 0.0], [1.0, 1.0]]))
    assert realness[0] != realness[1]
