"""The classifier's loss, worked out from its logits in numpy."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from stages.classifier.loss import Loss, class_weights
from stages.classifier.network import Classifier, build_classifier
from stages.core.packed import UNCLASSED
from stages.networks.compute import Compute

CPU = Compute(device=torch.device("cpu"), dtype=torch.float32)
IMAGES = torch.rand(5, 3, 8, 8, generator=torch.Generator().manual_seed(1))
LABELS = torch.tensor([0, 2, UNCLASSED, 1, 2])
NAN = float("nan")
ATTRIBUTES = torch.tensor([[1, 0], [0, NAN], [1, 1], [NAN, NAN], [0, 0]], dtype=torch.float32)


def network(classes: list[str], attributes: list[str]) -> Classifier:
    """A small one that has learnt nothing, but is far from even in its answers."""
    config: dict[str, Any] = {
        "classes": classes,
        "attributes": attributes,
        "mean": [0.5] * 3,
        "std": [0.2] * 3,
        "size": [8, 8],
        "network": {"model": "compact", "widths": [[8]], "grid": 2, "features": 8},
        "views": 1,
    }
    torch.manual_seed(3)
    built = build_classifier(config).eval()
    with torch.no_grad():
        for name in built.heads:
            getattr(built, name).weight.mul_(8)
    return built


BOTH = network(["a", "b", "c"], ["shiny", "torn"])


def logits_of(of: Classifier) -> np.ndarray:
    with torch.no_grad():
        return of(IMAGES).double().numpy()


def of_classes(logits: np.ndarray, smoothing: float, weights: np.ndarray) -> float:
    """Minus the mean logarithm of what the right class gets, a class's share in it by its weight.

    Smoothing gives all classes an equal share of the target; the sum is over what the right classes weigh.
    """
    known = LABELS.numpy() != UNCLASSED
    labels, wanted = LABELS.numpy()[known], logits[known]
    minus_log = np.log(np.exp(wanted).sum(axis=1, keepdims=True)) - wanted
    rows = np.arange(len(labels))
    of_right = (weights[labels] * minus_log[rows, labels]).sum()
    of_all = (weights * minus_log).mean(axis=1).sum()
    return float(((1 - smoothing) * of_right + smoothing * of_all) / weights[labels].sum())


def of_attributes(logits: np.ndarray) -> float:
    """The mean over what is known of minus the logarithm of the probability of the truth."""
    targets = ATTRIBUTES.double().numpy()
    likely = 1 / (1 + np.exp(-logits))
    losses = -np.log(np.where(targets == 1, likely, 1 - likely))
    return float(losses[~np.isnan(targets)].mean())


def loss(**changes: Any) -> Loss:
    return Loss(**({"compute": CPU, "smoothing": 0.0, "weights": None} | changes))


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("weights", [None, [0.5, 1.0, 3.0]])
def test_the_loss_of_classes_and_attributes_by_hand(smoothing: float, weights: list[float] | None) -> None:
    logits = logits_of(BOTH)
    by_class = of_classes(logits[:, :3], smoothing, np.array(weights or [1.0] * 3))
    given = None if weights is None else torch.tensor(weights)
    measured = loss(smoothing=smoothing, weights=given)
    assert measured(BOTH, IMAGES, LABELS).item() == pytest.approx(by_class, rel=1e-5)
    both = measured(BOTH, IMAGES, LABELS, ATTRIBUTES).item()
    assert both == pytest.approx(by_class + of_attributes(logits[:, 3:]), rel=1e-5)


def test_attributes_weigh_what_they_are_told_to() -> None:
    logits = logits_of(BOTH)
    expected = of_classes(logits[:, :3], 0.0, np.ones(3)) + 0.25 * of_attributes(logits[:, 3:])
    measured = loss(attribute_weight=0.25)(BOTH, IMAGES, LABELS, ATTRIBUTES)
    assert measured.item() == pytest.approx(expected, rel=1e-5)


def test_attributes_alone_are_learnt_by_a_network_without_classes() -> None:
    alone = network([], ["shiny", "torn"])
    measured = loss()(alone, IMAGES, torch.full((5,), UNCLASSED), ATTRIBUTES)
    assert measured.item() == pytest.approx(of_attributes(logits_of(alone)), rel=1e-5)


def test_pictures_without_a_class_count_for_their_attributes_alone() -> None:
    measured = loss()(BOTH, IMAGES, torch.full((5,), UNCLASSED), ATTRIBUTES)
    assert measured.item() == pytest.approx(of_attributes(logits_of(BOTH)[:, 3:]), rel=1e-5)


@pytest.mark.parametrize("attributes", [None, torch.full((5, 2), NAN)])
def test_where_nothing_is_known_there_is_nothing_to_learn(attributes: Tensor | None) -> None:
    trained = network(["a", "b", "c"], ["shiny", "torn"])
    measured = loss()(trained, IMAGES, torch.full((5,), UNCLASSED), attributes)
    assert measured.item() == 0
    measured.backward()
    assert all(not weight.grad.any() for weight in trained.parameters() if weight.grad is not None)


def test_a_loss_of_half_precision_is_summed_in_single() -> None:
    rough = Compute(device=torch.device("cpu"), dtype=torch.bfloat16)
    measured = loss(compute=rough)(BOTH, IMAGES, LABELS, ATTRIBUTES)
    assert measured.dtype == torch.float32
    exact = loss()(BOTH, IMAGES, LABELS, ATTRIBUTES)
    assert measured.item() == pytest.approx(exact.item(), rel=0.05)
    assert measured.item() != exact.item()


def test_weights_of_classes_by_hand() -> None:
    """Six, three and one picture, and two without a class: a third of ten over each."""
    labels = np.repeat([0, 1, 3, UNCLASSED], [6, 3, 1, 2])
    weights = class_weights(labels, 5)
    assert weights.dtype == torch.float32
    assert weights.tolist() == pytest.approx([10 / 18, 10 / 9, 0, 10 / 3, 0])
