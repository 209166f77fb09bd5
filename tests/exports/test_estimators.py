"""scikit-learn estimators as ONNX files."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from exporting import Export, assert_ready
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from pytest_modelbench.exports.steps import Status

RNG = np.random.default_rng(0)
X = RNG.normal(size=(300, 6))
LABELS = np.array(["no", "yes"])[(X[:, 0] > 0).astype(int)]
BATCHES = [X[:64], X[64:128]]


@pytest.mark.parametrize(
    "estimator",
    [
        LogisticRegression().fit(X, LABELS),
        make_pipeline(StandardScaler(), LogisticRegression()).fit(X, LABELS),
        RandomForestClassifier(10, random_state=0).fit(X, LABELS),
        LinearSVC().fit(X, LABELS),
        LinearRegression().fit(X, X[:, 0]),
        LinearRegression().fit(X, X[:, :2]),
    ],
    ids=["logistic", "pipeline", "forest", "labels", "regressor", "two targets"],
)
def test_estimators_are_ready(export: Export, estimator: Any) -> None:
    """Probabilities are an array and not a list of maps, labels are texts, and one target is one number for each row."""
    assert_ready(export(estimator, "onnx", BATCHES))


def test_single_precision_changes_labels(export: Export) -> None:
    """Large values differ in float32 where a tree splits; the remedy says what to do."""
    large = X * 1e3 + 1e9
    noise = RNG.integers(0, 2, len(X))
    tree = make_pipeline(StandardScaler(), DecisionTreeClassifier(random_state=0)).fit(large, noise)
    step = export(tree, "onnx", [large[:150], large[150:]]).stopped_at
    assert step is not None
    assert step.name == "parity"
    assert "float32" in step.remedy


def test_estimators_have_one_format(export: Export) -> None:
    """Other formats say so before anything is written."""
    step = export(LogisticRegression().fit(X, LABELS), "torch_export", BATCHES).stopped_at
    assert step is not None
    assert step.status is Status.FAIL
    assert "exported to onnx only" in step.evidence
