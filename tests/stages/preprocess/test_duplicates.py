import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.intake.intake import difference_hash
from stages.preprocess.duplicates import equal_groups, near_groups, union


def partition(groups):
    """Sets of rows, whatever their numbers."""
    return {frozenset(np.flatnonzero(groups == group)) for group in groups}


def joined_by_hand(looks, bits):
    """Every pair compared; groups merged until nothing changes."""
    sets = [{row} for row in range(len(looks))]
    for a in range(len(looks)):
        for b in range(a):
            if sum(int(x ^ y).bit_count() for x, y in zip(looks[a], looks[b], strict=True)) <= bits:
                first, second = (next(s for s in sets if row in s) for row in (a, b))
                if first is not second:
                    sets.remove(second)
                    first |= second
    return {frozenset(one) for one in sets}


@settings(max_examples=50)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(0, 9),
    st.integers(1, 40),
)
def test_near_groups_are_those_of_all_pairs(seed, bits, count):
    rng = np.random.default_rng(seed)
    looks = rng.integers(0, 2**63, (4, 2), dtype=np.uint64)[rng.integers(0, 4, count)]
    for flip in range(6):  # a few bits off, so that some are near and some not quite
        chosen = rng.random(count) < 0.7
        looks[chosen, flip % 2] ^= np.uint64(1) << rng.integers(0, 64, chosen.sum(), dtype=np.uint64)
    assert partition(near_groups(looks, bits)) == joined_by_hand(looks, bits)


def test_equal_groups_and_their_union_with_others():
    equal = equal_groups(np.array([[1, 2], [3, 4], [1, 2], [1, 4]], np.uint64))
    assert partition(equal) == {frozenset({0, 2}), frozenset({1}), frozenset({3})}
    assert partition(union(equal, np.array([0, 1, 2, 1]))) == {frozenset({0, 2}), frozenset({1, 3})}
    assert not len(near_groups(np.empty((0, 2), np.uint64), 3))


def test_a_brighter_and_coarser_picture_looks_alike_and_another_does_not():
    rng = np.random.default_rng(0)
    smooth = np.kron(rng.integers(20, 200, (9, 9, 1)), np.ones((8, 8, 1))).astype(np.uint8)
    other = np.kron(rng.integers(20, 200, (9, 9, 1)), np.ones((8, 8, 1))).astype(np.uint8)

    def bits_between(a, b):
        return sum((x ^ y).bit_count() for x, y in zip(difference_hash(a), difference_hash(b), strict=True))

    assert bits_between(smooth, smooth + 30) == 0
    assert bits_between(smooth, np.repeat(smooth, 3, axis=2)) == 0
    assert bits_between(smooth, other) > 30
