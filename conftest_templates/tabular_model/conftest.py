"""A tabular classifier and its student, both of scikit-learn: what pytest --modelbench needs to know.

This runs as it is, on scikit-learn's breast cancer data, so that you can see the table first. Then put your own
models and data where it says REPLACE.
"""

from __future__ import annotations

import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pytest_modelbench import EvalData


@pytest.fixture(scope="session")
def teacher_model(frames):
    """REPLACE: return the model that you compressed; a fitted estimator or pipeline, or any callable."""
    train, _ = frames
    return RandomForestClassifier(300, random_state=0).fit(train.drop(columns="target"), train["target"])


# For several students: params=["linear", "tree"] and request.param; every gate runs for each.
@pytest.fixture(scope="session", params=["linear"])
def student_model(frames):
    """REPLACE: return the compressed model; or the path of a .skops file."""
    train, _ = frames
    pipeline = make_pipeline(StandardScaler(), LogisticRegression())
    return pipeline.fit(train.drop(columns="target"), train["target"])


@pytest.fixture(scope="session")
def eval_data(frames) -> EvalData:
    """REPLACE: rows that neither model was trained on, and the column to predict."""
    _, test = frames
    return EvalData(test, target="target")


# Everything below belongs to the example: delete it with the example's models.


@pytest.fixture(scope="session")
def frames():
    """Return training and test rows as data frames."""
    frame = load_breast_cancer(as_frame=True).frame
    return train_test_split(frame, test_size=0.4, random_state=0, stratify=frame["target"])
