import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stages.classification_metrics import classification_figures, confusion, reliability_table

CLASSES = ["a", "b", "c"]
# Sure of a, of a, of b, of b; true are a, b, b, b.
PROBABILITIES = torch.tensor([[0.8, 0.1, 0.1], [0.6, 0.3, 0.1], [0.2, 0.8, 0.0], [0.3, 0.6, 0.1]])
LABELS = np.array([0, 1, 1, 1])


def test_figures_by_hand():
    figures = classification_figures(PROBABILITIES, LABELS, CLASSES, bins=2)
    assert figures.accuracy == 0.75
    assert figures.accuracy_by_class == {"a": 1.0, "b": pytest.approx(2 / 3)}  # c is not in the split
    # F1 of a: precision 1/2, recall 1: 2/3. F1 of b: precision 1, recall 2/3: 4/5
    assert figures.macro_f1 == pytest.approx((2 / 3 + 4 / 5) / 2)
    # one bin holds all: mean confidence 0.7, accuracy 0.75
    assert figures.calibration_error == pytest.approx(0.05, abs=1e-6)


def test_confusion_by_hand():
    counts = confusion(LABELS, np.array([0, 0, 1, 1]), 3)
    assert counts.tolist() == [[1, 0, 0], [1, 2, 0], [0, 0, 0]]


def test_reliability_by_hand():
    table = reliability_table(PROBABILITIES, LABELS, bins=4)
    # 0.6 and 0.6 (one right) in the third step, 0.8 and 0.8 (both right) in the fourth
    assert table.to_dict("list") == {
        "confidence": pytest.approx([0.6, 0.8]),
        "accuracy": [0.5, 1.0],
        "pictures": [2, 2],
    }


def test_full_confidence_belongs_to_the_last_step():
    table = reliability_table(torch.tensor([[1.0, 0.0]]), np.array([0]), bins=10)
    assert table.to_dict("list") == {"confidence": [1.0], "accuracy": [1.0], "pictures": [1]}


@given(seed=st.integers(0, 2**32 - 1), bins=st.integers(1, 20))
def test_table_and_calibration_error_agree(seed, bins):
    draw = np.random.default_rng(seed)
    probabilities = torch.from_numpy(draw.dirichlet(np.ones(3), size=50)).float()
    labels = draw.integers(0, 3, 50)
    table = reliability_table(probabilities, labels, bins=bins)
    assert table["pictures"].sum() == 50
    gap = (table["pictures"] * (table["confidence"] - table["accuracy"]).abs()).sum() / 50
    figures = classification_figures(probabilities, labels, CLASSES, bins=bins)
    assert figures.calibration_error == pytest.approx(gap, abs=1e-5)
