"""A regression model and its student: what pytest --modelbench needs to know.

This runs as it is, on scikit-learn's diabetes data, so that you can see the table first. Then put your own models
and data where it says REPLACE.
"""

from __future__ import annotations

import pytest
from sklearn.datasets import load_diabetes
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.linear_model import Ridge
from sklearn.model_selection import train_test_split

from pytest_modelbench import EvalData


@pytest.fixture(scope="session")
def teacher_model(split):
    """REPLACE: return the model that you compressed; an estimator, an nn.Module or any callable."""
    train_x, _, train_y, _ = split
    return GradientBoostingRegressor(random_state=0).fit(train_x, train_y)


# For several students: params=["ridge", "tree"] and request.param; every gate runs for each.
@pytest.fixture(scope="session", params=["ridge"])
def student_model(split):
    """REPLACE: return the compressed model."""
    train_x, _, train_y, _ = split
    return Ridge(0.1).fit(train_x, train_y)


@pytest.fixture(scope="session")
def eval_data(split) -> EvalData:
    """REPLACE: inputs and values that neither model was trained on."""
    _, test_x, _, test_y = split
    return EvalData(test_x, test_y, task="regression")


# Everything below belongs to the example: delete it with the example's models.


@pytest.fixture(scope="session")
def split():
    """Return training and test inputs, training and test values."""
    inputs, values = load_diabetes(return_X_y=True)
    return train_test_split(inputs, values, test_size=0.4, random_state=0)
