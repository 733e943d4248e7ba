"""The loss of a step, and the figures of a validation, worked out by hand."""

import math
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from stages.augmentation.pipeline import pipeline
from stages.classifier.loss import Loss
from stages.classifier.network import Classifier
from stages.core.packed import UNCLASSED, ClassificationSplit
from stages.networks.compute import Compute
from stages.train_classifier.batches import Batches
from stages.train_classifier.trainer import ClassifierTrainer, validate
from stages.training.optimization import build_learner
from stages.training.params import SgdParams
from stages.training.state import TrainingState

NAN = float("nan")
EXACT = Compute(device=torch.device("cpu"), dtype=torch.float32)


class Readable(nn.Module):
    """A network whose logits are written into the pictures: a pixel each, ten levels for 1, and 100 for 0."""

    def __init__(self, classes: int, attributes: int = 0) -> None:
        super().__init__()
        names = [f"x{number}" for number in range(attributes)]
        self.config: dict[str, Any] = {"classes": ["a", "b", "c"][:classes], "views": 2, "attributes": names}
        self.slope = nn.Parameter(torch.ones(()))
        self.asked: list[bool] = []

    def forward(self, images: Tensor) -> Tensor:
        self.asked.append(self.training)
        return self.slope * (images[:, 0, 0] * 255 - 100) / 10


def network_of(classes: int, attributes: int = 0) -> Classifier:
    return cast("Classifier", Readable(classes, attributes))


def split_of(
    logits: list[list[float]], labels: list[int], attributes: list[list[float]] | None = None
) -> ClassificationSplit:
    images = np.round(np.array(logits) * 10 + 100).astype(np.uint8)[:, None, :, None]  # [N, 1, K + A, 1]
    told = None if attributes is None else np.array(attributes, dtype=np.float32)
    known = {} if told is None else {f"x{number}": told[:, number] for number in range(told.shape[1])}
    return ClassificationSplit(
        images=images, labels=np.array(labels), classes=["a", "b", "c"], attributes=known
    )


def log_softmax(logits: list[float], label: int) -> float:
    return logits[label] - math.log(sum(math.exp(logit) for logit in logits))


def test_validation_of_classes_by_hand() -> None:
    """The second is taken for c. The third has no class, and counts for nothing."""
    logits = [[2.0, 0.0, -1.0], [0.0, 0.5, 3.0], [5.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    found = validate(network_of(3).train(), split_of(logits, [0, 1, UNCLASSED, 2]), compute=EXACT, views=1)
    losses = [-log_softmax(logits[row], label) for row, label in ((0, 0), (1, 1), (3, 2))]
    assert found == {
        "val_loss": pytest.approx(sum(losses) / 3, rel=1e-5),
        "val_accuracy": pytest.approx(2 / 3),
    }


def test_a_probability_of_nought_leaves_the_loss_finite() -> None:
    found = validate(
        network_of(2), split_of([[15.0, -9.0]] * 9 + [[-9.0, 15.0]], [0] * 10), compute=EXACT, views=1
    )
    assert found["val_loss"] == pytest.approx(2.4, rel=1e-3)
    steep = network_of(2)
    with torch.no_grad():
        steep.get_parameter("slope").fill_(100.0)
    found = validate(steep, split_of([[15.0, -9.0]], [1]), compute=EXACT, views=1)
    assert found["val_loss"] == pytest.approx(-math.log(torch.finfo(torch.float32).tiny))


def test_validation_of_attributes_by_hand() -> None:
    """Of the first attribute the surer of the known is wrong: 1/2. Of the second none is known."""
    logits = [[2.0, 0.0], [1.0, 0.0], [3.0, 0.0]]
    targets = [[0.0, NAN], [1.0, NAN], [NAN, NAN]]
    found = validate(network_of(0, 2), split_of(logits, [UNCLASSED] * 3, targets), compute=EXACT, views=1)
    losses = [math.log1p(math.exp(2.0)), math.log1p(math.exp(-1.0))]
    assert found == {
        "val_attribute_loss": pytest.approx(sum(losses) / 2, rel=1e-5),
        "val_map": pytest.approx(0.5),
    }


def test_the_score_of_both_is_the_mean_of_accuracy_and_precision() -> None:
    logits = [[2.0, 0.0, 1.0], [1.0, 0.0, 2.0], [3.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    split = split_of(logits, [0, 1, 0, 1], [[1.0], [0.0], [0.0], [0.0]])
    found = validate(network_of(2, 1), split, compute=EXACT, views=1)
    assert found["val_accuracy"] == 0.75
    assert found["val_map"] == pytest.approx(0.5)
    assert found["val_score"] == pytest.approx(0.625)


def test_attributes_that_no_picture_has_give_no_score() -> None:
    split = split_of([[2.0, 0.0, 1.0]], [0], [[0.0]])
    found = validate(network_of(2, 1), split, compute=EXACT, views=1)
    assert set(found) == {"val_loss", "val_accuracy", "val_attribute_loss"}


def test_where_no_picture_has_a_class_there_is_no_accuracy() -> None:
    split = split_of([[2.0, 0.0, 1.0], [0.0, 0.0, -1.0]], [UNCLASSED] * 2, [[1.0], [0.0]])
    found = validate(network_of(2, 1), split, compute=EXACT, views=1)
    assert set(found) == {"val_attribute_loss", "val_map"}
    assert found["val_map"] == 1.0


@pytest.fixture
def trainer() -> ClassifierTrainer:
    """Of pictures whose class is always the likelier one."""
    split = split_of([[1.0, 0.0]] * 8, [0] * 8)
    batches = Batches(
        split=split, size=4, seed=0, mirror=False, shift=0, balanced=False, pipeline=pipeline([], seed=0)
    )
    return ClassifierTrainer(
        learner=build_learner(
            network_of(2),
            optimizer=SgdParams(name="sgd", learning_rate=0.5, momentum=0.0),
            schedule=None,
            steps=2,
        ),
        train=batches,
        val=split,
        loss=Loss(compute=EXACT, smoothing=0.0, weights=None),
        compute=EXACT,
    )


def test_a_step_tells_its_loss_and_goes_down_its_slope(trainer: ClassifierTrainer) -> None:
    network, state = cast("Readable", trainer.learner.network), TrainingState()
    first, _ = trainer.batches(1, done=0)
    assert trainer.step(first, state) == {"loss": pytest.approx(math.log1p(math.exp(-1.0)), rel=1e-5)}
    # The slope by the factor of both logits is minus the probability of the other class.
    assert network.slope.item() == pytest.approx(1 + 0.5 / (1 + math.e), rel=1e-4)
    assert len(list(trainer.batches(1, done=1))) == 1


def test_an_epoch_is_judged_in_evaluation_and_the_next_begins_in_training(trainer: ClassifierTrainer) -> None:
    network, state = cast("Readable", trainer.learner.network), TrainingState()
    state.figures = [{"loss": 3.0}, {"loss": 1.0}, {"loss": 0.5}]
    judged = trainer.judge(state)
    likely = math.log1p(math.exp(-1.0))
    assert judged.row == {
        "train_loss": 1.5,
        "val_loss": pytest.approx(likely, rel=1e-5),
        "val_accuracy": 1.0,
        "learning_rate": 0.5,
    }
    assert judged.shown == {"loss": 1.5, "val_accuracy": 1.0}
    assert network.asked == [False]  # once: from one view of each picture
    trainer.begin_epoch()
    assert network.training


def test_a_checkpoint_keeps_the_learner_and_the_augmentation(trainer: ClassifierTrainer) -> None:
    assert set(trainer.parts()) == {"augmentation", "network", "optimizer"}
    assert trainer.judged is trainer.learner.network
