"""scikit-learn estimators as ONNX files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skl2onnx
from exporting import Export, assert_ready
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from pytest_modelbench.data.arrays import select_output
from pytest_modelbench.errors import ModelError
from pytest_modelbench.exports.pairing import chosen
from pytest_modelbench.exports.parity import compare
from pytest_modelbench.exports.steps import Status
from pytest_modelbench.models.registry import adapt
from pytest_modelbench.models.saved import Loading

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


@pytest.mark.parametrize("zipmap", [True, False])
def test_a_file_that_skl2onnx_wrote_by_default(tmp_path: Path, zipmap: bool) -> None:
    """Labels and a list of maps: the messages name the output to judge and to compare, and both then work."""
    inputs = np.random.default_rng(0).normal(size=(64, 4)).astype(np.float32)
    model = LogisticRegression().fit(inputs, inputs[:, :3].argmax(1))
    options = {} if zipmap else {"options": {id(model): {"zipmap": False}}}
    path = tmp_path / "model.onnx"
    path.write_bytes(skl2onnx.to_onnx(model, inputs[:1], **options).SerializeToString())
    outputs = adapt(str(path), Loading(name="student"))(inputs)
    name = "output_probability" if zipmap else "probabilities"
    words = r"none was selected. Write EvalData\(..., select=1\) for the probabilities .*outputs=.*'zipmap': False"
    with pytest.raises(ModelError, match=words):
        select_output(outputs, None, "student")
    expected = model.predict_proba(inputs)
    assert np.allclose(select_output(outputs, 1, "student"), expected, atol=1e-6)
    broken = compare(expected, outputs, rows=64).broken
    assert broken.endswith(f"To compare it alone, write outputs=[{name!r}]")
    assert compare(expected, chosen(outputs, [name], "student"), rows=64).value < 1e-5
