"""Quality KPIs against scikit-learn, and worked by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn import metrics
from tables import CHANCES, CLASSES, GUESS, ROWS, STUDENT, TARGETS, TEACHER, evidence

from pytest_modelbench.errors import DataError, MeasurementError
from pytest_modelbench.stats.paired import tango_interval

RNG = np.random.default_rng(1)
VALUES = RNG.normal(size=ROWS)
ESTIMATES = VALUES + RNG.normal(0, 0.3, ROWS)


@pytest.mark.parametrize(
    ("kpi", "reference"),
    [
        ("top1_accuracy", lambda: 100 * metrics.accuracy_score(TARGETS, GUESS)),
        ("top5_accuracy", lambda: 100 * metrics.top_k_accuracy_score(TARGETS, STUDENT, k=5)),
        ("f1", lambda: 100 * metrics.f1_score(TARGETS, GUESS, average="macro")),
        ("precision", lambda: 100 * metrics.precision_score(TARGETS, GUESS, average="macro")),
        ("recall", lambda: 100 * metrics.recall_score(TARGETS, GUESS, average="macro")),
        ("balanced_accuracy", lambda: 100 * metrics.balanced_accuracy_score(TARGETS, GUESS)),
        ("roc_auc", lambda: 100 * metrics.roc_auc_score(TARGETS, CHANCES, multi_class="ovr")),
        ("log_loss", lambda: metrics.log_loss(TARGETS, CHANCES)),
    ],
)
def test_classification_agrees_with_sklearn(kpi: str, reference: Callable[[], float]) -> None:
    """The point is scikit-learn's, from logits or from the same numbers as probabilities."""
    assert evidence(kpi).student.value == pytest.approx(reference())
    if kpi != "top5_accuracy":
        assert evidence(kpi, student=CHANCES).student.value == pytest.approx(reference())


@pytest.mark.parametrize("average", ["micro", "weighted"])
def test_averaging_is_the_users_and_is_stated(average: str) -> None:
    """`average=` reaches scikit-learn and stands in the reading."""
    reading = evidence("f1", average=average).student
    assert reading.value == pytest.approx(100 * metrics.f1_score(TARGETS, GUESS, average=average))
    assert f"{average}-averaged" in reading.method


@pytest.mark.parametrize(
    ("kpi", "reference"),
    [
        ("rmse", lambda: metrics.root_mean_squared_error(VALUES, ESTIMATES)),
        ("mae", lambda: metrics.mean_absolute_error(VALUES, ESTIMATES)),
        ("r2", lambda: metrics.r2_score(VALUES, ESTIMATES)),
    ],
)
def test_regression_agrees_with_sklearn(kpi: str, reference: Callable[[], float]) -> None:
    """Regression models, in the target's unit."""
    found = evidence(kpi, student=ESTIMATES, teacher=VALUES, targets=VALUES)
    assert found.student.value == pytest.approx(reference())


def test_binary_scores() -> None:
    """Two columns of probabilities give the usual binary AUC and F1 of the greater label."""
    targets = (VALUES > 0).astype(int)
    chance = 1 / (1 + np.exp(-ESTIMATES))
    student = np.stack([1 - chance, chance], axis=1)
    found = evidence("roc_auc", student=student, targets=targets).student.value
    assert found == pytest.approx(100 * metrics.roc_auc_score(targets, chance))
    found = evidence("f1", student=student, targets=targets, average="binary").student.value
    assert found == pytest.approx(100 * metrics.f1_score(targets, chance > 0.5))


def test_pair_kpis_by_hand() -> None:
    """Ten samples: T right and S wrong on 2, T wrong and S right on 1, both wrong but differently on 1."""
    right = np.zeros(10, dtype=int)
    teacher = np.array([0, 0, 0, 0, 0, 0, 0, 0, 1, 1])
    student = np.array([0, 0, 0, 0, 0, 0, 1, 1, 0, 2])
    values = {
        kpi: evidence(kpi, student=student, teacher=teacher, targets=right).student.value
        for kpi in ("agreement", "flips", "negative_flip_rate", "mcnemar_p")
    }
    assert values == pytest.approx({"agreement": 60, "flips": 30, "negative_flip_rate": 20, "mcnemar_p": 1.0})


def test_drop_carries_tangos_interval() -> None:
    """The interval of a drop in points is the score interval of the discordant pairs."""
    teacher_right, student_right = TEACHER.argmax(1) == TARGETS, GUESS == TARGETS
    lost, gained = int((teacher_right & ~student_right).sum()), int((~teacher_right & student_right).sum())
    reference = tango_interval(lost, gained, ROWS, 0.05)
    found = evidence("top1_accuracy", "drop <= 90 pp").comparison
    assert found is not None
    assert found.difference is not None
    assert found.difference.value == pytest.approx(-100 * (lost - gained) / ROWS)
    assert found.difference.low == pytest.approx(-100 * (reference.high or 0))
    assert found.difference.high == pytest.approx(-100 * (reference.low or 0))


def test_worst_samples_come_first() -> None:
    """Of the samples that the student lost, the most confidently wrong one leads."""
    student = np.eye(CLASSES)[TARGETS] * 5.0
    student[[10, 20]] = np.roll(student[[10, 20]], 1, axis=1)
    student[20] *= 3
    teacher = np.eye(CLASSES)[TARGETS]
    assert evidence("top1_accuracy", "drop <= 90 pp", student=student, teacher=teacher).worst_samples == ("20", "10")


@pytest.mark.parametrize(
    ("kpi", "options", "words"),
    [
        ("rmse", {}, "rmse is for regression, and the task is multiclass"),
        ("top1_accuracy", {"student": ESTIMATES, "targets": VALUES}, "is for one label per sample"),
        ("f1", {"student": ESTIMATES, "targets": VALUES}, "f1 is for classification, and the task is regression"),
        ("roc_auc", {"student": GUESS}, "roc_auc needs one score per class, and student gives labels"),
        ("top5_accuracy", {"student": GUESS}, "needs scores, and student returns labels"),
        ("top5_accuracy", {"student": STUDENT[:, :4], "targets": TARGETS % 4}, "means nothing for 4 classes"),
        ("f1", {"targets": None}, "f1 needs targets, and the evaluation data have none"),
        ("log_loss", {"student": np.where(STUDENT > 3, np.nan, STUDENT)}, "log_loss is undefined: student gives NaN"),
        ("roc_auc", {"targets": np.zeros(ROWS, dtype=int)}, "roc_auc of student is nan"),
    ],
)
def test_question_that_has_no_answer(kpi: str, options: dict[str, Any], words: str) -> None:
    """No silent number: what is undefined says why."""
    with pytest.raises((MeasurementError, DataError), match=words):
        evidence(kpi, **options)
