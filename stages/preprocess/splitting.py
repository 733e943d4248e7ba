"""The split of each picture: as the data says, else drawn by the seed, in proportion to the classes.

scikit-learn is imported only where it is called. The import takes a second, and `preprocess` does it while
other processes decode pictures.
"""

from collections import Counter
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from stages.core.errors import DataError
from stages.core.packed import Split
from stages.sources.params import SplitParams

Rows = npt.NDArray[np.int64]
Strata = npt.NDArray[np.int64]

FOLDS = 20
"""Groups are cut into at most so many parts: a share is met to within 2.5 % where there are so many."""


def split_rows(
    given: Sequence[Split | None],
    strata: Strata,
    groups: Rows,
    params: SplitParams | None,
    seed: int,
    where: str,
) -> dict[Split, Rows]:
    """Rows of each split, in order.

    `given` is the data's own split of each row. A split that the data gives stays. A missing split is
    drawn from train and from rows without a split, with the same share of every stratum. Without `params`
    the data must give both val and test.

    Raises:
        DataError: A split would be empty, or a stratum cannot stand in both.

    """
    rows = {split: _rows_of(given, (split,)) for split in ("val", "test")}
    train = _rows_of(given, ("train", None))
    if not len(train):
        raise DataError(f"{where}.split: no picture is left to train on: all are in val or test by the data")
    missing = [name for name in ("test", "val") if not len(rows[name])]
    if missing and params is None:
        raise DataError(f"{where}: no picture for {missing[0]}")
    for name in missing:
        share = getattr(params, name)
        if share is None:
            raise DataError(
                f"{where}.split.{name}: the data gives no {name} split: say what share of it to take"
            )
        taken = take_share(strata[train], groups[train], share, seed, f"{where}.split.{name}")
        rows[name], train = train[taken], np.delete(train, taken)
    if not len(train):
        raise DataError(f"{where}.split: no picture is left to train on")
    return {"train": train, "val": rows["val"], "test": rows["test"]}


def _rows_of(given: Sequence[Split | None], wanted: tuple[str | None, ...]) -> Rows:
    return np.fromiter((row for row, split in enumerate(given) if split in wanted), dtype=np.int64)


def take_share(strata: Strata, groups: Rows, share: float, seed: int, where: str) -> Rows:
    """Positions of about `share` of the rows: groups whole, each stratum in proportion.

    Rows without companions are drawn by themselves, which meets the share exactly; groups go by folds.

    Raises:
        DataError: Nothing can be taken so.

    """
    sizes = np.bincount(groups)[groups] if len(groups) else groups
    alone, together = np.flatnonzero(sizes == 1), np.flatnonzero(sizes > 1)
    taken = np.concatenate(
        [
            _take_alone(alone, strata[alone], share, seed, others=len(together) > 0),
            _take_together(together, strata[together], groups[together], share, seed),
        ]
    )
    if not len(taken):
        raise DataError(
            f"{where}: {share:g} of these pictures is none: no class has two pictures, or groups of them, "
            "to be kept apart; add some"
        )
    return np.sort(taken)


def _take_alone(rows: Rows, strata: Strata, share: float, seed: int, others: bool) -> Rows:
    from sklearn.model_selection import train_test_split

    if not len(rows):
        return rows
    try:
        _, taken = train_test_split(rows, test_size=share, stratify=strata, random_state=seed)
    except ValueError:  # a class has too few, or there are more classes than rows to take
        if others:
            return rows[:0]  # too few to be drawn from: the groups have to do
        return _take_of_each(rows, strata, share, seed)
    return np.asarray(taken, dtype=np.int64)


def _take_of_each(rows: Rows, strata: Strata, share: float, seed: int) -> Rows:
    """About the share of each stratum, at least one row; one row alone stays where it is."""
    rng = np.random.default_rng(seed)
    taken = [rows[:0]]
    for stratum in np.unique(strata):
        own = rng.permutation(rows[strata == stratum])
        taken.append(own[: min(max(1, round(share * len(own))), len(own) - 1)])
    return np.concatenate(taken)


def _take_together(rows: Rows, strata: Strata, groups: Rows, share: float, seed: int) -> Rows:
    from sklearn.model_selection import StratifiedGroupKFold

    members = min(Counter(strata.tolist()).values(), default=1)
    most = min(FOLDS, members, max(1, len(np.unique(groups))))
    folds = Fraction(share).limit_denominator(most)
    if not 0 < folds < 1:
        return rows[:0]  # too few to be cut: they stay
    cutter = StratifiedGroupKFold(folds.denominator, shuffle=True, random_state=seed)
    parts = [part for _, part in cutter.split(rows, strata, groups)]
    return np.concatenate([rows[part] for part in parts[: folds.numerator]])


def strata_of_boxes(labels: Sequence[npt.NDArray[np.int64]], classes: int) -> Strata:
    """A stratum for each picture with boxes: its rarest class, or `classes` where it has none.

    Strata of less than four pictures join the largest one: they could not stand in every split.
    """
    numbers = np.bincount(np.concatenate([*labels, np.empty(0, dtype=np.int64)]), minlength=classes)
    strata = np.array(
        [min(picture, key=lambda label: (numbers[label], label), default=classes) for picture in labels],
        dtype=np.int64,
    )
    sizes = np.bincount(strata, minlength=classes + 1)
    strata[sizes[strata] < 4] = sizes.argmax()
    return strata
