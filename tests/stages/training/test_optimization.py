"""What trains a classifier, held against values worked out by hand and against scikit-learn."""

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight

from stages.classifier.loss import class_weights
from stages.training.optimization import (
    build_learner,
    build_optimizer,
    build_schedule,
    cosine,
    decay_groups,
    one_cycle,
)
from stages.training.params import AdamParams, ScheduleParams, SgdParams


def test_class_weights_are_scikit_learn_s() -> None:
    labels = np.repeat([0, 1, 3], [6, 3, 1])
    weights = class_weights(labels, 4)
    wanted = compute_class_weight("balanced", classes=np.array([0, 1, 3]), y=labels)
    assert weights[[0, 1, 3]].tolist() == pytest.approx(wanted.tolist(), abs=1e-6)
    assert weights[2] == 0  # no picture of it
    assert weights[labels].mean() == pytest.approx(1)


def test_cosine_by_hand() -> None:
    rates = [cosine(step, steps=12, warmup=0.33) for step in range(13)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[2] == pytest.approx(0.55)
    assert rates[4] == 1  # a third of the way
    assert rates[8] == pytest.approx(0.5)
    assert rates[12] == pytest.approx(0)


@pytest.mark.parametrize("name", ["one-cycle", "cosine"])
@pytest.mark.parametrize("steps", [1, 2, 50])
def test_schedules_rise_to_the_peak_and_fall(name: str, steps: int) -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.2)
    params = ScheduleParams(name=name, warmup=0.2)  # type: ignore[arg-type]
    schedule = build_schedule(optimizer, params, steps=steps)
    rates = []
    for _ in range(steps):
        rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    assert max(rates) <= 0.2 + 1e-9
    if steps == 50:
        assert rates[0] == pytest.approx(0.02)
        assert max(rates) == pytest.approx(0.2, rel=0.03)
        assert schedule.get_last_lr()[0] == pytest.approx(0, abs=1e-3)


def rates(steps: int, warmup: float) -> list[float]:
    optimizer = torch.optim.SGD(torch.nn.Linear(1, 1).parameters(), lr=1.0)
    scheduler = one_cycle(optimizer, steps=steps, warmup=warmup)
    seen = []
    for _ in range(steps):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return seen


def test_rises_to_the_peak_and_falls_towards_zero() -> None:
    seen = rates(steps=99, warmup=0.2)
    assert seen[0] == pytest.approx(0.1)
    assert seen.index(max(seen)) == 19  # a fifth of the way
    assert max(seen) == pytest.approx(1.0)
    assert seen[-1] < 0.02


@pytest.mark.parametrize("steps", range(1, 7))
def test_a_handful_of_steps_is_enough(steps: int) -> None:
    seen = rates(steps, warmup=0.2)
    assert seen[:2] == pytest.approx([0.1, 1.0][:steps])
    assert seen[1:] == sorted(seen[1:], reverse=True)


ADAM = AdamParams(name="adam", learning_rate=0.02, beta1=0.8, beta2=0.95, weight_decay=0.3)


def test_weights_of_more_than_one_dimension_decay_and_no_others() -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2), torch.nn.Linear(2, 1))
    decayed, free = decay_groups(network, 0.3)
    assert [weight.ndim for weight in decayed["params"]] == [4, 2]
    assert [weight.ndim for weight in free["params"]] == [1, 1, 1, 1]
    assert (decayed["weight_decay"], free["weight_decay"]) == (0.3, 0)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_gradient_descent_has_nesterovs_momentum_if_it_has_any(momentum: float) -> None:
    params = SgdParams(name="sgd", learning_rate=0.2, momentum=momentum, weight_decay=0.3)
    optimizer = build_optimizer(torch.nn.Linear(2, 1), params)
    assert isinstance(optimizer, torch.optim.SGD)
    told = [(of["lr"], of["momentum"], of["nesterov"], of["weight_decay"]) for of in optimizer.param_groups]
    assert told == [(0.2, momentum, momentum > 0, 0.3), (0.2, momentum, momentum > 0, 0)]


@pytest.mark.parametrize("fused", [False, True])
def test_adam_decays_by_itself_and_is_fused_where_that_is_asked_for(fused: bool) -> None:
    optimizer = build_optimizer(torch.nn.Linear(2, 1), ADAM, fused=fused)
    assert isinstance(optimizer, torch.optim.AdamW)
    told = [(of["lr"], of["betas"], of["fused"], of["weight_decay"]) for of in optimizer.param_groups]
    betas, kernel = (0.8, 0.95), fused or None
    assert told == [(0.02, betas, kernel, 0.3), (0.02, betas, kernel, 0)]
    assert build_optimizer(torch.nn.Linear(2, 1), ADAM).defaults["fused"] is None


def one_weight() -> torch.nn.Linear:
    network = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(network.weight, 1.0)
    return network


PLAIN = SgdParams(name="sgd", learning_rate=0.1, momentum=0.0, weight_decay=0.0)


@pytest.mark.parametrize(
    ("gradient_max", "weights"), [(None, [0.7, 0.4]), (1.0, [0.9, 0.8]), (5.0, [0.7, 0.4])]
)
def test_a_step_goes_down_the_gradient_as_far_as_it_may(
    gradient_max: float | None, weights: list[float]
) -> None:
    """The gradient is 3, and no step adds to that of the one before."""
    learner = build_learner(one_weight(), optimizer=PLAIN, schedule=None, steps=2, gradient_max=gradient_max)
    assert (learner.schedule, learner.averaged) == (None, None)
    assert learner.judged is learner.network
    for weight in weights:
        learner.step(3 * learner.network.weight.sum())
        assert learner.network.weight.item() == pytest.approx(weight)
        assert learner.learning_rate == 0.1


def test_a_step_moves_the_schedule_and_the_average_too() -> None:
    learner = build_learner(
        one_weight(),
        optimizer=PLAIN,
        schedule=ScheduleParams(name="cosine", warmup=0.5),
        steps=4,
        average_decay=0.25,
        fused=True,  # which Adam alone knows
    )
    rates, weight = [], 1.0
    for _ in range(3):
        rates.append(learner.learning_rate)
        learner.step(3 * learner.network.weight.sum())
    # from a tenth of the peak in two steps to it
    assert rates == pytest.approx([0.01, 0.055, 0.1])
    # the average begins with the first, and takes 9/11, then 3/4 of the next
    first, second, third = (weight - 3 * sum(rates[:steps]) for steps in (1, 2, 3))
    average = 0.25 * (2 / 11 * first + 9 / 11 * second) + 0.75 * third
    assert learner.judged.weight.item() == pytest.approx(average)
    assert learner.network.weight.item() == pytest.approx(third)


def test_all_of_a_learner_is_kept_under_names_of_its_own() -> None:
    bare = build_learner(one_weight(), optimizer=PLAIN, schedule=None, steps=1)
    assert bare.parts() == {"network": bare.network, "optimizer": bare.optimizer}
    schedule = ScheduleParams(name="one-cycle", warmup=0.2)
    full = build_learner(one_weight(), optimizer=PLAIN, schedule=schedule, steps=1, average_decay=0.9)
    assert full.parts("generator_") == {
        "generator_network": full.network,
        "generator_averaged": full.averaged,
        "generator_optimizer": full.optimizer,
        "generator_schedule": full.schedule,
    }


def test_one_cycle_is_a_straight_line_each_way_and_leaves_the_momentum_alone() -> None:
    optimizer = torch.optim.SGD(one_weight().parameters(), lr=0.2, momentum=0.9)
    schedule = build_schedule(optimizer, ScheduleParams(name="one-cycle", warmup=0.5), steps=7)
    rates = [schedule.get_last_lr()[0]]
    for _ in range(7):
        optimizer.step()
        schedule.step()
        rates.append(schedule.get_last_lr()[0])
    # up by three equal steps from a tenth, down by four to a ten thousandth
    expected = [0.02, 0.08, 0.14, 0.2, *(0.2 + (0.2 / 1e4 - 0.2) * share / 4 for share in (1, 2, 3, 4))]
    assert rates == pytest.approx(expected, abs=1e-9)
    assert optimizer.param_groups[0]["momentum"] == 0.9


def test_cosine_of_a_step_or_two_rises_at_once() -> None:
    assert [cosine(step, steps=1, warmup=0.2) for step in (0, 1)] == pytest.approx([0.1, 1.0])
    assert [cosine(step, steps=2, warmup=0.2) for step in (0, 1, 2)] == pytest.approx([0.1, 1.0, 0.0])
