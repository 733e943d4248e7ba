import math

import pytest

from darkroom.base.errors import UsageError
from darkroom.deployments.search_space import make_trials


def settings(*given: str, draws: int = 0, seed: int = 0) -> list[tuple[str, ...]]:
    return [trial.settings for trial in make_trials("s", given, draws, seed)]


def test_a_grid_is_every_combination_once() -> None:
    assert settings("a.b=1,2", "o.yaml:c=range(1,6,2)", "d=x") == [
        (f"a.b={b}", f"o.yaml:c={c}", "d=x") for b in (1, 2) for c in (1, 3, 5)
    ]
    assert settings("a=1,1,2") == [("a=1",), ("a=2",)]


def test_draws_lie_within_their_intervals_and_are_those_of_their_seed() -> None:
    given = ("a=interval(0.5,2)", "b=tag(log,interval(1e-4,1e-1))", "c=int(interval(3,5))", "d=x,y")
    drawn = settings(*given, draws=200)
    assert len(set(drawn)) == 200
    assert settings(*given, draws=200) == drawn != settings(*given, draws=200, seed=1)
    values = [dict(text.split("=") for text in one) for one in drawn]
    assert all(0.5 <= float(one["a"]) <= 2 for one in values)
    assert {one["c"] for one in values} == {"3", "4", "5"}
    assert {one["d"] for one in values} == {"x", "y"}
    powers = [math.log10(float(one["b"])) for one in values]
    assert all(-4 <= power <= -1 for power in powers)
    assert -2.75 < sum(powers) / len(powers) < -2.25  # the middle; evenly over numbers it would be -1.4


def test_there_are_no_more_trials_than_combinations() -> None:
    assert sorted(settings("a=1,2", "b=3,4", draws=50)) == sorted(settings("a=1,2", "b=3,4"))


def test_a_trial_is_called_by_its_settings() -> None:
    (one, two), (other, *_) = make_trials("s", ["a=1,2"], 0, 0), make_trials("s", ["a=2,3"], 0, 0)
    assert two.name == other.name != one.name
    assert one.name.startswith("s-")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a", "a key and its values are needed"),
        ("=1", "a key and its values are needed"),
        ("a=(", r"-S a=\("),
        ("a=interval(0,1)", "choose how many to try by --draws"),
        ("a=interval(2,1)", "from the smaller number"),
        ("a=tag(log,interval(0,1))", "starts above 0"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as error:
        settings(text)
    assert "\n" not in str(error.value)
