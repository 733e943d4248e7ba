"""How long to train: epochs and batch sizes for a given number of pictures.

If params.yaml has `auto`, the rules here apply. For 55,000 pictures of 28 px, and for 54,000 scenes of 96 px,
they give the values that were found best there. For other numbers they extrapolate: fewer pictures are shown
more often and in smaller batches.
"""

import math

PICTURES = 55_000
SCENES = 54_000
"""What the rules were made with."""


def batch_count(count: int, batch_size: int) -> int:
    """How many batches an epoch has: what does not fill one is left to another epoch."""
    return max(1, count // batch_size)


def batch_size(pictures: int, *, most: int, least: int, batches: int) -> int:
    """The greatest power of two, from `least` to `most`, of which an epoch has at least so many `batches`."""
    size = most
    while size > least and pictures < size * batches:
        size //= 2
    return size


def classifier_epochs(pictures: int) -> int:
    """Passes: 12 over 55,000; pictures shown grow with the square root of their number."""
    return max(2, round(12 * math.sqrt(PICTURES / pictures)))


def detector_epochs(scenes: int, epoch_scenes: int) -> int:
    """Epochs of `epoch_scenes`: one pass over 54,000; scenes shown grow as the cube root of their number."""
    passes = math.cbrt(SCENES / scenes) ** 2
    return max(2, round(passes * scenes / min(epoch_scenes, scenes)))


def generator_epochs(pictures: int, batch: int) -> int:
    """Passes: as many steps as five passes over 55,000 in batches of 64, whatever there is."""
    return max(1, round(5 * batch_count(PICTURES, 64) / batch_count(pictures, batch)))


def generator_span(pictures: int, batch: int) -> int:
    """Epochs with as many steps as one pass over 55,000 pictures in batches of 64."""
    return max(1, round(batch_count(PICTURES, 64) / batch_count(pictures, batch)))
