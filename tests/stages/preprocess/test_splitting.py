import numpy as np
import pytest

from stages.core.errors import DataError
from stages.preprocess.splitting import split_rows, strata_of_boxes, take_share
from stages.sources.params import SplitParams


def params(val=0.2, test=None):
    return SplitParams(val=val, test=test, group_pattern=None, near_duplicates=None)


def split(given, strata, groups=None, seed=1, **changes):
    groups = np.arange(len(strata)) if groups is None else groups
    return split_rows(given, np.array(strata), groups, params(**changes), seed, "preprocess.task")


def test_given_splits_stay_and_missing_ones_are_taken_from_train():
    given = ["train"] * 10 + ["test"] * 5 + [None] * 10
    parts = split(given, [0] * 10 + [1] * 5 + [1] * 10)
    assert parts["test"].tolist() == list(range(10, 15))
    assert sorted([*parts["train"], *parts["val"]]) == [*range(10), *range(15, 25)]
    assert [(parts["val"] < 10).sum(), (parts["val"] >= 15).sum()] == [2, 2]  # a fifth of each class


def test_the_seed_decides():
    first, again, other = (split([None] * 60, [0, 1] * 30, test=0.1, seed=seed) for seed in (1, 1, 2))
    assert all((first[name] == again[name]).all() for name in first)
    assert any(first[name].tolist() != other[name].tolist() for name in first)


@pytest.mark.parametrize("seed", range(5))
def test_groups_are_never_divided_and_classes_stay_in_proportion(seed):
    rng = np.random.default_rng(seed)
    groups = rng.integers(0, 60, 600)
    strata = groups % 3
    parts = split([None] * 600, strata, groups, seed=seed, val=0.2, test=0.2)
    of = [set(groups[rows]) for rows in parts.values()]
    assert not of[0] & of[1]
    assert not of[0] & of[2]
    assert not of[1] & of[2]
    for name, share in (("test", 0.2), ("val", 0.16), ("train", 0.64)):
        counts = np.bincount(strata[parts[name]], minlength=3) / np.bincount(strata)
        assert np.abs(counts - share).max() < 0.1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([None] * 20, [0] * 20), r"preprocess\.task\.split\.test: the data gives no test split"),
        ((["val"] * 9 + ["test"] * 9, [0] * 18), "no picture is left to train on"),
        (([None] * 9 + ["test"], [0] * 10, np.array([0] * 9 + [1])), "no class has two pictures"),
        (([None] * 9 + ["test"], [0] * 9 + [1], np.arange(10)), None),
    ],
)
def test_what_cannot_be_split_is_said(arguments, message):
    if message is None:
        assert len(split(*arguments)["val"]) == 2
    else:
        with pytest.raises(DataError, match=message):
            split(*arguments)


def test_stratum_of_boxes_is_the_rarest_class():
    labels = [np.array([0, 1])] * 4 + [np.array([0, 0, 0])] * 5 + [np.array([], np.int64)] * 4
    assert strata_of_boxes(labels, 2).tolist() == [1] * 4 + [0] * 5 + [2] * 4
    few = [np.array([0])] * 5 + [np.array([1])]
    assert strata_of_boxes(few, 2).tolist() == [0] * 6


def test_of_equally_rare_classes_the_first_is_the_stratum():
    assert strata_of_boxes([np.array([1, 0])] * 5, 2).tolist() == [0] * 5


@pytest.mark.parametrize(("number", "strata"), [(3, [0] * 8), (4, [0] * 5 + [1] * 4)])
def test_a_stratum_of_less_than_four_pictures_joins_the_largest(number, strata):
    labels = [np.array([0])] * 5 + [np.array([1])] * number
    assert strata_of_boxes(labels, 2).tolist() == strata


def test_pictures_without_boxes_are_a_stratum_of_their_own():
    labels = [np.array([0])] * 4 + [np.array([], np.int64)] * 5
    assert strata_of_boxes(labels, 1).tolist() == [0] * 4 + [1] * 5


def test_without_shares_the_data_has_to_give_every_split():
    given = ["train"] * 4 + ["val"] * 2
    with pytest.raises(DataError, match=r"^preprocess\.task: no picture for test$"):
        split_rows(given, np.zeros(6, int), np.arange(6), None, 1, "preprocess.task")
    parts = split_rows([*given, "test"], np.zeros(7, int), np.arange(7), None, 1, "preprocess.task")
    assert {name: rows.tolist() for name, rows in parts.items()} == {
        "train": [0, 1, 2, 3],
        "val": [4, 5],
        "test": [6],
    }


@pytest.mark.parametrize("share", [0.05, 0.15, 0.5, 0.95])
def test_pictures_without_companions_meet_the_share_exactly_and_groups_to_a_twentieth(share):
    strata = np.arange(400) % 2
    alone = take_share(strata, np.arange(400), share, 1, "here")
    assert len(alone) == 400 * share
    assert (strata[alone] == 0).sum() == 200 * share
    assert alone.tolist() == sorted(alone)
    pairs = take_share(np.zeros(400, int), np.arange(400) // 2, share, 1, "here")
    assert len(pairs) == pytest.approx(400 * share, abs=2)
    assert set(np.bincount(pairs // 2)) <= {0, 2}


def test_single_pictures_beside_groups_are_taken_by_themselves():
    groups = np.array([*range(40), *(40 + np.arange(40) // 4)])
    taken = take_share(np.zeros(80, int), groups, 0.25, 1, "here")
    assert (taken < 40).sum() == 10
    assert (taken >= 40).sum() == pytest.approx(10, abs=4)


def test_too_few_single_pictures_beside_groups_stay():
    """One of a class cannot be drawn in proportion: the groups alone give."""
    strata, groups = np.array([1] + [0] * 40), np.array([0, *(1 + np.arange(40) // 4)])
    taken = take_share(strata, groups, 0.25, 1, "here")
    assert 0 not in taken
    assert len(taken) == pytest.approx(10, abs=4)


def test_of_each_small_class_about_the_share_is_taken_at_least_one_and_never_all():
    """25 classes, of which a fifth of 51 pictures is fewer than there are classes."""
    strata = np.concatenate([np.arange(24).repeat(2), [24] * 3])
    taken = take_share(strata, np.arange(51), 0.2, 1, "here")
    assert np.bincount(strata[taken]).tolist() == [1] * 25
    assert len(take_share(strata, np.arange(51), 0.47, 1, "here")) >= 24


def test_a_class_of_one_picture_is_trained_on_and_stops_no_other():
    parts = split([None] * 9, [0] * 4 + [1] * 4 + [2], val=0.25, test=0.25)
    assert 8 in parts["train"]
    assert [len(parts[name]) for name in ("train", "val", "test")] == [5, 2, 2]
    assert [(parts[name] < 4).sum() for name in ("val", "test")] == [1, 1]


def test_of_many_small_classes_each_gives_a_picture():
    parts = split([None] * 60, np.arange(60) % 20, val=0.1, test=0.1)
    for rows in parts.values():
        assert sorted(rows % 20) == list(range(20))


def test_the_seed_decides_of_small_classes_and_of_groups_too():
    many, pairs = np.arange(60) % 20, np.arange(120) // 2
    for strata, groups in ((many, np.arange(60)), (np.zeros(120, int), pairs)):
        first, again, other = (take_share(strata, groups, 0.1, seed, "here") for seed in (1, 1, 2))
        assert first.tolist() == again.tolist() != other.tolist()
        assert first.dtype == np.int64


@pytest.mark.parametrize("share", [0.05, 0.1, 0.9, 0.95])
def test_groups_that_are_too_few_to_be_cut_so_stay(share):
    """Of four pairs a twentieth is none, and all but a twentieth would be all."""
    with pytest.raises(
        DataError, match=r"^here: 0\.\d+ of these pictures is none: no class has two pictures"
    ):
        take_share(np.zeros(8, int), np.arange(8) // 2, share, 1, "here")
    half = take_share(np.zeros(8, int), np.arange(8) // 2, 0.5, 1, "here")
    assert np.bincount(half // 2).tolist().count(2) == 2


def test_nothing_at_all_cannot_be_shared():
    with pytest.raises(DataError, match=r"^here: 0\.5 of these pictures is none"):
        take_share(np.zeros(0, int), np.zeros(0, int), 0.5, 1, "here")


def test_what_cannot_be_taken_is_said_with_the_key():
    said = r"^preprocess\.task\.split\.val: 0\.2 of these pictures is none"
    with pytest.raises(DataError, match=said):
        split([None] * 3 + ["test"], [0, 1, 2, 0])
    with pytest.raises(
        DataError, match=r"^preprocess\.task\.split: no picture is left to train on: all are in val"
    ):
        split(["val", "test"], [0, 0])


def test_a_given_val_split_stays_and_test_is_drawn_from_the_rest():
    parts = split(["val"] * 4 + [None] * 16, [0] * 20, test=0.25)
    assert parts["val"].tolist() == [0, 1, 2, 3]
    assert len(parts["test"]) == 4
    assert {name: rows.dtype for name, rows in parts.items()} == dict.fromkeys(
        ("train", "val", "test"), np.int64
    )
    assert list(parts) == ["train", "val", "test"]
    assert sorted(np.concatenate(list(parts.values()))) == list(range(20))


def test_test_is_taken_first_and_val_of_what_is_left():
    parts = split([None] * 100, [0] * 100, val=0.25, test=0.2)
    assert {name: len(rows) for name, rows in parts.items()} == {"train": 60, "val": 20, "test": 20}


def test_about_the_share_of_each_class_that_is_too_small_to_be_drawn_from_in_proportion():
    """One class has a single picture, so that each is drawn from by itself: of 9 two, of 4 one, of 1 none."""
    taken = take_share(np.array([0] * 9 + [1] * 4 + [2]), np.arange(14), 0.2, 1, "here")
    assert np.bincount(np.array([0] * 9 + [1] * 4 + [2])[taken], minlength=3).tolist() == [2, 1, 0]
    nearly_all = take_share(np.array([0] * 9 + [1] * 4 + [2]), np.arange(14), 0.95, 1, "here")
    assert np.bincount(np.array([0] * 9 + [1] * 4 + [2])[nearly_all], minlength=3).tolist() == [8, 3, 0]


def test_a_share_of_groups_below_a_twentieth_is_a_twentieth():
    taken = take_share(np.zeros(400, int), np.arange(400) // 2, 0.03, 1, "here")
    assert len(taken) == pytest.approx(20, abs=2)


def test_groups_are_cut_into_no_more_parts_than_a_class_has_pictures():
    """A fifth of a class of three pictures in one group is a third: scikit-learn would warn of five parts."""
    strata = np.array([0] * 3 + [1] * 30)
    taken = take_share(strata, np.arange(33) // 3, 0.2, 1, "here")
    assert len(taken) % 3 == 0
    assert len(taken) == pytest.approx(11, abs=3)


@pytest.mark.parametrize("share", [0.5, 0.6])
def test_a_sole_group_stays(share):
    with pytest.raises(DataError, match="no class has two pictures, or groups of them"):
        take_share(np.zeros(6, int), np.zeros(6, int), share, 1, "here")


def test_without_pictures_there_are_no_strata():
    strata = strata_of_boxes([], 2)
    assert (strata.tolist(), strata.dtype) == ([], np.int64)
