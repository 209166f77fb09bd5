"""Forecasts of windows of series: the forms in which values, quantiles and histories come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pytest_modelbench.data.arrays import as_array, select_output
from pytest_modelbench.data.tasks.task_data import Array, count_of
from pytest_modelbench.errors import DataError, ModelError, shown

MEDIAN = 0.5


def quantile_levels(quantiles: Any) -> tuple[float, ...]:
    """Return levels of quantiles in order; none where none are stated.

    Raises:
        DataError: other values than numbers between 0 and 1 that rise.
    """
    if quantiles is None:
        return ()
    listed = isinstance(quantiles, Sequence | np.ndarray) and not isinstance(quantiles, str | bytes)
    levels = list(quantiles) if listed else []
    plain = all(isinstance(level, float | int | np.floating) and 0 < level < 1 for level in levels)
    if not levels or not plain or sorted(set(levels)) != levels:
        raise DataError(
            f"quantiles: found {shown(quantiles)}, expected numbers between 0 and 1 that rise, such as [0.1, 0.9]"
        )
    return tuple(map(float, levels))


def window_of(target: Any, place: str) -> Array:
    """Return the values of a window, (horizon, series).

    Raises:
        DataError: other values than numbers, or more axes; the message names the sample.
    """
    try:
        values = as_array(target)
    except ModelError as error:
        raise DataError(f"{place}: {error}") from error
    if values.ndim > 2 or values.dtype.kind not in "iufb" or not values.size:
        raise DataError(
            f"{place}: found values of shape {values.shape} and type {values.dtype}, expected numbers, (horizon,) or "
            "(horizon, series)"
        )
    if np.isinf(values).any():
        raise DataError(f"{place}: found infinite values, expected numbers, and NaN for those that are missing")
    wide: Array = values.astype(np.float64)
    return wide.reshape(1 if values.ndim == 0 else len(values), -1)


def mask_of(mask: Any, window: Array, place: str) -> Array:
    """Return which values of a window count, (horizon, series).

    Raises:
        DataError: another shape, or other values than True and False, or 1 and 0.
    """
    values = as_array(mask)
    if [length for length in values.shape if length > 1] != [length for length in window.shape if length > 1]:
        raise DataError(f"{place}: found a mask of shape {values.shape} for values of shape {window.shape}")
    if values.dtype.kind not in "iufb" or not np.isin(values, (0, 1)).all():
        raise DataError(
            f"{place}: found a mask of type {values.dtype}, expected True or False for each value, or 1 or 0"
        )
    return values.astype(bool).reshape(window.shape)


def scales_of(history: Any, season: int, series: int, place: str) -> tuple[Array, Array]:
    """Return the mean absolute and the mean squared change of a history over a season, (series,) each.

    Raises:
        DataError: a history that is no longer than a season, of other series, or not of numbers.
    """
    values = window_of(history, f"{place}: history")
    if len(values) <= season or values.shape[1] not in {1, series}:
        raise DataError(
            f"{place}: found a history of {len(values)} steps of {values.shape[1]} series, expected more than "
            f"season={season} steps of {series}"
        )
    changes = values[season:] - values[:-season]
    defined = np.isfinite(changes)
    counts = defined.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        absolute = np.where(defined, np.abs(changes), 0.0).sum(axis=0) / counts
        squared = np.where(defined, changes**2, 0.0).sum(axis=0) / counts
    return np.broadcast_to(absolute, series), np.broadcast_to(squared, series)


def forecast_of(output: Any, select: str | int | None, levels: Sequence[float], model: str) -> Any:
    """Return the array that is judged of an output, quantiles along its last axis; lists stay.

    A mapping of levels to arrays becomes one array. Of the outputs of Hugging Face, `prediction_outputs` are taken.

    Raises:
        ModelError: a mapping that lacks a level, or several heads.
    """
    if isinstance(output, Mapping) and levels and select is None:
        by_level = {_level(key): values for key, values in output.items()}
        lacking = [level for level in levels if level not in by_level]
        if len(lacking) < len(levels):
            if lacking:
                raise ModelError(
                    f"{model} returned quantiles {sorted(by_level)}, and quantiles= has {lacking[0]}, too"
                )
            return np.stack([as_array(by_level[level]) for level in levels], axis=-1)
    if select is None and not isinstance(output, Mapping) and hasattr(output, "prediction_outputs"):
        return output.prediction_outputs
    return output if isinstance(output, list) else select_output(output, select, model)


def _level(key: Any) -> float:
    """Return the level that a key states; NaN for another key."""
    try:
        return float(key)
    except (TypeError, ValueError):
        return float("nan")


def rows_of_forecast(
    forecast: Any, shapes: Sequence[tuple[int, int]], levels: Sequence[float], model: str
) -> list[Array]:
    """Return the forecast of each window, (horizon * series, levels), one level where there are no quantiles.

    Args:
        forecast: (n, horizon), (n, horizon, series) or a list of such without the first axis; with quantiles one
            more axis, the last one or the one after the first.
        shapes: of the targets, (horizon, series) each.
        levels: of the quantiles.
        model: its name, for messages.

    Raises:
        ModelError: another form.
    """
    listed = isinstance(forecast, list) and not all(np.ndim(one) == 0 for one in forecast)
    values = forecast if listed else as_array(forecast)
    count = count_of(values, model, "a forecast")
    if count != len(shapes):
        raise ModelError(f"{model} returned forecasts of {count} windows for {len(shapes)}")
    arrays = [as_array(one) for one in values]
    if (
        len(levels) > 1
        and len(arrays) > 1
        and all(_turned(array, shape) for array, shape in zip(arrays, shapes, strict=True))
    ):
        raise ModelError(
            f"{model} returned forecasts whose quantiles fall along the last axis and rise along the one before, and "
            "both axes have the same length. Return (horizon, quantiles), the quantiles last"
        )
    return [_row(array, shape, len(levels), model) for array, shape in zip(arrays, shapes, strict=True)]


def _turned(values: Array, shape: tuple[int, int]) -> bool:
    """Whether levels of one window rise along the first of two equal axes only."""
    square = values.ndim == 2 and values.shape == (shape[0], shape[0])
    if not square or (np.diff(values, axis=0) < 0).any():
        return False
    return bool((np.diff(values, axis=1) < 0).any() and (np.diff(values, axis=0) > 0).any())


def _row(values: Array, shape: tuple[int, int], levels: int, model: str) -> Array:
    """Return one window's forecast with the levels last."""
    steps, several = shape, max(levels, 1)
    wanted = [length for length in steps if length > 1]
    own = [length for length in values.shape if length > 1]
    expected = [*wanted, several] if levels > 1 else wanted
    if values.dtype.kind not in "iuf":
        raise ModelError(f"{model} returned values of type {values.dtype}, expected numbers")
    if own == expected:
        return values.reshape(-1, several)
    if levels > 1 and own == [several, *wanted]:
        return values.reshape(several, -1).T
    described = "(horizon, series" + (", quantiles)" if levels else ")")
    raise ModelError(
        f"{model} returned a forecast of shape {values.shape} for a target of {steps[0]} steps of {steps[1]} series"
        + (f" and {levels} quantiles" if levels else "")
        + f", expected {described}"
        + ("" if levels else ". Of several quantiles, write quantiles=[...]")
    )
