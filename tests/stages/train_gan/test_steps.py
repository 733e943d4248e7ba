"""What each step of both networks minimises, against the same written out; what fakes are asked for."""

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stages.core.packed import ClassificationSplit
from stages.networks.compute import Compute
from stages.train_gan.losses import squared_slope
from stages.train_gan.material import Batch, Material, draw_batch, material_of
from stages.train_gan.params import TrainGanParams
from stages.train_gan.steps import (
    Adversaries,
    build_adversaries,
    make_fakes,
    reading_loss,
    train_discriminator_step,
    train_generator_step,
)
from tests.stages.train_gan.test_stage import params

EXACT = Compute(device=torch.device("cpu"), dtype=torch.float32)
ROUGH = Compute(device=torch.device("cpu"), dtype=torch.bfloat16)
PLAIN: dict[str, Any] = {"spectral_norm": False, "class_weight": 0.3, "loss": {"name": "hinge"}}
PENALISED = PLAIN | {"loss": {"name": "non-saturating", "r1": 3.0, "r1_every": 2}}


@pytest.fixture
def split() -> ClassificationSplit:
    """Twenty pictures of two classes; of every third there is a caption of its own."""
    return ClassificationSplit(
        images=np.random.default_rng(0).integers(0, 256, (20, 8, 8, 1), dtype=np.uint8),
        labels=np.arange(20) % 2,
        classes=["square", "bar"],
        captions=["a small square" if row % 3 == 0 else "" for row in range(20)],
    )


def started(
    split: ClassificationSplit, settings: TrainGanParams
) -> tuple[Adversaries, Batch, Tensor, Material]:
    """Networks, a batch, and fakes in its place."""
    torch.manual_seed(0)
    material, scale = material_of(split, settings)
    networks = build_adversaries(split, settings, EXACT, material, scale, steps=60)
    batch = draw_batch(material, torch.arange(8), settings, EXACT)
    return networks, batch, make_fakes(networks.generator.network, batch, EXACT), material


def assert_slopes_are_of(loss: Tensor, weights: list[nn.Parameter], stepped: nn.Module) -> None:
    """Whether a step of a network with the same weights went down the slope of this loss."""
    slopes = torch.autograd.grad(loss, weights, allow_unused=True)
    for slope, weight in zip(slopes, stepped.parameters(), strict=True):
        if slope is not None:
            torch.testing.assert_close(weight.grad, slope, rtol=1e-4, atol=1e-6)
    assert sum(slope is not None for slope in slopes) > 4


@pytest.mark.parametrize("step", [1, 2])
def test_the_discriminator_goes_down_its_loss_that_of_real_classes_and_the_penalty(
    split: ClassificationSplit, step: int
) -> None:
    settings = params(**PENALISED)
    networks, batch, fakes, _ = started(split, settings)
    before = copy.deepcopy(networks.discriminator.network)
    figures = train_discriminator_step(networks, batch, fakes, settings, EXACT, step=step)
    on_real, logits = before(batch.real, batch.labels, batch.given)
    on_fakes, _ = before(fakes.detach(), batch.labels, batch.given)
    adversarial = F.softplus(-on_real).mean() + F.softplus(on_fakes).mean()
    classes = F.cross_entropy(logits, batch.labels)
    loss = adversarial + 0.3 * classes
    if step == 1:  # due at every second
        judged = squared_slope(lambda images: before(images, batch.labels, batch.given)[0], batch.real)
        loss = loss + 3.0 * 2 / 2 * judged.mean()
    assert_slopes_are_of(loss, list(before.parameters()), networks.discriminator.network)
    assert {name: value.item() for name, value in figures.items()} == {
        "d_loss": pytest.approx(adversarial.item(), rel=1e-5),
        "d_class_loss": pytest.approx(classes.item(), rel=1e-5),
        "d_accuracy_real": pytest.approx((on_real > 0).float().mean().item()),
        "d_accuracy_fake": pytest.approx((on_fakes < 0).float().mean().item()),
    }
    assert not any(value.requires_grad for value in figures.values())


def test_a_realness_of_nought_tells_neither_real_nor_fake(split: ClassificationSplit) -> None:
    settings = params(**PLAIN)
    networks, batch, fakes, _ = started(split, settings)
    for weight in networks.discriminator.network.parameters():
        nn.init.zeros_(weight)
    figures = train_discriminator_step(networks, batch, fakes, settings, EXACT, step=1)
    assert figures["d_accuracy_real"] == figures["d_accuracy_fake"] == 0
    assert figures["d_loss"] == 2


def test_the_generator_goes_down_its_loss_that_of_classes_and_of_reading(split: ClassificationSplit) -> None:
    settings = params(**PLAIN)
    networks, batch, _, _ = started(split, settings)
    before, judge = copy.deepcopy(networks.generator.network), networks.discriminator.network
    judged = copy.deepcopy(judge)
    torch.manual_seed(5)
    figures = train_generator_step(
        networks, batch, make_fakes(networks.generator.network, batch, EXACT), settings, EXACT
    )
    torch.manual_seed(5)
    realness, logits = judged(make_fakes(before, batch, EXACT), batch.labels, batch.given)
    classes, reading = F.cross_entropy(logits, batch.labels), reading_loss(before, batch)
    loss = -realness.mean() + 0.3 * classes + reading
    assert_slopes_are_of(loss, list(before.parameters()), networks.generator.network)
    assert {name: value.item() for name, value in figures.items()} == {
        "g_loss": pytest.approx(-realness.mean().item(), rel=1e-5),
        "g_class_loss": pytest.approx(classes.item(), rel=1e-5),
        "g_text_loss": pytest.approx(reading.item(), rel=1e-5),
    }
    assert all(weight.grad is None and weight.requires_grad for weight in judge.parameters())
    assert not any(value.requires_grad for value in figures.values())


def test_without_texts_nothing_is_read(split: ClassificationSplit) -> None:
    settings = params(**PLAIN, text=None)
    networks, batch, fakes, _ = started(split, settings)
    assert set(train_generator_step(networks, batch, fakes, settings, EXACT)) == {"g_loss", "g_class_loss"}


def test_both_see_pictures_changed(split: ClassificationSplit) -> None:
    """Cut out of plain pictures a part is seen, of real ones and of fakes alike, in either step."""
    settings, changed = params(**PLAIN), params(**PLAIN, augment=["cutout"])
    for plain in (True, False):
        losses = []
        for chosen in (settings, changed):
            networks, batch, fakes, _ = started(split, settings)
            real = batch.real if plain else torch.zeros_like(batch.real)
            fakes = torch.zeros_like(fakes) if plain else fakes
            figures = train_discriminator_step(
                networks, replace(batch, real=real), fakes, chosen, EXACT, step=1
            )
            losses.append(figures["d_loss"].item())
        assert losses[0] != losses[1]
    networks, batch, fakes, _ = started(split, settings)
    plain_loss = train_generator_step(networks, batch, fakes, settings, EXACT)["g_loss"]
    networks, batch, fakes, _ = started(split, settings)
    assert train_generator_step(networks, batch, fakes, changed, EXACT)["g_loss"] != plain_loss


def test_reading_counts_captions_of_class_names_alone(split: ClassificationSplit) -> None:
    networks, batch, _, _ = started(split, params(**PLAIN))
    generator = networks.generator.network
    assert batch.texts is not None
    assert batch.own.tolist() == [row % 3 == 0 for row in range(8)]
    apart = (generator.by_text(batch.texts) - generator.by_class(batch.labels)).square().mean(dim=1)
    loss = reading_loss(generator, batch)
    assert loss.item() == pytest.approx(apart[~batch.own].sum().item() / 8, rel=1e-5)
    loss.backward()  # type: ignore[no-untyped-call]
    assert generator.embed.weight.grad is None  # the class stays where it is


def test_fakes_are_asked_for_by_class_or_by_text(split: ClassificationSplit) -> None:
    networks, batch, _, _ = started(split, params(**PLAIN))
    generator = networks.generator.network.eval()
    by_text = torch.tensor([[False], [True]] * 4)
    assert batch.texts is not None
    for asked, kinds in (
        (torch.zeros_like(by_text), generator.by_class(batch.labels)),
        (by_text, torch.where(by_text, generator.by_text(batch.texts), generator.by_class(batch.labels))),
    ):
        torch.manual_seed(3)
        fakes = make_fakes(generator, replace(batch, by_text=asked), EXACT)
        torch.manual_seed(3)
        latents = torch.randn(8, 4)
        torch.testing.assert_close(fakes, generator(latents, generator.ask(kinds, batch.numbers)))


def test_fakes_and_judgements_are_made_in_the_precision_that_was_chosen(split: ClassificationSplit) -> None:
    settings = params(**PLAIN)
    networks, batch, fakes, _ = started(split, settings)
    torch.manual_seed(3)
    exact = make_fakes(networks.generator.network.eval(), batch, EXACT)
    torch.manual_seed(3)
    rough = make_fakes(networks.generator.network, batch, ROUGH)
    assert 0 < (exact - rough).abs().max() < 0.1
    of_generator, of_discriminator = [], []
    for compute in (EXACT, ROUGH):
        networks, batch, fakes, _ = started(split, settings)
        of_generator.append(train_generator_step(networks, batch, fakes, settings, compute)["g_class_loss"])
        networks, batch, fakes, _ = started(split, settings)
        of_discriminator.append(
            train_discriminator_step(networks, batch, fakes, settings, compute, step=1)["d_class_loss"]
        )
    for one, other in (of_generator, of_discriminator):
        assert one != other
        assert one.item() == pytest.approx(other.item(), rel=0.02)


def test_networks_are_built_as_the_data_and_the_params_want_them(split: ClassificationSplit) -> None:
    wide = params(**PLAIN, generator_width=6, discriminator_width=10, discriminator_hidden=12, condition=5)
    coloured = replace(split, images=np.repeat(split.images, 3, axis=3))
    networks, batch, fakes, material = started(coloured, wide)
    assert fakes.shape == (8, 3, 8, 8)
    assert material.captions is not None
    config = networks.generator.network.config
    assert config == {
        "size": 8,
        "channels": 3,
        "classes": ["square", "bar"],
        "latent": 4,
        "condition": 5,
        "width": 6,
        "text": material.captions.config,
        "attributes": config["attributes"],
    }
    assert config["attributes"]["names"] == ["brightness"]
    judge = networks.discriminator.network
    assert (judge.layers[0].out_channels, judge.real.in_features) == (10, 12)
    assert judge.classify.out_features == 2
    assert judge.project_given is not None
    assert judge.project_given.in_features == batch.given.shape[1] == 2 + material.captions.encoder.dimensions
    assert any(
        "parametrizations" in name
        for name, _ in build(split, params()).discriminator.network.named_parameters()
    )


def build(split: ClassificationSplit, settings: TrainGanParams, steps: int = 60) -> Adversaries:
    material, scale = material_of(split, settings)
    return build_adversaries(split, settings, EXACT, material, scale, steps=steps)


def test_without_captions_of_their_own_the_discriminator_knows_numbers_alone(
    split: ClassificationSplit,
) -> None:
    judge = build(replace(split, captions=None), params(**PLAIN)).discriminator.network
    assert judge.project_given is not None
    assert judge.project_given.in_features == 2
    assert build(split, params(**PLAIN, text=None, attributes=[])).discriminator.network.project_given is None


def test_the_generator_learns_at_every_few_steps_and_is_averaged(split: ClassificationSplit) -> None:
    adam = {"name": "adam", "beta1": 0.0, "beta2": 0.99, "weight_decay": 0.0}
    settings = params(
        **PLAIN,
        discriminator_steps=3,
        schedule={"name": "cosine", "warmup": 0.1},
        optimizers={
            "generator": adam | {"learning_rate": 0.1},
            "discriminator": adam | {"learning_rate": 0.2},
        },
        **dict.fromkeys(("generator_learning_rate", "discriminator_learning_rate", "beta1", "beta2")),
    )
    networks = build(split, settings, steps=12)
    rates: dict[str, list[float]] = {"generator": [], "discriminator": []}
    for name, learner, steps in (
        ("generator", networks.generator, 4),
        ("discriminator", networks.discriminator, 12),
    ):
        for _ in range(steps + 1):
            rates[name].append(learner.learning_rate)
            learner.step(sum(weight.sum() for weight in learner.network.parameters()))  # type: ignore[arg-type]
    assert max(rates["generator"]) == pytest.approx(0.1)
    assert max(rates["discriminator"]) == pytest.approx(0.2)
    for of_network in rates.values():  # the last step of each ends the cosine, and no earlier one does
        assert of_network[-1] == pytest.approx(0, abs=1e-9)
        assert min(of_network[:-1]) > 1e-4
    assert networks.generator.judged is not networks.generator.network
    assert networks.discriminator.averaged is None
    assert networks.generator.optimizer.defaults["fused"]
    assert networks.discriminator.optimizer.defaults["fused"]
    assert build(split, settings, steps=1).generator.learning_rate > 0


def test_a_checkpoint_keeps_both_networks_apart(split: ClassificationSplit) -> None:
    assert set(build(split, params(**PLAIN)).parts()) == {
        f"{network}_{part}"
        for network, parts in (
            ("generator", ("network", "averaged", "optimizer")),
            ("discriminator", ("network", "optimizer")),
        )
        for part in parts
    }
