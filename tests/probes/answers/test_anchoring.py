"""A teacher that does not follow the targets anchors nothing, and the likely cause is named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from tables import evidence

from pytest_modelbench.errors import MeasurementError

Array = npt.NDArray[Any]
RNG = np.random.default_rng(0)
N, CLASSES = 600, 10
TARGETS = RNG.integers(0, CLASSES, N)
ORDER = np.array([3, 0, 7, 1, 9, 2, 8, 4, 5, 6])
WRONG = RNG.random(N) < 0.03
FIFTH = np.arange(N) % 5


def logits_of(labels: Array) -> Array:
    """Return logits that predict these labels, some of them wrong."""
    said = np.where(WRONG, (labels + 4) % CLASSES, labels)
    return 5.0 * np.eye(CLASSES)[said]


def anchored(teacher: Array, kpi: str = "top1_accuracy", limit: str = "drop <= 5 pp", **options: Any) -> Any:
    return evidence(kpi, limit, student=teacher, teacher=teacher, targets=TARGETS, **options)


@pytest.mark.parametrize(
    ("labels", "cause"),
    [
        (lambda y: (y + 1) % CLASSES, "if each label were one higher: the labels are off by one"),
        (lambda y: (y - 1) % CLASSES, "if each label were one lower: the labels are off by one"),
        (lambda y: CLASSES - 1 - y, "with the classes in reversed order"),
        (
            lambda y: ORDER[y],
            "if it did not predict 3 for 0, 0 for 1, 7 for 2, ...: the classes are in another order",
        ),
        (lambda y: np.roll(y, 1), "the targets seem to be moved by -1 rows against the inputs"),
        (lambda y: np.roll(y, -2), "the targets seem to be moved by +2 rows against the inputs"),
        (RNG.permutation, "the labels or their order are the usual cause"),
    ],
)
def test_teacher_at_chance_is_an_error_with_its_cause(labels: Callable[[Array], Array], cause: str) -> None:
    """A drop relative to a teacher at chance is an error that names what would explain it."""
    with pytest.raises(
        MeasurementError, match=r"no better than always predicting \d .*nothing can be relative"
    ) as told:
        anchored(logits_of(labels(TARGETS)))
    assert cause in str(told.value)
    assert str(told.value).endswith("Put it right, or write allow_weak_teacher=True")


@pytest.mark.parametrize(
    ("kpi", "limit"),
    [
        ("class_drop", "<= 50 pp"),
        ("negative_flip_rate", "<= 50%"),
        ("flips", "<= 50%"),
        ("f1", "ratio >= 0.9"),
        ("log_loss", "ratio <= 2"),
        ("ece", "difference <= 2 pp"),
    ],
)
def test_every_kpi_that_reads_targets_needs_an_anchor(kpi: str, limit: str) -> None:
    """KPIs that compare what is right for both models do not pass on a teacher at chance."""
    with pytest.raises(MeasurementError, match="no better than always predicting"):
        anchored(logits_of((TARGETS + 1) % CLASSES), kpi, limit)


def test_weak_teacher_may_be_allowed_and_is_needed_by_some_limits_only() -> None:
    """`allow_weak_teacher=True`, limits on the student's own value and agreement are judged."""
    weak = logits_of((TARGETS + 1) % CLASSES)
    assert anchored(weak, allow_weak_teacher=True).comparison.difference.value == 0
    assert anchored(weak, limit=">= 50%").student.value < 5
    assert anchored(weak, "agreement", ">= 90%").student.value == 100


def test_classes_in_another_order_are_told_beside_the_value() -> None:
    """Two exchanged classes of ten leave a usable teacher; the student's reading names them."""
    swapped = TARGETS.copy()
    swapped[TARGETS == 3], swapped[TARGETS == 5] = 5, 3
    found = anchored(logits_of(swapped))
    assert "its predictions would be right if it did not predict 5 for 3, 3 for 5" in found.notes[0]
    assert anchored(logits_of(TARGETS)).notes == ()


def test_rare_positives_are_no_weak_teacher() -> None:
    """A detector whose accuracy is below that of "never" is anchor enough if it finds positives beyond chance."""
    rare = (np.arange(N) % 50 == 0).astype(int)
    alarms = np.where(rare == 1, FIFTH != 9, np.arange(N) % 40 == 1).astype(int)
    assert (alarms == rare).mean() < 1 - rare.mean()
    logits = 5.0 * np.eye(2)[alarms]
    found = evidence("f1", "drop <= 5 pp", student=logits, teacher=logits, targets=rare)
    assert found.comparison is not None
    never = 5.0 * np.eye(2)[np.zeros(N, dtype=int)]
    with pytest.raises(MeasurementError, match="it predicts 0 for every sample"):
        evidence("f1", "drop <= 5 pp", student=never, teacher=never, targets=rare)


def test_few_samples_do_not_refuse_a_good_teacher() -> None:
    """Four right of four prove little, and refuse nothing; nor does a set of one class."""
    four = 5.0 * np.eye(2)[[0, 1, 1, 0]]
    found = evidence("top1_accuracy", "drop <= 5 pp", student=four, teacher=four, targets=np.array([0, 1, 1, 0]))
    assert found.student.value == 100
    one = 5.0 * np.eye(2)[[1, 1, 1, 0]]
    found = evidence("top1_accuracy", "drop <= 5 pp", student=one, teacher=one, targets=np.array([1, 1, 1, 1]))
    assert found.student.value == 75


def test_regression_teacher_must_beat_the_mean() -> None:
    """Values that are no nearer to the targets than their mean anchor nothing; moved rows are named."""
    truth = RNG.normal(size=N)
    good, moved = truth + 0.3 * RNG.normal(size=N), np.roll(truth, 1)
    assert evidence("rmse", "increase <= 5%", student=good, teacher=good, targets=truth).comparison is not None
    with pytest.raises(MeasurementError, match=r"has R² -.*moved by -1 rows against the inputs"):
        evidence("rmse", "increase <= 5%", student=moved, teacher=moved, targets=truth)


def test_multilabel_teacher_must_find_labels_where_they_hold() -> None:
    """Columns in another order predict each label as often where it does not hold."""
    truth = (RNG.random((N, 6)) < 0.3).astype(int)
    good, moved = 4.0 * truth - 2, 4.0 * np.roll(truth, 1, axis=1) - 2
    data = {"task": "multilabel", "outputs": "logits"}
    assert evidence("f1", "drop <= 5 pp", student=good, teacher=good, targets=truth, data=data).comparison is not None
    with pytest.raises(MeasurementError, match="predicts the 6 labels no more often where they hold"):
        evidence("f1", "drop <= 5 pp", student=moved, teacher=moved, targets=truth, data=data)
