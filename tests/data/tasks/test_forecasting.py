"""Forms in which values, forecasts and quantiles come, and what does not fit."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from pytest_modelbench import EvalData
from pytest_modelbench.data.tasks.forecasting import ForecastingData
from pytest_modelbench.errors import DataError, ModelError

VALUES = np.arange(12, dtype=float).reshape(2, 6)
WIDE = np.arange(24, dtype=float).reshape(2, 4, 3)
BANDS = np.stack([VALUES - 1, VALUES, VALUES + 1], axis=-1)
LEVELS = [0.1, 0.5, 0.9]
WINDOWS = np.zeros((2, 8))


def read(output: Any, targets: Any = VALUES, **words: Any) -> list[np.ndarray[Any, Any]]:
    """Return the forecasts that an output is read as."""
    data = EvalData(WINDOWS, targets, task="forecasting", **words)
    assert isinstance(data, ForecastingData)
    batch = next(data.batches())
    data.targets_of(batch)
    return list(data.answers_of(output, batch, "student")["value"])


FORMS: dict[str, Callable[[], tuple[Any, Any]]] = {
    "array": lambda: (VALUES, VALUES),
    "tensor with one series": lambda: (torch.tensor(VALUES)[..., None], VALUES),
    "several series": lambda: (torch.tensor(WIDE), WIDE),
    "horizons of their own": lambda: ([VALUES[0, :4], VALUES[1]], [VALUES[0, :4], VALUES[1]]),
    "one step": lambda: (VALUES[:, 0], VALUES[:, :1]),
    "one step and one value each": lambda: (VALUES[:, :1], VALUES[:, 0]),
    "hugging face": lambda: (SimpleNamespace(prediction_outputs=torch.tensor(VALUES), loss=None), VALUES),
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_forecasts(form: str) -> None:
    output, targets = FORMS[form]()
    expected = [np.ravel(target) for target in targets]
    assert all(np.array_equal(row[:, 0], own) for row, own in zip(read(output, targets), expected, strict=True))


QUANTILES: dict[str, Callable[[], Any]] = {
    "last": lambda: BANDS,
    "after the first": lambda: torch.tensor(BANDS).permute(0, 2, 1),
    "by level": lambda: {level: BANDS[..., i] for i, level in enumerate(LEVELS)},
    "by level as text": lambda: {str(level): torch.tensor(BANDS[..., i]) for i, level in enumerate(LEVELS)},
}


@pytest.mark.parametrize("form", QUANTILES)
def test_forms_of_quantiles(form: str) -> None:
    assert all(
        np.array_equal(row, band) for row, band in zip(read(QUANTILES[form](), quantiles=LEVELS), BANDS, strict=True)
    )


def test_blocks_begin_anew_with_each_series() -> None:
    data = EvalData(np.zeros((7, 3)), np.zeros((7, 2)), task="forecasting", series=list("aaaabbb"), block=2)
    assert isinstance(data, ForecastingData)
    assert data.group == [("a", 0), ("a", 0), ("a", 1), ("a", 1), ("b", 0), ("b", 0), ("b", 1)]
    assert EvalData(np.zeros((2, 3)), np.zeros((2, 2)), season=7).task == "forecasting"


@pytest.mark.parametrize(
    ("output", "words", "message"),
    [
        (VALUES[:, :5], {}, r"a forecast of shape \(5,\) for a target of 6 steps of 1 series, expected"),
        (BANDS, {}, r"shape \(6, 3\) for a target of 6 steps of 1 series.*Of several quantiles, write quantiles="),
        (BANDS[..., :2], {"quantiles": LEVELS}, r"shape \(6, 2\) .* and 3 quantiles"),
        (
            {0.1: VALUES, 0.5: VALUES},
            {"quantiles": LEVELS},
            r"returned quantiles \[0.1, 0.5\], and quantiles= has 0.9",
        ),
        (VALUES[:1], {}, "forecasts of 1 windows for 2"),
        (VALUES.astype(str), {}, "values of type <U"),
    ],
)
def test_forecasts_that_do_not_fit(output: Any, words: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        read(output, **words)


@pytest.mark.parametrize(
    ("targets", "words", "message"),
    [
        (VALUES, {"quantiles": [0.9, 0.1]}, "quantiles: found .*, expected numbers between 0 and 1 that rise"),
        (VALUES, {"quantiles": "0.5"}, "quantiles: found '0.5'"),
        (VALUES, {"quantiles": [10, 90]}, "expected numbers between 0 and 1 that rise"),
        (VALUES, {"season": 0}, "season: found 0, expected a whole number"),
        (VALUES, {"block": 1.5}, "block: found 1.5"),
        (VALUES, {"history": "targets"}, "history: found 'targets', expected arrays, or 'inputs'"),
        (VALUES, {"history": [[1.0, 2.0]]}, "there are 2 targets and 1 of history="),
        (VALUES, {"history": [[1.0], [1.0]]}, "the sample 0: found a history of 1 steps"),
        (VALUES, {"mask": np.ones((2, 5))}, r"a mask of shape \(5,\) for values of shape \(6, 1\)"),
        (VALUES, {"series": ["a"]}, "there are 2 samples and 1 series"),
        (np.full((2, 6), np.inf), {}, "found infinite values"),
        (np.zeros((2, 6, 2, 2)), {}, r"found values of shape \(6, 2, 2\)"),
        (None, {}, "have no targets"),
        (None, {"history": [[1.0]]}, "history= goes with targets="),
    ],
)
def test_data_that_do_not_fit(targets: Any, words: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(VALUES, targets, **words)
