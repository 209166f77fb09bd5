"""The Matthews correlation coefficient against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import matthews_corrcoef
from tables import GUESS, TARGETS, TEACHER, evidence

from pytest_modelbench.errors import MeasurementError


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 6))
def test_matthews_agrees_with_sklearn(seed: int, classes: int) -> None:
    """Also where a class is never predicted, and for answers that are worse than chance."""
    rng = np.random.default_rng(seed)
    targets, labels = rng.integers(0, classes, 40), rng.integers(0, max(1, classes - 1), 40)
    found = evidence("matthews", student=labels, targets=targets).student.value
    assert found == pytest.approx(matthews_corrcoef(targets, labels), abs=1e-9)


def test_a_constant_answer_is_worth_nothing() -> None:
    """There is no variance to correlate with: 0, as in scikit-learn; answers all wrong of two classes are -1."""
    flags = np.arange(40) % 2
    assert evidence("matthews", student=np.zeros(40, dtype=int), targets=flags).student.value == 0
    assert evidence("matthews", student=1 - flags, targets=flags).student.value == -1
    assert evidence("matthews", student=flags, targets=flags).student.value == 1


def test_its_change_is_paired() -> None:
    """Student minus teacher over the same samples, with an interval around it."""
    found = evidence("matthews", "difference >= -0.5").comparison
    assert found is not None
    assert found.difference is not None
    wanted = matthews_corrcoef(TARGETS, GUESS) - matthews_corrcoef(TARGETS, TEACHER.argmax(axis=1))
    assert found.difference.value == pytest.approx(wanted)
    assert found.difference.low is not None
    assert found.difference.low < wanted


def test_it_is_for_one_label_per_sample() -> None:
    """Values and several labels have no such coefficient."""
    values = np.linspace(0, 1, 30)
    with pytest.raises(MeasurementError, match="is for one label per sample, and the task is regression"):
        evidence("matthews", student=values, targets=values, data={"task": "regression"})
