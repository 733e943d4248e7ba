"""Equal and nearly equal pictures, found by their hashes."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]
"""[N, 2]: 128 bits each."""
Groups = npt.NDArray[np.int64]
"""[N]: rows with the same number belong together."""

BLOCK = 1_000_000  # pairs compared at once


def equal_groups(digests: Hashes) -> Groups:
    """Rows with equal digests."""
    if not len(digests):
        return np.empty(0, dtype=np.int64)
    return np.unique(digests, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)


def near_groups(looks: Hashes, bits: int) -> Groups:
    """Rows joined by pairs that differ in at most `bits` of 128, and by what hangs on them in turn.

    Two such hashes are equal in at least one of `bits + 1` bands, so that only those are compared which share
    one: exact, and far fewer than all pairs.
    """
    unique, inverse = np.unique(looks, axis=0, return_inverse=True)
    pairs = [np.empty((0, 2), dtype=np.int64)]
    for band in _bands(unique, max(bits + 1, 2)):
        for candidates in _sharing(band):
            distance = np.bitwise_count(unique[candidates[:, 0]] ^ unique[candidates[:, 1]]).sum(axis=1)
            pairs.append(candidates[distance <= bits])
    return joined(np.concatenate(pairs), len(unique))[inverse.reshape(-1)]


def joined(pairs: npt.NDArray[np.int64], count: int) -> Groups:
    """Groups of `count` rows, of which `pairs` [M, 2] belong together."""
    from scipy.sparse import (
        coo_array,  # not before: it takes as long to import as a thousand pictures to decode
    )
    from scipy.sparse.csgraph import connected_components

    links = coo_array((np.ones(len(pairs), dtype=bool), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    return np.asarray(connected_components(links, directed=False)[1], dtype=np.int64)


def union(first: Groups, second: Groups) -> Groups:
    """Groups in which rows stand together that do so in one of the two, directly or through others."""
    if not len(first):
        return first
    offset = int(first.max()) + 1
    links = np.stack([first, second + offset], axis=1)
    return joined(links, offset + int(second.max()) + 1)[first]


def _bands(hashes: Hashes, count: int) -> Iterator[npt.NDArray[np.uint64]]:
    """The 128 bits cut into `count` bands of nearly equal width, at most 64: [N] each."""
    for band in np.array_split(np.arange(128), count):
        mask = ((1 << len(band)) - 1) << int(band[0])
        high, low = np.uint64(mask >> 64), np.uint64(mask & (1 << 64) - 1)
        # a band in both halves has the lowest bits of one and the highest of the other: they fit side by side
        yield (hashes[:, 0] & high) | (hashes[:, 1] & low)


def _sharing(band: npt.NDArray[np.uint64]) -> Iterator[npt.NDArray[np.int64]]:
    """All pairs of rows [M, 2] that are equal in the band, some at a time."""
    order = np.argsort(band, kind="stable")
    ends = np.searchsorted(band[order], band[order], side="right")  # of the run that each stands in
    later = ends - np.arange(len(order)) - 1  # partners behind it
    starts = np.concatenate([[0], np.cumsum(later)])
    position = 0
    while position < len(order):
        stop = max(int(np.searchsorted(starts, starts[position] + BLOCK, side="right")) - 1, position + 1)
        counts = later[position:stop]
        left = np.repeat(np.arange(position, stop), counts)
        right = left + 1 + np.arange(len(left)) - np.repeat(starts[position:stop] - starts[position], counts)
        yield np.stack([order[left], order[right]], axis=1)
        position = stop
