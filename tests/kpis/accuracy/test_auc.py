"""The area under the ROC curve of binary and multiclass models, and its interval."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from tables import CHANCES, CLASSES, ROWS, TARGETS, evidence

from pytest_modelbench.errors import MeasurementError


@pytest.mark.parametrize("average", ["macro", "weighted", "micro"])
def test_averages_are_scikit_learns(average: str) -> None:
    """And the interval has the width that resampling the samples gives."""
    found = evidence("roc_auc", average=average).student
    assert found.value == pytest.approx(100 * roc_auc_score(TARGETS, CHANCES, multi_class="ovr", average=average))
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(200):
        index = rng.integers(0, ROWS, ROWS)
        drawn.append(
            100
            * roc_auc_score(
                TARGETS[index], CHANCES[index], multi_class="ovr", average=average, labels=np.arange(CLASSES)
            )
        )
    assert found.estimate.low is not None
    assert found.estimate.high is not None
    assert found.estimate.high - found.estimate.low == pytest.approx(2 * 1.645 * np.std(drawn), rel=0.25)
    assert f"{average}-averaged" in found.method


def test_comparison_is_paired() -> None:
    """A student that ranks nearly as its teacher is compared more closely than two strangers would be."""
    near = evidence("roc_auc", "drop <= 5 pp", student=CHANCES, teacher=CHANCES**1.5).comparison
    assert near is not None
    assert near.difference is not None
    assert near.difference.low is not None
    assert near.difference.high is not None
    own = evidence("roc_auc", student=CHANCES).student.estimate
    assert own.low is not None
    assert own.high is not None
    assert near.difference.high - near.difference.low < 0.5 * (own.high - own.low)


@pytest.mark.parametrize(
    ("targets", "options", "words"),
    [
        (np.minimum(TARGETS, CLASSES - 2), {}, "roc_auc of student is nan: no sample is of class 6"),
        (TARGETS, {"average": "binary"}, "average='binary' is for two classes, and there are 7"),
    ],
    ids=["class without samples", "binary"],
)
def test_area_that_is_undefined(targets: np.ndarray, options: dict[str, Any], words: str) -> None:
    """Says which class lacks samples, and which averages there are."""
    with pytest.raises(MeasurementError, match=words):
        evidence("roc_auc", targets=targets, **options)


def test_two_classes_have_an_interval_also_where_they_are_separated() -> None:
    """A score interval by the sizes of both classes; two models that rank alike differ by 0, with ends around it."""
    targets = (np.arange(ROWS) < 30).astype(int)
    chances = np.stack([1 - 0.8 * targets, 0.8 * targets], axis=1)
    found = evidence("roc_auc", "drop <= 5 pp", targets=targets, student=chances, teacher=chances)
    assert found.student.value == found.student.estimate.high == 100
    assert 90 < (found.student.estimate.low or 0) < 99.5
    assert "score interval" in found.student.method
    assert found.comparison is not None
    difference = found.comparison.difference
    assert difference is not None
    assert (difference.low or 0) < 0 == difference.value < (difference.high or 0)
