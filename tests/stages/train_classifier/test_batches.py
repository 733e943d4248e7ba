"""Batches of training pictures: order, balance, augmentation."""

import numpy as np
import pytest
import torch

from stages.core.packed import ClassificationSplit
from stages.train_classifier.augment import mirror, shift
from stages.train_classifier.batches import (
    CLASSES_SHOWN,
    balanced_rows,
    build_batches,
    channel_statistics,
    mirrored_in,
    samples_of,
    shifts_in,
)
from stages.training.batches import shuffled_batches


def test_channel_statistics_by_hand() -> None:
    images = np.array([[[[0, 7]], [[255, 7]]]], dtype=np.uint8)  # one picture, 2 x 1 pixels, 2 channels
    mean, std = channel_statistics(images)
    assert mean == pytest.approx([0.5, 7 / 255])
    assert std == pytest.approx([0.5, 1 / 255])  # the second never changes: one grey level


def test_every_picture_once_an_epoch_in_another_order_each() -> None:
    first, again, second = (
        torch.cat(list(shuffled_batches(10, 5, seed=1, epoch=epoch))).tolist() for epoch in (1, 1, 2)
    )
    assert first == again != second
    assert sorted(first) == sorted(second) == list(range(10))
    assert [len(batch) for batch in shuffled_batches(10, 4, seed=1, epoch=1)] == [4, 4]
    assert [len(batch) for batch in shuffled_batches(3, 4, seed=1, epoch=1)] == [3]
    assert torch.cat(list(shuffled_batches(10, 2, seed=1, epoch=1, done=3))).tolist() == first[6:]


def test_each_picture_is_mirrored_in_every_second_epoch() -> None:
    first, second, third = (mirrored_in(epoch, 1000, seed=5) for epoch in (1, 2, 3))
    assert torch.equal(first, ~second)
    assert torch.equal(first, third)
    assert 400 < int(first.sum()) < 600


def test_mirror_touches_the_chosen_alone() -> None:
    images = torch.arange(6.0).view(2, 1, 1, 3)
    assert mirror(images, torch.tensor([False, True])).flatten().tolist() == [0, 1, 2, 5, 4, 3]


def test_shift_moves_each_picture_whole() -> None:
    images = torch.zeros(64, 2, 9, 7)
    images[:, :, 4, 3] = 1
    by = shifts_in(1, 64, 2, seed=0)
    shifted = shift(images, by)
    assert shifted.shape == images.shape
    assert torch.equal(shifted.sum(dim=(2, 3)), torch.ones(64, 2))  # no picture lost its point
    _, rows, columns = shifted[:, 0].nonzero(as_tuple=True)
    assert torch.equal(rows, 4 + by[0])
    assert torch.equal(columns, 3 + by[1])
    assert set(by.flatten().tolist()) == {-2, -1, 0, 1, 2}
    assert torch.equal(shift(images, torch.zeros_like(by)), images)


def test_balanced_rows_show_every_class_alike_and_every_picture_of_a_class() -> None:
    labels = np.repeat([0, 1, 3], [20, 3, 1])  # no picture of class 2
    rows = balanced_rows(labels, seed=0, epoch=1)
    assert np.bincount(labels[rows]).tolist() == [8, 8, 0, 8]
    assert len(set(rows[labels[rows] == 0].tolist())) == 8  # none twice
    assert sorted(np.bincount(rows[labels[rows] == 1] - 20).tolist()) == [2, 3, 3]
    assert rows.tolist() == balanced_rows(labels, seed=0, epoch=1).tolist()
    assert rows.tolist() != balanced_rows(labels, seed=0, epoch=2).tolist()


def test_labels_go_with_their_pictures_and_what_is_left_out_changes_nothing() -> None:
    labels = np.arange(12) % 3
    images = np.broadcast_to((labels * 80 + 40).astype(np.uint8)[:, None, None, None], (12, 6, 6, 1))
    last = {"last": (labels == 2).astype(np.float64)}
    split = ClassificationSplit(images=images, labels=labels, classes=["a", "b", "c"], attributes=last)
    brighter = [{"RandomBrightnessContrast": {"brightness_limit": [0.01, 0.05], "p": 1.0}}]
    how = {"mirror": True, "shift": 0, "balanced": True, "transforms": brighter, "attributes": ["last"]}
    batches = build_batches(split, size=4, seed=1, **how)
    seen = list(batches.epoch(2))
    assert len(seen) == 3
    for pictures, of, has in seen:
        assert torch.equal(has[:, 0], (of == 2).float())
        assert torch.equal(((pictures[:, 0, 0, 0] * 255 - 40) / 80).round(), of.float())
        assert not torch.equal(pictures[:, 0, 0, 0] * 255, of * 80 + 40)
    assert [of.tolist() for _, of, _ in batches.epoch(2, done=1)] == [of.tolist() for _, of, _ in seen[1:]]


def test_samples_are_of_each_class_up_to_as_many_as_anyone_looks_at() -> None:
    def rows(classes: int) -> int:
        images = np.zeros((classes, 8, 8, 1), np.uint8)
        names = [str(number) for number in range(classes)]
        split = ClassificationSplit(images=images, labels=np.arange(classes), classes=names)
        how = {"mirror": True, "shift": 1, "balanced": False, "transforms": []}
        return len(samples_of(build_batches(split, size=4, seed=1, **how), columns=2).labels)

    assert rows(3) == 3
    assert rows(300) == CLASSES_SHOWN
