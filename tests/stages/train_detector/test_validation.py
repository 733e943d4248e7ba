"""The losses of a detector, in training and on val."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from stages.core.packed import DetectionSplit
from stages.detector.network import build_detector
from stages.networks.calibration import fitted_logistic
from stages.networks.compute import Compute
from stages.train_detector.batches import Shown, build_detector_batches
from stages.train_detector.params import TrainDetectorParams
from stages.train_detector.trainer import DetectorTrainer
from stages.train_detector.validation import Held, calibration_on, evaluate, losses_of, validation_loss
from stages.training.optimization import build_learner
from stages.training.params import SgdParams
from stages.training.state import TrainingState
from tests.stages.detector.detector_networks import CHOICES, NETWORKS

EXACT = Compute(device=torch.device("cpu"), dtype=torch.float32)
ROUGH = Compute(device=torch.device("cpu"), dtype=torch.bfloat16)


class Counting(nn.Module):
    """A network whose losses are what it is shown."""

    def __init__(self) -> None:
        super().__init__()
        self.normed = nn.Sequential(nn.BatchNorm1d(1), nn.Dropout())
        self.slope = nn.Parameter(torch.ones(()))
        self.seen: list[dict[str, Any]] = []

    def forward(self, images: list[Tensor], targets: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        draw = torch.rand(1).item()
        self.seen.append(
            {
                "draw": draw,
                "labels": [target["labels"].tolist() for target in targets],
                "proposals": [target["proposals"].tolist() for target in targets if "proposals" in target],
                "trains": [layer.training for layer in (self, self.normed, *self.normed)],
                "type": (torch.ones(1, 1) @ torch.ones(1, 1)).dtype,
                "gradients": torch.is_grad_enabled(),
            }
        )
        boxes = sum(len(target["boxes"]) for target in targets)
        return {"bright": self.slope * torch.stack([*images]).mean(), "boxes": self.slope * boxes}


def split_of(levels: list[int], counts: list[int]) -> DetectionSplit:
    """Plain pictures, with so many boxes each."""
    images = np.array(levels, np.uint8).reshape(-1, 1, 1, 1) + np.zeros((1, 16, 24, 1), np.uint8)
    return DetectionSplit(
        images=images,
        boxes=[np.array([[1, 2, 9, 10]] * count, np.float32).reshape(-1, 4) for count in counts],
        labels=[np.full(count, row % 2) for row, count in enumerate(counts)],
        classes=["a", "b"],
    )


def test_the_loss_on_val_counts_every_picture_alike() -> None:
    """Batches of two and of one: their losses are 0.2 + 3 and 1 + 4."""
    network = Counting()
    found = validation_loss(network, Held(split=split_of([0, 102, 255], [1, 2, 4]), proposals=None), EXACT, 2)
    assert found == pytest.approx((2 * 3.2 + 5) / 3)
    assert [seen["labels"] for seen in network.seen] == [[[1], [2, 2]], [[1, 1, 1, 1]]]
    assert [seen["gradients"] for seen in network.seen] == [False, False]


def test_normalisations_stay_in_use_and_the_network_trains() -> None:
    network = Counting().eval()
    validation_loss(network, Held(split=split_of([9], [1]), proposals=None), EXACT, 2)
    assert network.seen[0]["trains"] == [True, True, False, False]


def test_every_validation_draws_the_same_and_nothing_of_training() -> None:
    network, held = Counting(), Held(split=split_of([9, 9, 9], [1, 1, 1]), proposals=None)
    torch.manual_seed(7)
    before = torch.get_rng_state()
    validation_loss(network, held, EXACT, 2)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(8)
    validation_loss(network, held, EXACT, 2)
    draws = [seen["draw"] for seen in network.seen]
    assert draws[:2] == draws[2:]
    assert draws[0] == torch.rand(1, generator=torch.Generator().manual_seed(0)).item()


def test_given_proposals_go_with_their_pictures() -> None:
    network = Counting()
    given = [np.array([[0, 0, 4, row + 1]], np.float32) for row in range(3)]
    validation_loss(network, Held(split=split_of([9, 9, 9], [1, 1, 1]), proposals=given), EXACT, 2)
    assert [seen["proposals"] for seen in network.seen] == [
        [[[0, 0, 4, 1]], [[0, 0, 4, 2]]],
        [[[0, 0, 4, 3]]],
    ]


def test_losses_are_computed_in_the_precision_that_was_chosen() -> None:
    split = split_of([51, 51], [1, 2])
    shown = Shown(
        images=torch.full((2, 1, 16, 24), 0.2), boxes=split.boxes, labels=split.labels, proposals=None
    )
    network = Counting()
    found = {name: loss.item() for name, loss in losses_of(network, shown, EXACT).items()}
    assert found == {"bright": pytest.approx(0.2), "boxes": 3}
    losses_of(network, shown, ROUGH)
    assert [seen["type"] for seen in network.seen] == [torch.float32, torch.bfloat16]


@pytest.fixture
def scenes() -> DetectionSplit:
    """Dark and bright rectangles on grey, one of each in a picture."""
    draw = np.random.default_rng(0)
    images, boxes = np.full((6, 32, 48, 1), 128, np.uint8), []
    for image in images:
        own = []
        for left, level in ((0, 20), (24, 240)):
            x, y = left + draw.integers(0, 8), draw.integers(0, 12)
            image[y : y + 14, x : x + 12] = level
            own.append([x, y, x + 12, y + 14])
        boxes.append(np.array(own, np.float32))
    return DetectionSplit(
        images=images, boxes=boxes, labels=[np.array([0, 1])] * 6, classes=["dark", "bright"]
    )


def trainer_of(scenes: DetectionSplit, **changed: Any) -> DetectorTrainer:
    torch.manual_seed(0)
    network = build_detector({"classes": scenes.classes, "channels": 1, "network": NETWORKS["ssd"]})
    settings = CHOICES | {
        "network": NETWORKS["ssd"],
        "epochs": 3,
        "batch_size": 4,
        "validate_every": 2,
        "learning_rate": 0.01,
        "weight_decay": 0.0,
        "warmup": 0.3,
        "gradient_max": 5.0,
        "average_decay": 0.5,
    }
    params = TrainDetectorParams(**(settings | changed))
    learner = build_learner(
        network, optimizer=SgdParams(name="sgd", learning_rate=0.01), schedule=None, steps=4
    )
    batches = build_detector_batches(scenes, size=4, seed=0, scales=[1.0], transforms=[], visible_min=0.3)
    return DetectorTrainer(
        learner=learner, train=batches, val=Held(split=scenes, proposals=None), params=params, compute=EXACT
    )


def test_a_step_tells_every_loss_and_goes_down_their_sum(scenes: DetectionSplit) -> None:
    trainer, state = trainer_of(scenes), TrainingState()
    trainer.begin_epoch()
    batch = next(iter(trainer.batches(1, done=0)))
    weights = list(trainer.learner.network.parameters())
    statistics = {name: value.clone() for name, value in trainer.learner.network.named_buffers()}
    losses = losses_of(trainer.learner.network, batch, EXACT)
    slopes = torch.autograd.grad(sum(losses.values(), torch.zeros(())), weights, allow_unused=True)
    for name, value in trainer.learner.network.named_buffers():
        value.copy_(statistics[name])
    found = trainer.step(batch, state)
    assert found == {name: pytest.approx(loss.item()) for name, loss in losses.items()} | {
        "learning_rate": 0.01
    }
    for weight, slope in zip(weights, slopes, strict=True):
        if slope is not None:
            torch.testing.assert_close(weight.grad, slope)


def test_an_epoch_is_judged_by_means_and_where_it_is_due_on_val(scenes: DetectionSplit) -> None:
    trainer, state = trainer_of(scenes), TrainingState()
    state.figures = [
        {"bbox": 3.0, "learning_rate": 0.1},
        {"bbox": 2.0, "learning_rate": 0.2},
        {"bbox": 1.0, "learning_rate": 0.4},
    ]
    means = {"bbox": 2.0, "learning_rate": 0.4}
    first = trainer.judge(state)
    assert (first.row, first.shown, first.details) == (means, means, None)
    for state.epoch in (2, 3):  # every second one, and the last
        judged = trainer.judge(state)
        held = trainer.val
        scores = evaluate(trainer.judged, held, EXACT, 4)
        assert judged.row == means | {
            "val_loss": pytest.approx(validation_loss(trainer.judged, held, EXACT, 4)),
            "val_map50": scores.map50,
            "val_map": scores.map,
        }
        assert judged.shown == judged.row
        assert judged.details["map"] == scores.map


def test_a_checkpoint_keeps_the_learner_and_the_augmentation(scenes: DetectionSplit) -> None:
    trainer = trainer_of(scenes)
    assert set(trainer.parts()) == {"augmentation", "network", "optimizer"}


class Finding(nn.Module):
    """A network that finds in each picture, one after the other, what it is told."""

    def __init__(self, found: list[dict[str, Tensor]]) -> None:
        super().__init__()
        self.config: dict[str, Any] = {}
        self.found = iter(found)

    def forward(self, images: list[Tensor], _targets: object) -> list[dict[str, Tensor]]:
        return [next(self.found) for _ in images]


def test_scores_are_calibrated_by_whether_boxes_overlap_half(scenes: DetectionSplit) -> None:
    """Moved by 3 of 12 pixels a box overlaps by 0.6, moved by 5 by 0.41."""
    found, scores, right = [], [], []
    for number, boxes in enumerate(scenes.boxes):
        by = np.array([3, 5] if number < 4 else [5, 3], np.float32)[:, None] * np.array(
            [1, 0, 1, 0], np.float32
        )
        sure = np.array([0.9, 0.3]) - number / 100
        found.append(
            {
                "boxes": torch.from_numpy(boxes + by),
                "labels": torch.tensor([1, 2]),
                "scores": torch.tensor(sure, dtype=torch.float32),
            }
        )
        scores += sure.tolist()
        right += [True, False] if number < 4 else [False, True]
    held = Held(split=scenes, proposals=None)
    calibration = calibration_on(Finding(found), held, EXACT, 4)
    wanted = fitted_logistic(np.array(scores), np.array(right))
    assert (calibration.slope, calibration.offset) == pytest.approx((wanted.slope, wanted.offset), rel=1e-3)
    assert wanted.slope > 0
