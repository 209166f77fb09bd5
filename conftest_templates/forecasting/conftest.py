"""A forecasting model and its student: what pytest --modelbench needs to know.

This runs as it is, on a drawn series with a day's season, so that you can see the table first. Then put your own
models and data where it says REPLACE.
"""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.linear_model import Ridge

from pytest_modelbench import EvalData

HISTORY, HORIZON, DAY = 72, 12, 24


@pytest.fixture(scope="session")
def teacher_model(split):
    """REPLACE: return the model that you compressed; an estimator, an nn.Module or any callable."""
    return ExtraTreesRegressor(50, min_samples_leaf=3, random_state=0).fit(*split[0])


@pytest.fixture(scope="session")
def student_model(split):
    """REPLACE: return the compressed model: of windows (n, steps) it makes forecasts (n, horizon)."""
    return Ridge(0.1).fit(*split[0])


@pytest.fixture(scope="session")
def eval_data(split) -> EvalData:
    """REPLACE: windows that neither model was trained on, and the values that followed each."""
    windows, values = split[1]
    # Windows overlap here: blocks of two horizons count as one. Of many series, write series= with a name for each.
    return EvalData(windows, values, task="forecasting", history="inputs", season=DAY, block=2 * HORIZON)


# Everything below belongs to the example: delete it with the example's models.


@pytest.fixture(scope="session")
def split():
    """Return windows with the values that follow, for training and for testing."""
    draw, hours = np.random.default_rng(0), np.arange(4000)
    level = 10 + 3 * np.sin(2 * np.pi * hours / DAY) + np.maximum(np.sin(2 * np.pi * hours / (7 * DAY)), 0) ** 2
    series = level + np.convolve(draw.normal(0, 0.4, len(hours) + 3), [1.0, 0.6, 0.3, 0.1], mode="valid")
    cut = np.lib.stride_tricks.sliding_window_view(series, HISTORY + HORIZON)
    windows, values = cut[:, :HISTORY], cut[:, HISTORY:]
    return (windows[:2500], values[:2500]), (windows[2600:], values[2600:])
