"""Metrics from sums against scikit-learn and a loop over samples, on random data."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics
from tables import CHANCES, GUESS, ROWS, TARGETS, TEACHER, evidence

from pytest_modelbench.errors import MeasurementError

SEEDS = st.integers(0, 2**32 - 1)
few = settings(max_examples=25, deadline=None)


@few
@given(SEEDS, st.integers(2, 6), st.sampled_from(["macro", "micro", "weighted"]))
def test_label_metrics_agree_with_sklearn(seed: int, classes: int, average: str) -> None:
    """Also where a class is never predicted, or never occurs."""
    rng = np.random.default_rng(seed)
    targets, labels = rng.integers(0, classes, 40), rng.integers(0, max(1, classes - 1), 40)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wanted = {
            "f1": metrics.f1_score(targets, labels, average=average, zero_division=0),
            "precision": metrics.precision_score(targets, labels, average=average, zero_division=0),
            "recall": metrics.recall_score(targets, labels, average=average, zero_division=0),
        }
        balanced = metrics.balanced_accuracy_score(targets, labels)
    for kpi, value in wanted.items():
        found = evidence(kpi, student=labels, targets=targets, average=average).student.value
        assert found == pytest.approx(100 * value)
    assert evidence("balanced_accuracy", student=labels, targets=targets).student.value == pytest.approx(
        100 * balanced
    )


@few
@given(SEEDS, st.integers(2, 5))
def test_probability_metrics_agree_with_sklearn(seed: int, classes: int) -> None:
    """Log loss and Brier's score, for two classes and more."""
    rng = np.random.default_rng(seed)
    chances = rng.dirichlet(np.ones(classes), 50)
    targets = rng.integers(0, classes, 50)
    labels = list(range(classes))
    wanted = metrics.log_loss(targets, chances, labels=labels)
    assert evidence("log_loss", student=chances, targets=targets).student.value == pytest.approx(wanted)
    if classes > 2 or len(np.unique(targets)) == 2:
        scores = chances[:, 1] if classes == 2 else chances
        wanted = metrics.brier_score_loss(targets, scores, labels=labels)
        assert evidence("brier", student=chances, targets=targets).student.value == pytest.approx(wanted)


@few
@given(SEEDS)
def test_several_labels_per_sample(seed: int) -> None:
    """Multilabel F1, each average."""
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, 2, (30, 4))
    targets[0] = 1  # not one-hot
    logits = rng.normal(size=(30, 4)) * 3
    for average in ("macro", "micro", "weighted"):
        wanted = 100 * metrics.f1_score(targets, logits > 0, average=average, zero_division=0)
        data = {"task": "multilabel", "outputs": "logits"}
        found = evidence("f1", student=logits, targets=targets, data=data, average=average).student.value
        assert found == pytest.approx(wanted)


@few
@given(SEEDS)
def test_regression_metrics_agree_with_sklearn(seed: int) -> None:
    """Also far from zero, where squares would lose their figures."""
    rng = np.random.default_rng(seed)
    targets = rng.normal(size=60) + 1e6
    values = targets + rng.normal(size=60)
    data = {"task": "regression"}
    for kpi, function in {
        "rmse": metrics.root_mean_squared_error,
        "mae": metrics.mean_absolute_error,
        "r2": metrics.r2_score,
    }.items():
        found = evidence(kpi, student=values, targets=targets, data=data).student.value
        assert found == pytest.approx(function(targets, values), rel=1e-6)


def calibration_error(chances: np.ndarray, targets: np.ndarray) -> float:
    """Return the expected calibration error by a loop over bins and samples."""
    total = 0.0
    for number in range(15):
        inside = [
            (row.max(), row.argmax() == target)
            for row, target in zip(chances, targets, strict=True)
            if number / 15 < row.max() <= (number + 1) / 15
        ]
        if inside:
            confidence, right = np.mean(inside, axis=0)
            total += len(inside) / len(chances) * abs(confidence - right)
    return 100 * total


@few
@given(SEEDS)
def test_ece_is_the_loop(seed: int) -> None:
    """Fifteen right-closed bins; a confidence of 1 is in the last one."""
    rng = np.random.default_rng(seed)
    chances = rng.dirichlet(np.full(3, 0.5), 80)
    chances[:5] = np.eye(3)[rng.integers(0, 3, 5)]
    targets = rng.integers(0, 3, 80)
    found = evidence("ece", student=chances, targets=targets)
    assert found.student.value == pytest.approx(calibration_error(chances, targets), abs=1e-9)
    assert sum(row["student"]["n"] for row in found.breakdown) == 80
    assert found.breakdown[-1]["student"]["n"] >= 5


def test_calibration_drift_is_paired() -> None:
    """Student minus teacher, with an interval; the teacher against itself has none to speak of."""
    found = evidence("ece", "difference <= 50 pp", student=CHANCES, teacher=TEACHER).comparison
    assert found is not None
    assert found.difference is not None
    assert found.difference.low is not None
    assert found.difference.low < found.difference.value < (found.difference.high or 0)
    same = evidence("log_loss", "difference <= 50", student=TEACHER, teacher=TEACHER).comparison
    assert same is not None
    assert same.difference is not None
    assert (same.difference.value, same.difference.low) == (0.0, None)


def test_interval_is_the_bootstraps() -> None:
    """The interval of an accuracy-like mean is that of resampled samples."""
    found = evidence("recall", average="micro", confidence=0.975).student.estimate
    share = float((GUESS == TARGETS).mean())
    half = 100 * 1.96 * np.sqrt(share * (1 - share) / ROWS)
    assert found.low is not None
    assert found.high is not None
    assert found.high - found.low == pytest.approx(2 * half, rel=0.15)


def test_equal_targets_have_no_r2() -> None:
    """There is no variance to explain."""
    with pytest.raises(MeasurementError, match="all targets are 2,"):
        evidence("r2", student=np.arange(5.0), targets=np.full(5, 2.0), data={"task": "regression"})


def test_several_outputs_of_a_regression() -> None:
    """Averaged over outputs as scikit-learn does, so that a large one does not hide the others."""
    rng = np.random.default_rng(0)
    targets = np.stack([rng.normal(0, 1, 80), rng.normal(1000, 1, 80)], axis=1)
    values = targets + rng.normal(size=(80, 2)) * [0.1, 5]
    for kpi, function in {
        "rmse": metrics.root_mean_squared_error,
        "mae": metrics.mean_absolute_error,
        "r2": metrics.r2_score,
    }.items():
        found = evidence(kpi, student=values, targets=targets, data={"task": "regression"}).student.value
        assert found == pytest.approx(function(targets, values))


def test_binary_average_needs_two_classes() -> None:
    """Of two classes it is the second that counts, also where only the first occurs."""
    with pytest.raises(MeasurementError, match="average='binary' is for two classes, and there are 7"):
        evidence("f1", average="binary")
    scores = np.eye(2)[[0, 0, 1, 0]] * 3
    found = evidence("recall", student=scores, targets=np.zeros(4, dtype=int), average="binary").student.value
    assert found == 0


def test_equal_scores_rank_as_in_sklearn() -> None:
    """A student that gives all classes one score is not right five times of five."""
    rng = np.random.default_rng(0)
    targets, scores = rng.integers(0, 8, 200), rng.integers(0, 3, (200, 8)).astype(float)
    wanted = 100 * metrics.top_k_accuracy_score(targets, scores, k=5)
    data = {"task": "multiclass", "outputs": "logits"}
    assert evidence("top5_accuracy", student=scores, targets=targets, data=data).student.value == pytest.approx(
        wanted
    )
    constant = evidence("top5_accuracy", student=np.zeros((200, 8)), targets=targets, data=data).student.value
    assert constant == pytest.approx(100 * (targets >= 3).mean())
