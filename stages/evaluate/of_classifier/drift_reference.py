"""What the pictures of an inbox are compared with later: features of those of train and val."""

from pathlib import Path

import numpy as np

from stages.classifier.network import Classifier, attributes_of, features_of
from stages.core.packed import Split, load_classification
from stages.drift.reference import TRAIN_MOST, Reference, make_reference
from stages.evaluate.timing import timed
from stages.networks.compute import Compute

LEARNT: tuple[Split, ...] = ("train", "val")
"""The splits whose pictures are known."""


def drift_reference(
    network: Classifier, folder: Path, compute: Compute, *, batch_size: int, seed: int
) -> Reference | None:
    """The reference of the pictures that preprocess packed in `folder`; None: they are too few.

    `network` is on `compute`'s device.

    Raises:
        ModelError: The classifier's features are not finite.

    """
    # one that tells attributes was trained on pictures without a class too
    unclassed = bool(attributes_of(network.config))
    train, val = (load_classification(folder, split, unclassed=unclassed).images for split in LEARNT)
    if len(train) > TRAIN_MOST:
        train = train[np.sort(np.random.default_rng(seed).permutation(len(train))[:TRAIN_MOST])]
    with timed("compared with samples of val", len(train) + len(val)):
        known, unseen = (features_of(network, images, compute, batch_size) for images in (train, val))
        return make_reference(known, unseen, seed=seed)
