from __future__ import annotations

import datetime

import pytest

from darkroom.show.progress import ROWS, StageProgress, Step, step_of


@pytest.mark.parametrize(
    ("line", "step"),
    [
        (
            "epoch 3/10 loss 0.3100 val accuracy 0.91 left 40 s",
            Step("epoch", 3, 10, 3, (("loss", "0.3100"), ("val accuracy", "0.91")), 40.0),
        ),
        ("Epoch [3/10], loss=1e-3", Step("epoch", 3, 10, 3, (("loss", "1e-3"),))),
        ("Epoch 3/10", Step("epoch", 3, 10, 2)),  # it begins
        ("step 50 of 200: loss 2", Step("step", 50, 200, 50, (("loss", "2"),))),
        (
            "[INFO] - Round 1/4 - loss: -0.5 - f1: 0.25",
            None,  # what stands before the unit could be anything
        ),
        ("Epoch: 1/4 - loss: -0.5 - f1: 0.25", Step("epoch", 1, 4, 1, (("loss", "-0.5"), ("f1", "0.25")))),
        (
            " 45%|████▌     | 45/100 [00:12<01:15,  3.61it/s, loss=0.3]",
            Step("", 45, 100, 45, (("loss", "0.3"),), 75.0),
        ),
        ("  0%|          | 0/100 [00:00<?, ?it/s]", Step("", 0, 100, 0)),
        ("epoch 2/4:  50%|█████     | 5/10 [00:01<00:01,  4.9it/s]", Step("epoch", 2, 4, 1.5)),
        ("training:  50%|█████     | 5/10 [1:00:01<1:00:02,  4.9it/s]", Step("", 5, 10, 5, (), 3602.0)),
        ("5/10 pictures read", None),
        ("epoch 11/10 loss 1", None),
        ("epoch 0/0", None),
        ("read a/b.txt", None),
        ("epoch 3/10 " + "x" * 1000, None),
    ],
)
def test_what_a_line_tells(line: str, step: Step | None) -> None:
    assert step_of(line) == step


def course(*lines: tuple[float, str]) -> tuple[StageProgress, list[float]]:
    """The lines at their moments; the clock stands at the last."""
    moment = [0.0]
    told = StageProgress(lambda: moment[0])
    for moment[0], line in lines:
        told.take(line)
    return told, moment


def test_the_time_left_is_the_stages_own_or_judged_by_the_pace() -> None:
    told, moment = course((10, "epoch 1/4 loss 3"), (20, "epoch 2/4 loss 2"))
    assert told.left() == 20.0  # 10 s an epoch
    moment[0] = 25.0
    assert told.left() == 15.0
    moment[0] = 99.0
    assert told.left() == 0.0
    assert course((10, "epoch 1/4 loss 3"))[0].left() is None
    assert course((10, "epoch 1/4 loss 3 left 7 s"))[0].left() == 7.0


def test_in_words() -> None:
    told, _ = course(
        (10, "epoch 1/4 loss 3 accuracy .5"), (20, "epoch 2/4 loss 2.5 f1 0.1 recall 0.2"), (21, "x")
    )
    assert told.words() == "epoch 2/4, about 19 s left, loss 2.5, f1 0.1"
    assert course((0, "nothing"))[0].words() == ""
    assert course((0, "epoch 4/4 loss 1 left 0 s"))[0].words() == "epoch 4/4, loss 1"


def test_what_counts_something_else_begins_anew() -> None:
    told, _ = course(
        (0, "step 1/10 loss 1"), (10, "step 10/10 loss 1"), (20, "epoch 1/2 loss 1"), (30, "epoch 2/2 loss 1")
    )
    assert told.left() == 0.0
    page = told.page(datetime.datetime(2026, 1, 2, 3, 4, 5))
    assert "step" not in page
    assert page.splitlines()[-1] == "| 1 | 1 |"


def test_a_page_is_bounded() -> None:
    line = "epoch {}/5000 " + " ".join(f"figure_of_a_rather_long_name_{n} {n}.5" for n in range(12))
    told, _ = course(*((n, line.format(n)) for n in range(1, 2000)))
    page = told.page(datetime.datetime(2026, 1, 2, 3, 4, 5))
    assert len(page) < 8000
    assert page.count("\n| ") == ROWS + 2  # with the header and its line
    assert page.startswith("**epoch 1999/5000, ")
    assert "`███████████░░░░░░░░░░░░░░░░░░░` 40%" in page
