"""What a linear classifier of a network's feature maps says of each picture without having seen its label.

A network that was trained for long knows wrong labels by heart and contradicts none of them. What its maps
show it still shares with pictures of the right class. So each picture is classified by ridge regression on
the maps of all others, which has a closed form: what the regression on all pictures gives, less the share
that the picture's own label has in it (Allen 1974's PRESS).
"""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from stages.classifier.network import Classifier
from stages.networks.compute import Compute, to_unit

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]
Images = npt.NDArray[np.uint8]

GRID = 3  # maps are averaged to so many places a side
COLUMNS_MOST = 2048  # maps of more channels are averaged to one place: the time grows with the square
PENALTY = 3.0
"""Weight of the penalty, for columns of unit variance and a picture: of .03 to 10 the one by which most
planted errors were found."""


def left_out_scores(
    network: Classifier, parts: Sequence[tuple[Images, Labels]], compute: Compute, batch_size: int
) -> Floats:
    """Scores [N, K] of the K classes for all pictures of the parts, each learnt from the others' labels.

    A score is about 1 for the label's class and 0 for others where the maps agree with the labels. The
    network looks at each picture twice, so that memory does not grow with their number.
    """
    classes = len(network.config["classes"])
    labels = np.concatenate([of_part for _, of_part in parts])
    mean, spread, products, targets = _moments(network, parts, compute, batch_size, classes)
    count, prior = len(labels), np.bincount(labels, minlength=classes) / len(labels)
    centred = (products / count - np.outer(mean, mean)) / np.outer(spread, spread)
    inverse = np.linalg.inv(centred + PENALTY * np.eye(len(mean))) / count
    weights = inverse @ ((targets - np.outer(mean, prior) * count) / spread[:, None])  # [D, K]
    scores = []
    for maps, truth in _batches(network, parts, compute, batch_size, classes):
        columns = (maps - mean) / spread
        own = 1 / count + np.einsum("nd,nd->n", columns @ inverse, columns)[:, None]
        scores.append((columns @ weights + prior - own * truth) / (1 - own))
    return np.concatenate(scores)


def _moments(
    network: Classifier,
    parts: Sequence[tuple[Images, Labels]],
    compute: Compute,
    batch_size: int,
    classes: int,
) -> tuple[Floats, Floats, Floats, Floats]:
    """Mean and standard deviation [D] of the columns, their products [D, D], and with the labels [D, K]."""
    total = products = targets = np.zeros(())
    count = 0
    for maps, truth in _batches(network, parts, compute, batch_size, classes):
        total, count = total + maps.sum(axis=0), count + len(maps)
        products, targets = products + maps.T @ maps, targets + maps.T @ truth
    mean = total / count
    variance = np.maximum(products.diagonal() / count - mean**2, 0)
    return mean, np.sqrt(variance) + 1e-6, products, targets


@torch.inference_mode()
def _batches(
    network: Classifier,
    parts: Sequence[tuple[Images, Labels]],
    compute: Compute,
    batch_size: int,
    classes: int,
) -> Iterator[tuple[Floats, Floats]]:
    """Columns [B, D] of the last feature maps, and the labels [B, K] as 0 and 1."""
    for images, labels in parts:
        for start in range(0, len(images), batch_size):
            rows = slice(start, start + batch_size)
            with compute.autocast():
                seen = compute.images(to_unit(images[rows]))
                maps = network.feature_maps(seen, len(network.stages)).float()
            grid = GRID if maps.shape[1] * GRID**2 <= COLUMNS_MOST else 1
            columns = F.adaptive_avg_pool2d(maps, grid).flatten(1).double().cpu().numpy()
            yield columns, np.eye(classes)[labels[rows]]
