"""Figures of classification: by hand, and against scikit-learn's."""

from dataclasses import asdict

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import (
    accuracy_score,
    f1_score,
    log_loss,
    precision_recall_fscore_support,
    top_k_accuracy_score,
)

from stages.core.errors import DataError
from stages.evaluate.of_classifier.metrics import (
    ClassFigures,
    classification_figures,
    classification_outcomes,
    confusion,
    outcome_table,
    reliability_table,
    resampled_figures,
)
from stages.evaluate.resampling import halves, intervals

CLASSES = ["a", "b", "c"]
# Sure of a, of a, of b, of b; true are a, b, b, b.
PROBABILITIES = torch.tensor([[0.8, 0.1, 0.1], [0.6, 0.3, 0.1], [0.2, 0.8, 0.0], [0.3, 0.6, 0.1]])
LABELS = np.array([0, 1, 1, 1])


def figures_of(probabilities, labels, classes, *, bins=10):
    return classification_figures(classification_outcomes(probabilities, labels), classes, bins=bins)


def test_figures_by_hand():
    figures = figures_of(PROBABILITIES, LABELS, CLASSES, bins=2)
    assert figures.accuracy == 0.75
    assert figures.top5_accuracy == 1
    assert asdict(figures)["by_class"] == {  # c is not in the split
        "a": {"precision": 0.5, "recall": 1.0, "f1": pytest.approx(2 / 3), "pictures": 1},
        "b": {"precision": 1.0, "recall": pytest.approx(2 / 3), "f1": pytest.approx(0.8), "pictures": 3},
    }
    assert figures.macro_f1 == pytest.approx((2 / 3 + 4 / 5) / 2)
    # one bin holds all: mean confidence 0.7, accuracy 0.75
    assert figures.calibration_error == pytest.approx(0.05, abs=1e-6)


def test_confusion_by_hand():
    counts = confusion(LABELS, np.array([0, 0, 1, 1]), 3)
    assert counts.tolist() == [[1, 0, 0], [1, 2, 0], [0, 0, 0]]


def test_reliability_by_hand():
    table = reliability_table(classification_outcomes(PROBABILITIES, LABELS), bins=4)
    # 0.6 and 0.6 (one right) in the third step, 0.8 and 0.8 (both right) in the fourth
    assert table.to_dict("list") == {
        "confidence": pytest.approx([0.6, 0.8]),
        "accuracy": [0.5, 1.0],
        "pictures": [2, 2],
    }


def test_full_confidence_belongs_to_the_last_step():
    table = reliability_table(classification_outcomes(torch.tensor([[1.0, 0.0]]), np.array([0])), bins=10)
    assert table.to_dict("list") == {"confidence": [1.0], "accuracy": [1.0], "pictures": [1]}


def test_of_equally_probable_classes_the_first_is_found():
    found = classification_outcomes(torch.full((3, 3), 1 / 3), np.array([0, 1, 2]))
    assert found.predicted.tolist() == [0, 0, 0]
    assert found.rank.tolist() == [1, 2, 3]


def test_outcomes_by_hand():
    table = outcome_table(classification_outcomes(PROBABILITIES, LABELS), CLASSES)
    assert table["actual"].tolist() == ["a", "b", "b", "b"]
    assert table["predicted"].tolist() == ["a", "a", "b", "b"]
    assert table["rank"].tolist() == [1, 2, 1, 1]
    assert table["loss"].tolist() == pytest.approx((-np.log([0.8, 0.3, 0.8, 0.6])).tolist(), abs=1e-6)
    impossible = classification_outcomes(torch.tensor([[1.0, 0.0]]), np.array([1]))
    assert np.isfinite(impossible.loss).all()  # JSON and CSV hold no infinity


@pytest.mark.slow
@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    pictures=st.integers(1, 60),
    classes=st.integers(2, 12),
    bins=st.integers(1, 20),
)
def test_figures_are_scikit_learn_s(seed, pictures, classes, bins):
    """Of few pictures and many classes, so that some classes have none, or are never found."""
    draw = np.random.default_rng(seed)
    probabilities = torch.from_numpy(draw.dirichlet(np.ones(classes), size=pictures))
    labels = draw.integers(0, classes, pictures)
    names = [str(label) for label in range(classes)]
    figures = figures_of(probabilities, labels, names, bins=bins)
    given, predicted = probabilities.numpy(), probabilities.numpy().argmax(axis=1)
    present = np.unique(labels)
    close = {"abs": 1e-6}
    assert figures.accuracy == pytest.approx(accuracy_score(labels, predicted), **close)
    of_present = {"labels": present, "zero_division": 0}
    macro = f1_score(labels, predicted, average="macro", **of_present)
    assert figures.macro_f1 == pytest.approx(macro, **close)
    if classes > 5:  # else scikit-learn warns that it is always 1
        top5 = top_k_accuracy_score(labels, given, k=5, labels=np.arange(classes))
        assert figures.top5_accuracy == pytest.approx(top5, **close)
    wanted = np.transpose(precision_recall_fscore_support(labels, predicted, **of_present))
    ours = [list(asdict(figures.by_class[names[label]]).values()) for label in present]
    np.testing.assert_allclose(ours, wanted, atol=1e-6)
    found = classification_outcomes(probabilities, labels)
    loss = log_loss(labels, given, labels=np.arange(classes))
    assert found.loss.mean() == pytest.approx(loss, **close)
    table = reliability_table(found, bins=bins)
    right = (predicted == labels).astype(int)
    accuracy, confidence = calibration_curve(right, given.max(axis=1), n_bins=bins)
    np.testing.assert_allclose(table["accuracy"], accuracy, atol=1e-6)
    np.testing.assert_allclose(table["confidence"], confidence, atol=1e-6)
    assert table["pictures"].sum() == pictures
    error = (np.abs(accuracy - confidence) * table["pictures"]).sum() / pictures
    assert figures.calibration_error == pytest.approx(error, **close)


def test_no_picture_at_all_is_said():
    with pytest.raises(DataError, match="no picture to judge the classifier by"):
        classification_outcomes(torch.zeros(0, 3), np.zeros(0, dtype=np.int64))


def test_intervals_are_those_of_the_binomial():
    """800 of 1,000 right: Wilson's interval is .7741 to .8236."""
    labels = np.zeros(1000, dtype=np.int64)
    probabilities = torch.tensor([[0.9, 0.1]] * 800 + [[0.2, 0.8]] * 200)
    outcomes = classification_outcomes(probabilities, labels)
    found = resampled_figures(outcomes, halves(1000, 2000), classes=2, bins=10)
    assert asdict(
        intervals({"accuracy": 0.8}, {"accuracy": found["accuracy"]}, {"accuracy": 1000})["accuracy"]
    ) == {
        "low": pytest.approx(0.7741, abs=0.002),
        "high": pytest.approx(0.8236, abs=0.002),
    }
    sure = classification_outcomes(probabilities[:800], labels[:800])
    assert set(resampled_figures(sure, halves(800, 10), classes=2, bins=10)["macro_f1"]) == {1.0}


@pytest.mark.slow
@settings(max_examples=30)
@given(seed=st.integers(0, 2**32 - 1), pictures=st.integers(1, 60), classes=st.integers(2, 12))
def test_a_draw_s_figures_are_those_of_the_pictures_drawn(seed, pictures, classes):
    random = np.random.default_rng(seed)
    probabilities = torch.from_numpy(random.dirichlet(np.ones(classes), size=pictures))
    labels, names = random.integers(0, classes, pictures), [str(label) for label in range(classes)]
    drawn = [np.bincount(rows, minlength=pictures) for rows in random.integers(pictures, size=(3, pictures))]
    found = resampled_figures(classification_outcomes(probabilities, labels), drawn, classes=classes, bins=7)
    for number, counts in enumerate(drawn):
        rows = np.repeat(np.arange(pictures), counts)
        figures = asdict(figures_of(probabilities[rows], labels[rows], names, bins=7))
        for name, values in found.items():
            assert values[number] == pytest.approx(figures[name], abs=1e-9), name


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_probabilities_that_are_not_finite_are_refused(value):
    broken = PROBABILITIES.clone()
    broken[2, 1] = value
    with pytest.raises(DataError, match=r"1 of 4 pictures have probabilities that are NaN .* first number 2"):
        classification_outcomes(broken, LABELS)


def test_a_sole_picture_that_is_wrong_has_the_gap_of_its_confidence():
    figures = figures_of(torch.tensor([[0.9, 0.1]]), np.array([1]), ["a", "b"])
    assert figures.calibration_error == pytest.approx(0.9)
    assert (figures.accuracy, figures.top5_accuracy, figures.macro_f1) == (0, 1, 0)
    assert figures.by_class == {"b": ClassFigures(precision=0.0, recall=0.0, f1=0.0, pictures=1)}


def test_the_right_class_counts_among_five_and_no_further():
    probabilities = torch.tensor([[0.3, 0.25, 0.2, 0.1, 0.09, 0.06]] * 2)
    found = classification_outcomes(probabilities, np.array([4, 5]))
    assert found.rank.tolist() == [5, 6]
    assert figures_of(probabilities, np.array([4, 5]), list("abcdef")).top5_accuracy == 0.5
    drawn = resampled_figures(found, [np.array([1, 1]), np.array([1, 0])], classes=6, bins=5)
    assert drawn["top5_accuracy"].tolist() == [0.5, 1.0]


def test_a_class_that_is_found_once_has_a_precision_of_one():
    figures = figures_of(torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7]]), np.array([0, 1, 1]), ["a", "b"])
    assert figures.by_class["b"] == ClassFigures(precision=1.0, recall=0.5, f1=2 / 3, pictures=2)


def test_figures_of_draws_are_those_of_the_pictures_in_them_by_hand():
    """All four pictures; the second and the third; the third twice with the first."""
    drawn = [np.array(counts) for counts in ([1, 1, 1, 1], [0, 1, 1, 0], [1, 0, 2, 0])]
    found = resampled_figures(classification_outcomes(PROBABILITIES, LABELS), drawn, classes=3, bins=4)
    assert list(found) == ["accuracy", "top5_accuracy", "macro_f1", "calibration_error"]
    assert found["accuracy"] == pytest.approx([3 / 4, 1 / 2, 1])
    assert found["top5_accuracy"].tolist() == [1, 1, 1]
    assert found["macro_f1"] == pytest.approx([(2 / 3 + 4 / 5) / 2, 2 / 3, 1])
    # up to .75 .6 and .6 with one right, above .8 and .8 right; then .6 wrong and .8 right; then .8 thrice
    assert found["calibration_error"] == pytest.approx([(0.2 + 0.4) / 4, (0.6 + 0.2) / 2, 0.2], abs=1e-6)


def test_the_loss_of_what_was_held_impossible_is_that_of_the_least_number():
    impossible = classification_outcomes(torch.tensor([[1.0, 0.0]]), np.array([1]))
    assert impossible.loss.tolist() == pytest.approx([87.3365], abs=1e-3)


def test_the_table_of_outcomes_says_which_picture_and_how_sure():
    table = outcome_table(classification_outcomes(PROBABILITIES, LABELS), CLASSES)
    assert list(table.columns) == ["picture", "actual", "predicted", "confidence", "rank", "loss"]
    assert table["picture"].tolist() == [0, 1, 2, 3]
    assert table["confidence"].tolist() == pytest.approx([0.8, 0.6, 0.8, 0.6])
