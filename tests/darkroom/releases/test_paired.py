from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from darkroom.releases.gate import Bound, Gate, Verdict, judge_metrics
from darkroom.releases.paired import (
    Difference,
    Measured,
    NotPairedError,
    Pictures,
    difference_in_draws,
    difference_of_means,
    figures_of,
    measure_model,
)
from tests.darkroom.repositories import git, make, serial_repro
from tests.darkroom.shapes import Shape

TABLE = b"picture,actual,predicted,rank,loss\n0,cat,cat,1,0.5\n1,dog,cat,2,1.5\n2,NA,NA,1,0.25\n"
METRIC = "m.json:accuracy"


def pictures(mean: str = "actual == predicted") -> Pictures:
    return Pictures(results="p.csv", mean=mean, of="test")


def of(*figures: float, tested: str = "same", metric: float = 0.0) -> Measured:
    return Measured(np.array(figures, dtype=float), {"": tested}, metric)


def between(then: Measured, now: Measured, confidence: float = 0.95) -> Difference:
    return difference_of_means(then, now, confidence=confidence, resamples=4000)


def test_the_interval_worked_out_by_hand() -> None:
    """Four draws of (0, 0, 1, 0): no 1 with probability .316, at most two with .949, three with .996."""
    found = between(of(1, 1, 0, 0), of(1, 1, 1, 0))
    assert (found.change, found.low, found.high, found.by) == (0.25, 0.0, 0.75, "4 pictures")
    assert str(found) == "95 % interval of the change 0 to 0.75, 4 pictures"
    assert between(of(1, 1, 0, 0), of(1, 1, 1, 0), confidence=0.9).high == 0.75
    assert between(of(1, 1, 0, 0), of(1, 1, 1, 0), confidence=0.8).high == 0.5
    assert between(of(1, 1, 1, 0), of(1, 1, 0, 0)).low == -0.75


def test_what_is_hard_for_both_does_not_blur_the_difference() -> None:
    """Alone each accuracy is known to .05 of 400 pictures; twelve more right and none less is no chance."""
    then = [1] * 200 + [0] * 200
    now = [1] * 212 + [0] * 188
    found = between(of(*then), of(*now))
    assert found.change == pytest.approx(0.03)
    assert 0.01 < found.low < found.change < found.high < 0.06
    assert between(of(*then), of(*then)) == Difference(0.0, 0.0, 0.0, "400 pictures", 0.95)


def test_the_same_results_give_the_same_interval() -> None:
    draw = np.random.default_rng(1)
    then, now = of(*draw.normal(size=50)), of(*draw.normal(size=50))
    assert between(then, now) == between(then, now)


def in_draws(then: Measured, now: Measured) -> Difference:
    return difference_in_draws(then, now, confidence=0.95)


def test_the_interval_of_draws_worked_out_by_hand() -> None:
    """Changes of 0 and .2 in the two halves: half their difference is .1."""
    then, changes = np.random.default_rng(0).random(101), np.arange(101) % 2 / 5
    found = in_draws(of(*then, metric=0.5), of(*(then + changes), metric=0.9))
    assert (found.change, found.by) == (pytest.approx(0.4), "100 halves of the pictures")
    assert (found.low, found.high) == pytest.approx((0.4 - 0.196, 0.4 + 0.196), abs=1e-4)
    assert str(found) == "95 % interval of the change 0.204 to 0.596, 100 halves of the pictures"


def test_what_a_draw_does_to_both_does_not_blur_the_difference() -> None:
    draws = np.random.default_rng(1).normal(size=200)
    found = in_draws(of(*draws), of(*(draws + 0.01), metric=0.01))
    assert (found.low, found.high) == pytest.approx((0.01, 0.01))


def test_draws_that_cannot_be_compared() -> None:
    with pytest.raises(NotPairedError, match="the test pictures are others"):
        in_draws(of(*range(50)), of(*range(50), tested="other"))
    with pytest.raises(NotPairedError, match="60 draws against 50"):
        in_draws(of(*range(50)), of(*range(60)))
    with pytest.raises(NotPairedError, match="38 draws are too few for such an interval: 40 at least"):
        in_draws(of(*range(40)), of(*[*range(39), float("nan")]))


def test_a_column_of_draws() -> None:
    table = b"detector.map,detector.map50\n0.5,0.75\n,1\n"
    wanted = Pictures(results="r.csv", draws="detector.map", of="test")
    assert figures_of(table, wanted).tolist() == pytest.approx([0.5, float("nan")], nan_ok=True)
    with pytest.raises(NotPairedError, match=r"r\.csv: no column 'detector\.ap'"):
        figures_of(table, wanted.model_copy(update={"draws": "detector.ap"}))


@pytest.mark.parametrize("told", [{}, {"mean": "loss", "draws": "loss"}])
def test_either_a_mean_or_draws(told: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="either `mean` or `draws`"):
        Pictures.model_validate({"results": "p.csv", "of": "test", **told})


def test_other_pictures_are_not_compared() -> None:
    with pytest.raises(NotPairedError, match="the test pictures are others"):
        between(of(1, 0), of(1, 1, tested="other"))
    with pytest.raises(NotPairedError, match="3 results against 2"):
        between(of(1, 0), of(1, 1, 0))


@pytest.mark.parametrize(
    ("mean", "figures"),
    [
        ("loss", [0.5, 1.5, 0.25]),
        ("actual == predicted", [1, 0, 1]),  # a class may be called NA
        ("rank <= 1", [1, 0, 1]),
        ("loss>0.3", [1, 1, 0]),
    ],
)
def test_figures_of_each_picture(mean: str, figures: list[float]) -> None:
    assert figures_of(TABLE, pictures(mean)).tolist() == figures


@pytest.mark.parametrize(
    ("mean", "said"),
    [
        ("los", r"p\.csv: no column 'los'"),
        ("actual == guessed", r"p\.csv: no column 'guessed'"),
        ("actual", r"p\.csv: could not convert"),
        ("actual <= 3", r"p\.csv: .*not supported|p\.csv: Invalid comparison"),
    ],
)
def test_columns_that_are_not_there_or_no_numbers(mean: str, said: str) -> None:
    with pytest.raises(NotPairedError, match=said):
        figures_of(TABLE, pictures(mean))


@pytest.mark.parametrize("mean", ["__import__('os')", "rank.sum()", "rank <= 5 or 1", ""])
def test_only_a_column_or_one_comparison_is_taken(mean: str) -> None:
    with pytest.raises(ValidationError):
        pictures(mean)


def verdict(found: Difference | str, best: str = "highest", equal_within: float = 0.0) -> tuple[Verdict, str]:
    bound = Bound.model_validate({"best": best, "equal_within": equal_within})
    gate = Gate(release="model", metrics={METRIC: bound})
    change = found.change if isinstance(found, Difference) else 0.2
    (one,) = judge_metrics(
        gate, {"m.json": {"accuracy": 0.5 + change}}, {"m.json": {"accuracy": 0.5}}, {METRIC: found}
    ).metrics
    return one.verdict, one.why


def test_a_difference_is_one_only_where_it_is_no_chance() -> None:
    sure, unsure = (
        Difference(0.02, low, high, "400 pictures", 0.95) for low, high in ((0.01, 0.03), (-0.01, 0.05))
    )
    assert verdict(sure) == (
        Verdict.BETTER,
        "by 0.02 (95 % interval of the change 0.01 to 0.03, 400 pictures)",
    )
    assert verdict(sure, best="lowest")[0] is Verdict.WORSE
    assert verdict(unsure) == (
        Verdict.EQUAL,
        "with a change of +0.02 (95 % interval of the change -0.01 to 0.05, 400 pictures)",
    )
    equal, why = verdict(sure, equal_within=0.05)  # no chance, but too little to matter
    assert equal is Verdict.EQUAL
    assert why.endswith("400 pictures; 0.05 is allowed)")


def test_without_its_pictures_a_metric_is_compared_by_what_counts_as_noise() -> None:
    assert verdict("why not", equal_within=0.05) == (
        Verdict.BETTER,
        "by 0.2; 0.05 is noise; not compared picture by picture: why not",
    )


PIPELINE = """\
stages:
  split:
    cmd: mkdir -p data/test data/train && cp in.txt data/test/a && cp more.txt data/train/b
    deps: [in.txt, more.txt]
    outs: [data]
  judge:
    cmd: cp results.csv p.csv
    deps: [results.csv]
    outs: [p.csv]
"""


@pytest.mark.slow
def test_results_and_test_pictures_of_commits(tmp_path: Path) -> None:
    """From DVC's cache; that other training pictures came in does not make the test pictures others."""
    files = {"dvc.yaml": PIPELINE, "in.txt": "1", "more.txt": "1", "results.csv": "right\n1\n0\n"}
    root = make(tmp_path / "repo", Shape("paired", files), tmp_path)
    wanted = Pictures(results="p.csv", mean="right", of="data/test")

    def commit(**changed: str) -> str:
        for name, text in changed.items():
            (root / name.replace("_", ".")).write_text(text)
        assert serial_repro(root)
        git(root, "add", "-A")
        git(root, "commit", "-qm", "results")
        return git(root, "rev-parse", "HEAD").strip()

    first = commit()
    second = commit(more_txt="2", results_csv="right\n1\n1\n")
    third = commit(in_txt="2")
    then, now = measure_model(root, first, wanted, 0.5), measure_model(root, second, wanted, 1.0)
    assert (then.figures.tolist(), now.figures.tolist()) == ([1, 0], [1, 1])
    assert then.tested == now.tested != measure_model(root, third, wanted, 1.0).tested
    with pytest.raises(NotPairedError, match=r"the mean of right is 0\.5, the metric 0\.9"):
        measure_model(root, first, wanted, 0.9)
    with pytest.raises(NotPairedError, match=r"gone\.csv: No such file"):
        measure_model(root, first, wanted.model_copy(update={"results": "gone.csv"}), 0.5)
    with pytest.raises(NotPairedError, match=r"data/gone: "):
        measure_model(root, first, wanted.model_copy(update={"of": "data/gone"}), 0.5)
    for kept in (root / ".dvc" / "cache" / "files").rglob("*"):
        if kept.is_file():
            kept.unlink()
    with pytest.raises(NotPairedError, match=r": p\.csv|: data/test"):
        measure_model(root, first, wanted, 0.5)


def coverage(pair: Callable[[np.random.Generator], tuple[Difference, float]], sets: int = 400) -> float:
    """How often an interval holds the true change."""
    random = np.random.default_rng(7)
    found = [pair(random) for _ in range(sets)]
    return float(np.mean([one.low - 1e-9 <= true <= one.high + 1e-9 for one, true in found]))


@pytest.mark.slow
@pytest.mark.parametrize(("number", "lost", "won"), [(200, 0.01, 0.03), (500, 0.02, 0.04)])
def test_the_interval_of_a_changed_accuracy_holds_the_true_change(
    number: int, lost: float, won: float
) -> None:
    def pair(random: np.random.Generator) -> tuple[Difference, float]:
        chance = random.random(number)
        then, now = of(*(chance < 0.9)), of(*((chance > lost) & (chance < 0.9 + won)))
        return difference_of_means(then, now, confidence=0.95, resamples=400), won - lost

    assert 0.93 <= coverage(pair, sets=800) <= 0.97


@pytest.mark.slow
def test_the_interval_of_a_changed_loss_holds_the_true_change() -> None:
    def pair(random: np.random.Generator) -> tuple[Difference, float]:
        then = random.exponential(0.3, 400)
        now = 0.9 * then + random.exponential(0.02, 400)
        return difference_of_means(of(*then), of(*now), confidence=0.95, resamples=400), -0.01

    assert 0.93 <= coverage(pair, sets=800) <= 0.97


@pytest.mark.slow
def test_the_interval_by_halves_holds_the_true_change() -> None:
    """Halves of the pictures, the same for both, as evaluate draws them."""
    drawn = np.stack([np.random.default_rng(pair).permutation(300) for pair in range(200)]).reshape(400, 150)

    def pair(random: np.random.Generator) -> tuple[Difference, float]:
        then = random.normal(0.7, 0.2, 300)
        now = then + random.normal(0.02, 0.1, 300)
        measured = (Measured(each[drawn].mean(axis=1), {}, float(each.mean())) for each in (then, now))
        return difference_in_draws(*measured, confidence=0.95), 0.02

    assert 0.93 <= coverage(pair, sets=800) <= 0.97
