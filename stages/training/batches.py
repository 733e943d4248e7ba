"""The order of training pictures: shuffled again in each epoch, by seed and epoch number alone."""

from collections.abc import Iterator

import torch
from torch import Tensor

from stages.training.budget import batch_count


def epoch_generator(seed: int, epoch: int) -> torch.Generator:
    """A generator whose numbers depend on `seed` and `epoch` alone, not on what was drawn before."""
    # The epoch in the low bits: runs whose seeds differ by one must not share epochs.
    return torch.Generator().manual_seed((seed << 16) + epoch)


def shuffled_batches(
    count: int, batch_size: int, *, seed: int, epoch: int, done: int = 0
) -> Iterator[Tensor]:
    """Indices 0..count-1, shuffled, in batches of exactly `batch_size`, or in one where there are fewer.

    The first `done` batches are left out; the others do not depend on that.

    What does not fill a batch is left to another epoch: a batch of one would upset batch normalisation.
    """
    order = torch.randperm(count, generator=epoch_generator(seed, epoch))
    for batch in range(done, batch_count(count, batch_size)):
        yield order[batch * batch_size : (batch + 1) * batch_size]
