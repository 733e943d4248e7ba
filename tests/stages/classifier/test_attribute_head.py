"""Figures, thresholds and loss of attributes: worked out by hand, and held against scikit-learn."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, f1_score

from stages.classifier.loss import Loss, class_weights
from stages.classifier.network import Classifier, ask, build_classifier, mean_logits, predict
from stages.networks.calibration import average_precisions, best_thresholds, counts_at
from stages.networks.compute import Compute

NAN = float("nan")
EXACT = Compute(device=torch.device("cpu"), dtype=torch.float32)
CONFIG: dict[str, Any] = {
    "classes": ["a", "b", "c"],
    "mean": [0.5],
    "std": [0.25],
    "size": [8, 8],
    "network": {"model": "compact", "widths": [[4]], "grid": 2, "features": 8},
    "views": 2,
}
BOTH = CONFIG | {"attributes": ["x", "y"], "attribute_temperatures": [2.0, 0.5], "thresholds": [0.5, 0.5]}
ALONE = BOTH | {"classes": []}


def built(config: dict[str, Any]) -> Classifier:
    torch.manual_seed(1)
    network = build_classifier(config)
    network(torch.rand(16, 1, 8, 8))  # moves the normalisations' statistics off their start
    return network.eval()


PICTURES = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 1), dtype=np.uint8)


def test_average_precision_by_hand() -> None:
    """By score they are yes, no, yes: (1/1 + 2/3) / 2. The fourth is unknown, the other has no yes."""
    scores = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.95, 0.4]])
    targets = np.array([[1, 0], [0, 0], [1, 0], [NAN, NAN]], dtype=np.float32)
    found = average_precisions(scores, targets)
    assert found[0] == pytest.approx((1 + 2 / 3) / 2)
    assert np.isnan(found[1])


def test_a_threshold_by_hand() -> None:
    """With the first three found F1 is 2 * 2 / (3 + 2) = 0.8, otherwise less: half way from .6 to .2."""
    scores = np.array([0.9, 0.7, 0.6, 0.2, 0.1])[:, None]
    targets = np.array([1, 0, 1, 0, 0], dtype=np.float32)[:, None]
    assert best_thresholds(scores, targets) == [pytest.approx(0.4)]


@pytest.mark.parametrize("truth", [[1, 1, 1], [0, 0, 0], [NAN, NAN, NAN], [1, NAN, NAN]])
def test_what_val_cannot_tell_gets_one_half(truth: list[float]) -> None:
    targets = np.array(truth, dtype=np.float32)[:, None]
    assert best_thresholds(np.array([[0.2], [0.3], [0.9]]), targets) == [0.5]


outcomes = st.integers(4, 30).flatmap(
    lambda size: st.tuples(
        st.lists(st.integers(0, 20).map(lambda step: step / 20), min_size=size, max_size=size),
        st.lists(st.sampled_from([0.0, 1.0, NAN]), min_size=size, max_size=size),
    )
)


@given(outcomes)
@settings(max_examples=60, deadline=None)
def test_no_threshold_reaches_a_greater_f1(given_: tuple[list[float], list[float]]) -> None:
    scores, truth = np.array(given_[0]), np.array(given_[1], dtype=np.float32)
    known = ~np.isnan(truth)
    if not (truth == 1).any() or not (truth == 0).any():
        return
    (threshold,) = best_thresholds(scores[:, None], truth[:, None])

    def f1(least: float) -> float:
        return float(f1_score(truth[known], scores[known] >= least, zero_division=0.0))

    assert f1(threshold) == pytest.approx(max(f1(least) for least in [*scores, 0.0, 2.0]))
    right, said, there = counts_at(scores[:, None], truth[:, None], np.array([threshold]))
    assert 2 * right[0] / max(1, said[0] + there[0]) == pytest.approx(f1(threshold))
    (precision,) = average_precisions(scores[:, None], truth[:, None])
    assert precision == pytest.approx(average_precision_score(truth[known], scores[known]))


def test_what_is_unknown_moves_no_weight_and_counts_for_no_loss() -> None:
    network, images = built(BOTH), torch.rand(3, 1, 8, 8)
    loss = Loss(compute=EXACT, smoothing=0.1, weights=class_weights(np.array([0, 1, -1]), 3))
    labels = torch.tensor([0, 1, -1])
    attributes = torch.tensor([[1.0, NAN], [NAN, NAN], [0.0, 1.0]])
    logits = network(images)
    weights = torch.tensor([1.0, 1.0, 0.0])
    expected = F.cross_entropy(logits[:2, :3], labels[:2], weights, label_smoothing=0.1)
    told = torch.stack([logits[0, 3], logits[2, 3], logits[2, 4]])
    expected = expected + F.binary_cross_entropy_with_logits(told, torch.tensor([1.0, 0.0, 1.0]))
    torch.testing.assert_close(loss(network, images, labels, attributes), expected)
    nothing = loss(network, images, torch.tensor([-1, -1, -1]), torch.full((3, 2), NAN))
    nothing.backward()  # type: ignore[no-untyped-call]
    assert nothing.item() == 0
    assert all(not weight.grad.any() for weight in network.parameters() if weight.grad is not None)


def test_attributes_leave_the_classes_what_they_were() -> None:
    plain, both = built(CONFIG), built(BOTH)
    both.load_state_dict(plain.state_dict(), strict=False)
    assert both(torch.rand(2, 1, 8, 8)).shape == (2, 5)
    torch.testing.assert_close(
        predict(both, PICTURES, compute=EXACT), predict(plain, PICTURES, compute=EXACT), rtol=0, atol=1e-6
    )


def test_each_attribute_is_a_probability_by_itself_at_its_own_temperature() -> None:
    network = built(BOTH)
    found, logits = ask(network, PICTURES, compute=EXACT), mean_logits(network, PICTURES, compute=EXACT)
    torch.testing.assert_close(found.attributes, torch.sigmoid(logits[:, 3:] / torch.tensor([2.0, 0.5])))
    torch.testing.assert_close(found.classes.sum(dim=1), torch.ones(5))


def test_a_classifier_of_attributes_alone() -> None:
    network = built(ALONE)
    found = ask(network, PICTURES, compute=EXACT)
    assert found.classes.shape == (5, 0)
    assert found.attributes.shape == (5, 2)
    assert not [name for name in network.state_dict() if name.startswith("head.")]
