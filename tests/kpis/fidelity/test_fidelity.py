"""Divergence and churn against scipy and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.special import softmax
from tables import evidence

from pytest_modelbench.errors import MeasurementError
from pytest_modelbench.kpis.catalogue import CATALOGUE


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 6))
def test_divergence_agrees_with_scipy(seed: int, classes: int) -> None:
    """Mean, 99th percentile and largest value of `scipy.stats.entropy`, from logits and from probabilities."""
    rng = np.random.default_rng(seed)
    teacher, student = rng.normal(size=(2, 150, classes))
    targets = rng.integers(0, classes, 150)
    each = stats.entropy(softmax(teacher, axis=1), softmax(student, axis=1), axis=1)
    wanted = {
        "kl_divergence": each.mean(),
        "kl_divergence_p99": np.sort(each)[int(np.ceil(0.99 * 150)) - 1],
        "kl_divergence_max": each.max(),
    }
    for kpi, value in wanted.items():
        found = evidence(kpi, student=student, teacher=teacher, targets=targets)
        assert found.student.value == pytest.approx(value, rel=1e-4, abs=1e-6)
        assert found.worst_samples[0] == str(int(each.argmax()))
        chances = softmax(student, axis=1), softmax(teacher, axis=1)
        again = evidence(kpi, student=chances[0], teacher=chances[1], targets=targets)
        assert again.student.value == pytest.approx(value, rel=1e-4, abs=1e-6)


def test_percentile_that_few_samples_do_not_support() -> None:
    """Of 50 samples no upper end of the 99th percentile is known."""
    rng = np.random.default_rng(0)
    teacher, student = rng.normal(size=(2, 50, 3))
    found = evidence("kl_divergence_p99", student=student, teacher=teacher, targets=np.zeros(50, dtype=int))
    assert found.student.estimate.high == np.inf
    assert found.student.estimate.low is not None
    assert found.student.estimate.low < found.student.value


def test_a_probability_of_zero_is_finite() -> None:
    """What the student excludes and the teacher does not costs much, and not infinitely much."""
    teacher, student = np.array([[0.5, 0.5]] * 4), np.array([[1.0, 0.0]] * 4)
    found = evidence("kl_divergence", student=student, teacher=teacher, targets=np.zeros(4, dtype=int))
    assert 40 < found.student.value < 50


def test_labels_have_no_divergence() -> None:
    """Told with what is needed."""
    labels = np.array([0, 1, 1])
    with pytest.raises(MeasurementError, match="one score for each class is needed"):
        evidence("kl_divergence", student=labels, teacher=labels, targets=labels)


def test_churn_among_wrong_by_hand() -> None:
    """Both are wrong on four samples, and differ on one of them."""
    targets = np.zeros(6, dtype=int)
    teacher, student = np.array([0, 0, 1, 1, 2, 2]), np.array([0, 1, 1, 2, 2, 2])
    found = evidence("churn_among_wrong", student=student, teacher=teacher, targets=targets)
    assert found.student.value == 25
    assert found.student.n == 4
    assert found.worst_samples == ("3",)


def test_nothing_wrong_has_no_churn() -> None:
    """Not applicable, said with the reason."""
    with pytest.raises(MeasurementError, match="no sample is wrong for both"):
        evidence("churn_among_wrong", student=np.arange(4), teacher=np.arange(4), targets=np.arange(4))


def test_agreement_by_class() -> None:
    """The class in which answers differ most stands out."""
    targets = np.repeat([0, 1, 2], 10)
    student = targets.copy()
    student[10:14] = 2
    rows = evidence("agreement", student=student, teacher=targets, targets=targets).breakdown
    assert [(row["name"], row["n"], row["value"]) for row in rows] == [("0", 10, 100), ("1", 10, 60), ("2", 10, 100)]
    flips = evidence("flips", student=student, teacher=targets, targets=targets).breakdown
    assert [row["value"] for row in flips] == [0, 40, 0]


def test_other_number_of_classes() -> None:
    """A student with an output too few is told apart from one that is wrong."""
    targets = np.arange(30) % 3
    teacher, student = np.eye(4)[targets], np.eye(3)[targets]
    with pytest.raises(MeasurementError, match=r"other classes apart: 0, 1, 2, 3 \(4\) and 0, 1, 2 \(3\)"):
        evidence("agreement", student=student, teacher=teacher, targets=targets)


def test_other_order_of_classes() -> None:
    """Columns that were exchanged show as a renaming that makes nearly all answers agree."""
    targets = np.arange(90) % 3
    logits = np.eye(3)[targets] * 5
    found = evidence("agreement", student=logits[:, [1, 2, 0]], teacher=logits, targets=targets)
    assert found.student.value == 0
    assert found.notes[0].startswith("the student's classes seem to be in another order: its 2 is the teacher's 0")
    noise = np.random.default_rng(0).normal(size=(90, 3))
    assert not evidence("agreement", student=noise, teacher=logits, targets=targets).notes


@pytest.mark.parametrize("kpi", ["top1_accuracy", "agreement", "flips"])
def test_student_that_does_not_look_at_its_inputs(kpi: str) -> None:
    """Noted wherever answers are judged."""
    targets = np.arange(30) % 3
    found = evidence(kpi, student=np.full(30, 2), teacher=targets, targets=targets)
    assert "student answers 2 for every sample" in found.notes


def test_the_largest_is_that_of_these_data() -> None:
    """No sample says how large another one's could be, so there is no interval, and no confidence to ask for."""
    targets = np.arange(30) % 3
    student = np.eye(3)[targets]
    found = evidence("kl_divergence_max", student=student, teacher=2 * student, targets=targets).student.estimate
    assert found.low == found.high == found.value
    assert "confidence" not in CATALOGUE["kl_divergence_max"].options
