"""The figures of generated pictures, against cases worked out by hand and made-up failures."""

from dataclasses import asdict

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import poly_mmd

from stages.core.errors import DataError
from stages.evaluate.of_generator.metrics import (
    Memorisation,
    conditional_accuracy,
    frechet_distance,
    frechet_distances,
    kernel_distance,
    kernel_distances,
    memorisation,
    nearest,
)
from stages.evaluate.of_generator.resampled import (
    halves_of_generated,
    resampled_distances,
    resampled_overlap,
)
from stages.evaluate.resampling import halves, intervals
from stages.generator.overlap import Features, manifold_overlap, to_tensor


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(0)


def normal(random: np.random.Generator, pictures: int = 1500, dimensions: int = 8) -> Features:
    return random.standard_normal((pictures, dimensions)).astype(np.float32)


def with_moments(random: np.random.Generator, mean: float, deviation: float) -> Features:
    """[N, 1] whose mean and (unbiased) standard deviation are exactly these."""
    values = random.standard_normal((400, 1))
    return mean + deviation * (values - values.mean()) / values.std(ddof=1)


def test_frechet_distance_between_one_dimensional_gaussians(random: np.random.Generator) -> None:
    real, generated = with_moments(random, mean=1, deviation=2), with_moments(random, mean=4, deviation=1)
    # (4 - 1)^2 + (2 - 1)^2
    assert frechet_distance(real, generated) == pytest.approx(10)


def test_frechet_distance_of_shifted_and_scaled_dimensions_adds_up(random: np.random.Generator) -> None:
    real = normal(random)
    shift = np.arange(8)
    assert frechet_distance(real, real + shift) == pytest.approx((shift**2).sum(), rel=1e-4)
    variances = np.cov(real.T).trace()
    assert frechet_distance(real, 3 * (real - real.mean(0)) + real.mean(0)) == pytest.approx(
        4 * variances, rel=1e-4
    )


def test_frechet_distance_of_few_pictures_is_that_of_all_their_features(random: np.random.Generator) -> None:
    turned = np.linalg.qr(random.standard_normal((40, 40)))[0]
    real, generated = random.standard_normal((9, 5)), random.standard_normal((8, 5)) + 1
    wide = [np.pad(few, ((0, 0), (0, 35))) @ turned + 3 for few in (real, generated)]
    assert frechet_distance(*wide) == pytest.approx(frechet_distance(real, generated), abs=1e-6)


@pytest.mark.parametrize(("pictures", "dimensions"), [(60, 8), (30, 60)])
def test_frechet_distance_is_torchmetrics(
    random: np.random.Generator, pictures: int, dimensions: int
) -> None:
    """Of features that hang together, as those of a network do; of fewer pictures than features, too."""
    mixed = random.standard_normal((dimensions, dimensions))
    real, generated = (normal(random, number, dimensions) @ mixed for number in (pictures, pictures // 2))
    metric = FrechetInceptionDistance(feature=_Ready(dimensions)).set_dtype(torch.float64)
    metric.update(to_tensor(real), real=True)
    metric.update(to_tensor(generated + 0.5), real=False)
    assert frechet_distance(real, generated + 0.5) == pytest.approx(float(metric.compute()), rel=1e-6)


class _Ready(nn.Module):
    """torchmetrics asks for a network that makes features; ours are made already."""

    def __init__(self, dimensions: int) -> None:
        super().__init__()
        self.num_features = dimensions

    def forward(self, features: Tensor) -> Tensor:
        return features


def test_a_set_against_itself_is_perfect(random: np.random.Generator) -> None:
    real = normal(random)
    overlap = manifold_overlap(real, real, neighbours=3)
    assert frechet_distance(real, real) == pytest.approx(0, abs=1e-6)
    assert (overlap.precision, overlap.recall, overlap.coverage) == (1, 1, 1)


def test_far_sets_share_nothing(random: np.random.Generator) -> None:
    overlap = manifold_overlap(normal(random), normal(random) + 100, neighbours=3)
    assert (overlap.precision, overlap.recall, overlap.density, overlap.coverage) == (0, 0, 0, 0)


def test_overlap_worked_by_hand() -> None:
    real = np.array([[0.0], [1.0], [10.0]])  # nearest neighbours at 1, 1 and 9
    generated = np.array([[0.5], [1.5], [30.0]])  # nearest neighbours at 1, 1 and 28.5
    overlap = manifold_overlap(real, generated, neighbours=1)
    # 0.5 lies in the balls of 0 and 1; 1.5 in those of 1 and 10 (8.5 away); 30 in none.
    assert overlap.precision == pytest.approx(2 / 3)
    assert overlap.density == pytest.approx(4 / 3)
    assert overlap.coverage == pytest.approx(3 / 3)
    # 0 and 1 lie in the ball of 0.5; 10 in that of 30 (20 away).
    assert overlap.recall == pytest.approx(3 / 3)


def test_overlap_does_not_depend_on_how_many_rows_are_taken_at_a_time(
    random: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, generated = normal(random, 50), normal(random, 40)
    whole = manifold_overlap(real, generated, neighbours=3)
    monkeypatch.setattr("stages.generator.overlap.ROWS", 7)
    assert manifold_overlap(real, generated, neighbours=3) == whole


def test_kernel_distance_is_nought_for_equals_and_grows_with_the_shift(random: np.random.Generator) -> None:
    real, generated = normal(random), normal(random)
    distances = [kernel_distance(real, generated + shift) for shift in (0, 0.5, 1)]
    assert distances[0] == pytest.approx(0, abs=0.02)
    assert distances[0] < distances[1] < distances[2]


def test_kernel_distance_by_hand() -> None:
    """Of one dimension (xy + 1)^3: within 1 and 2 it is 27, within 0 and 1 it is 1, across 1, 8, 1 and 27."""
    real, generated = np.array([[1.0], [2.0]]), np.array([[0.0], [1.0]])
    assert kernel_distance(real, generated) == pytest.approx(27 + 1 - 2 * (1 + 8 + 1 + 27) / 4)


def test_kernel_distance_is_torchmetrics(
    random: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, generated = normal(random, 60), normal(random, 60) + 0.3
    expected = poly_mmd(to_tensor(real), to_tensor(generated))
    monkeypatch.setattr("stages.evaluate.of_generator.metrics.ROWS", 7)
    assert kernel_distance(real, generated) == pytest.approx(float(expected), rel=1e-10)


def test_figures_of_halves_are_those_of_the_pictures_in_them(
    random: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, generated = normal(random, 150), 0.8 * normal(random, 120) + 0.3
    monkeypatch.setattr("stages.evaluate.of_generator.resampled.ROWS", 40)
    found = resampled_distances(real, generated, neighbours=3, resamples=4)
    drawn = zip(halves(150, 4), halves_of_generated(120, 4), strict=True)
    for number, (of_real, of_generated) in enumerate(drawn):
        half = real[of_real > 0], generated[of_generated > 0]
        expected = {
            "frechet_distance": frechet_distance(*half),
            "kernel_distance": kernel_distance(*half),
            **asdict(manifold_overlap(*half, neighbours=3)),
        }
        assert {name: values[number] for name, values in found.items()} == pytest.approx(expected)


@pytest.mark.parametrize(("pictures", "neighbours"), [(3, 1), (9, 5)])
def test_of_halves_with_too_few_pictures_no_figure_is_told(
    random: np.random.Generator, pictures: int, neighbours: int
) -> None:
    """Nine pictures have a fifth neighbour, four or five of them have none."""
    real, generated = normal(random, pictures), normal(random, pictures)
    found = resampled_distances(real, generated, neighbours=neighbours, resamples=4)
    overlap = ("precision", "recall", "density", "coverage")
    assert all(np.isnan(found[name]).sum() >= 2 for name in overlap)
    distances = np.stack([found["frechet_distance"], found["kernel_distance"]])
    assert np.isnan(distances).any() == (pictures == 3)
    told = intervals(dict.fromkeys(found, 0.5), found, dict.fromkeys(overlap, pictures))
    assert list(told) == ([] if pictures == 3 else ["frechet_distance", "kernel_distance"])


def test_collapse_keeps_precision_and_loses_recall_and_coverage(random: np.random.Generator) -> None:
    real = normal(random)
    collapsed = normal(random)[random.integers(0, 10, 1500)]
    healthy = manifold_overlap(real, normal(random), neighbours=5)
    fallen = manifold_overlap(real, collapsed, neighbours=5)
    assert fallen.precision > 0.8
    assert fallen.recall < 0.05 < 0.8 < healthy.recall
    assert fallen.coverage < 0.2 < 0.8 < healthy.coverage


def test_noise_loses_precision_and_distance(random: np.random.Generator) -> None:
    real, healthy, noisy = normal(random), normal(random), 4 * normal(random)
    assert manifold_overlap(real, noisy, neighbours=5).precision < 0.1
    assert frechet_distance(real, noisy) > 10 * frechet_distance(real, healthy)


def test_conditional_accuracy_counts_what_was_asked_for() -> None:
    assert conditional_accuracy(np.array([0, 1, 2, 2]), np.array([0, 1, 1, 2])) == 0.75


def test_too_few_pictures_are_refused_by_number(random: np.random.Generator) -> None:
    few, many = normal(random, 3), normal(random, 20)
    with pytest.raises(DataError, match="3 generated pictures, the metric needs 6"):
        manifold_overlap(many, few, neighbours=5)
    with pytest.raises(DataError, match="1 real pictures, the metric needs 2"):
        frechet_distance(few[:1], many)


def test_the_nearest_and_how_far_it_is_by_hand() -> None:
    training = np.array([[0, 0], [3, 4], [10, 10]], dtype=np.float32)
    distances, places = nearest(np.array([[3, 4], [0, 2], [9, 9]], dtype=np.float32), training)
    assert places.tolist() == [1, 0, 2]
    np.testing.assert_allclose(distances, [0, 2**0.5, 1], atol=1e-3)  # root of the mean over two numbers


def test_copies_are_memorised_and_others_are_as_often_as_by_chance(random: np.random.Generator) -> None:
    unseen = random.uniform(1, 2, 1000)
    assert memorisation(unseen, unseen).memorised == pytest.approx(0.01)
    copied = memorisation(np.concatenate([np.zeros(30), np.full(70, 1.5)]), unseen)
    assert (copied.memorised, copied.distance) == (0.3, 1.5)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_features_that_are_not_finite_are_refused_by_every_figure(random, value):
    real, broken = normal(random, 50), normal(random, 50)
    broken[7, 3] = value
    said = r"1 of 50 generated pictures have features that are NaN or infinite, first number 7"
    with pytest.raises(DataError, match=said):
        frechet_distance(real, broken)
    with pytest.raises(DataError, match=said):
        kernel_distance(real, broken)
    with pytest.raises(DataError, match=said):
        manifold_overlap(real, broken, neighbours=3)


def test_two_pictures_of_each_kind_are_enough() -> None:
    # means 1 and 4, variances 2 and 8: 9 + 2 + 8 - 2 * 4
    assert frechet_distance(np.array([[0.0], [2.0]]), np.array([[2.0], [6.0]])) == pytest.approx(11)
    with pytest.raises(DataError, match="1 generated pictures, the metric needs 2"):
        kernel_distance(np.zeros((2, 1)), np.zeros((1, 1)))


def test_a_drawn_set_of_one_picture_has_no_distances() -> None:
    real, generated = np.array([[0.0], [2.0], [9.0]]), np.array([[2.0], [6.0], [1.0]])
    drawn = np.array([[1, 1, 0], [1, 0, 0], [1, 1, 0]]), np.array([[1, 1, 0], [1, 1, 0], [0, 0, 1]])
    found = frechet_distances(real, generated, *drawn)
    assert found == pytest.approx([11, np.nan, np.nan], nan_ok=True)
    kernels = kernel_distances(real, generated, *drawn)
    assert kernels == pytest.approx([kernel_distance(real[:2], generated[:2]), np.nan, np.nan], nan_ok=True)
    with pytest.raises(ValueError, match="zip"):
        frechet_distances(real, generated, drawn[0], drawn[1][:2])


def test_the_nearest_is_the_same_however_many_rows_are_taken_at_a_time(
    random: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures, training = normal(random, 23, 5), normal(random, 31, 5)
    every = np.sqrt(np.square(pictures[:, None] - training).mean(axis=2))
    monkeypatch.setattr("stages.evaluate.of_generator.metrics.ROWS", 7)
    distances, places = nearest(pictures, training)
    assert places.tolist() == every.argmin(axis=1).tolist()
    np.testing.assert_allclose(distances, every.min(axis=1), atol=1e-3)


def test_as_near_as_one_in_a_hundred_is_not_memorised() -> None:
    assert memorisation(np.ones(5), np.ones(100)) == Memorisation(distance=1.0, memorised=0.0)
    # a hundredth of the way from the least to the next of 0, 1, ... 100 is 1
    found = memorisation(np.array([0.9, 1.0, 1.1, 50.0]), np.arange(101.0))
    assert found == Memorisation(distance=1.05, memorised=0.25)


def test_overlap_in_halves_by_hand() -> None:
    """The points of the overlap worked by hand above, and each without one of its points."""
    real, generated = np.array([[0.0], [1.0], [10.0]]), np.array([[0.5], [1.5], [30.0]])
    every = np.ones(3, dtype=np.int64)
    found = resampled_overlap(
        real,
        generated,
        [(every, every), (np.array([1, 1, 0]), every), (every, np.array([1, 0, 1]))],
        neighbours=1,
    )
    # Without 10 the ball of 1 alone holds 1.5. Without 1.5 that of 10 is empty; that of 0.5 reaches to 30.
    assert found["precision"] == pytest.approx([2 / 3, 2 / 3, 1 / 2])
    assert found["density"] == pytest.approx([4 / 3, 3 / 3, 2 / 2])
    assert found["coverage"] == pytest.approx([3 / 3, 2 / 2, 2 / 3])
    assert found["recall"] == pytest.approx([1, 1, 1])
    too_few = resampled_overlap(real, generated, [(every, np.array([1, 0, 0]))], neighbours=1)
    assert all(np.isnan(values).all() for values in too_few.values())


def test_halves_of_generated_pictures_are_others_than_those_of_real_ones() -> None:
    generated = halves_of_generated(40, 6)
    assert [half.tolist() for half in generated] != [half.tolist() for half in halves(40, 6)]
    assert [half.tolist() for half in generated] == [half.tolist() for half in halves(40, 6, seed=1980)]


def test_a_picture_on_the_very_edge_of_a_ball_lies_in_it() -> None:
    """-1 is as far from 0 as 1 is, and there is no farther real picture."""
    real, generated = np.array([[0.0], [1.0]]), np.array([[-1.0], [0.5], [7.0]])
    drawn = [(np.ones(2, dtype=np.int64), np.ones(3, dtype=np.int64))]
    found = resampled_overlap(real, generated, drawn, neighbours=1)
    assert found["precision"].tolist() == [pytest.approx(2 / 3)]
    assert found["density"].tolist() == [pytest.approx(3 / 3)]


def test_pictures_at_equal_distances_overlap_in_halves_as_by_themselves(random: np.random.Generator) -> None:
    real = random.integers(0, 9, (30, 1)).astype(np.float64)
    generated = random.integers(2, 12, (26, 1)).astype(np.float64)
    drawn = list(zip(halves(30, 6), halves_of_generated(26, 6), strict=True))
    found = resampled_overlap(real, generated, drawn, neighbours=2)
    for number, (of_real, of_generated) in enumerate(drawn):
        alone = manifold_overlap(real[of_real > 0], generated[of_generated > 0], neighbours=2)
        assert {name: values[number] for name, values in found.items()} == pytest.approx(asdict(alone))
