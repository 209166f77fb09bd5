"""`ForecastingData`: the next values of series."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from pytest_modelbench.data.arguments import check_sequence
from pytest_modelbench.data.evaldata import Batch
from pytest_modelbench.data.tasks.forecasts import (
    forecast_of,
    mask_of,
    quantile_levels,
    rows_of_forecast,
    scales_of,
    window_of,
)
from pytest_modelbench.data.tasks.task_data import Array, Samples, TaskData, membership
from pytest_modelbench.errors import DataError, shown

INPUTS = "inputs"


class ForecastingData(TaskData):
    """Windows of series, each with the values that follow.

    `EvalData(..., task="forecasting")` makes one, too.

    Targets have the parts `value` (k,), float64, NaN where a value is missing, `step` (k,), from 0, and, with a
    history, `scale` (k,) and `scale_squared` (k,); answers have `value` (k, levels). k is horizon times series.

    Args:
        inputs: what the model gets, one window for each sample.
        targets: (n, horizon), (n, horizon, series), or a list of windows of different horizons. NaN is missing.
        quantiles: the levels of a model's quantiles, such as [0.1, 0.5, 0.9]; by default it gives one forecast.
        season: how many steps a season has, for `mase` and `rmsse`.
        history: for each sample the values before, on which the seasonal naive forecast is judged; `inputs` where the
            inputs are these values, (n, steps) or (n, steps, series).
        mask: which values count, of the targets' form; all that are not NaN by default.
        series: the series that each window is of: intervals resample series.
        block: how many consecutive windows of a series count as one: windows that overlap are alike.
        common: the arguments of `TaskData`; `group` goes before `series` and `block`.

    Raises:
        DataError: as for `TaskData`; quantiles, a season or a block of other values.
    """

    TASK: ClassVar[str] = "forecasting"
    UNIT: ClassVar[str] = "window"
    KPIS: ClassVar[str] = "forecast_mae, forecast_rmse, mase or pinball"

    def __init__(  # noqa: PLR0913 - this is the settings object of the data
        self,
        inputs: Any = None,
        targets: Any = None,
        *,
        quantiles: Any = None,
        season: int = 1,
        history: Any = None,
        mask: Any = None,
        series: Sequence[Hashable] | None = None,
        block: int | None = None,
        group: Sequence[Hashable] | None = None,
        **common: Any,
    ) -> None:
        self.quantiles = quantile_levels(quantiles)
        self.season, self.block = _whole("season", season), None if block is None else _whole("block", block)
        self._of_inputs = isinstance(history, str)
        if self._of_inputs and history != INPUTS:
            raise DataError(f"history: found {shown(history)}, expected arrays, or 'inputs'")
        self.has_history = history is not None
        beside = {"history": None if self._of_inputs else history, "mask": mask}
        targets = _joined(targets, {name: values for name, values in beside.items() if values is not None})
        own = {"quantiles": self.quantiles, "season": self.season, "history": self.has_history}
        given = {"mask": None, "series": None, "block": self.block}
        super().__init__(inputs, targets, own={**own, **given}, group=group, **common)
        if series is not None:
            series = membership("series", series)
            if self.source.length not in {None, len(series)}:
                raise DataError(f"there are {self.source.length} samples and {len(series)} series; expected one each")
        self.has_groups = group is not None
        self.series = series
        if group is None and (series is not None or self.block is not None):
            self.group = list(_blocks(series, self.block, self.source.length or 0))

    def targets_of(self, batch: Batch) -> Samples:
        """Return the values that follow each window.

        Raises:
            DataError: they are in another form, or a history is too short.
        """
        read = [self._target(batch, position) for position in range(len(batch.ids))]
        names = ("value", "step", *(("scale", "scale_squared") if self.has_history else ()))
        return {name: [parts[name] for parts in read] for name in names}

    def _target(self, batch: Batch, position: int) -> dict[str, Array]:
        place = self.place(batch, position)
        window = self._window(batch, position)
        steps, series = window.shape
        parts = {"value": window.reshape(-1), "step": np.repeat(np.arange(steps, dtype=np.int32), series)}
        if self.has_history:
            history = _rows_of_inputs(batch)[position] if self._of_inputs else batch.targets[position]["history"]
            scales = scales_of(history, self.season, series, place)
            parts |= {
                name: np.tile(scale, steps) for name, scale in zip(("scale", "scale_squared"), scales, strict=True)
            }
        return parts

    def _window(self, batch: Batch, position: int) -> Array:
        if batch.targets is None:
            raise DataError("the evaluation data have no targets. Write EvalData(inputs, values, task='forecasting')")
        target, place = batch.targets[position], self.place(batch, position)
        if not isinstance(target, Mapping):
            return window_of(target, place)
        window = window_of(target["target"], place)
        if "mask" not in target:
            return window
        return np.where(mask_of(target["mask"], window, place), window, np.nan)

    def answers_of(self, output: Any, batch: Batch, model: str) -> Samples:
        """Return the forecast of each window.

        Raises:
            ModelError: it is in another form.
        """
        shapes = [self._window(batch, position).shape for position in range(len(batch.ids))]
        forecast = forecast_of(output, self.select, self.quantiles, model)
        pairs = [(shape[0], shape[1]) for shape in shapes]
        return {"value": rows_of_forecast(forecast, pairs, self.quantiles, model)}

    def readable(self, parts: Samples) -> list[Array]:
        """Return values, (k,) each, NaN where one is missing; of a model's quantiles (k, levels)."""
        return [value[:, 0] if value.ndim == 2 and value.shape[1] == 1 else value for value in parts["value"]]


def _whole(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise DataError(f"{name}: found {shown(value)}, expected a whole number of at least 1")
    return int(value)


def _joined(targets: Any, beside: Mapping[str, Any]) -> Any:
    """Return each window's target together with its history and its mask.

    Raises:
        DataError: another number of them, or targets that come with the inputs.
    """
    if not beside:
        return targets
    first = next(iter(beside))
    if targets is None:
        raise DataError(f"{first}= goes with targets=, which is missing: a dataset's targets come with its inputs")
    check_sequence("targets", targets)
    for name, values in beside.items():
        check_sequence(name, values)
        if len(values) != len(targets):
            raise DataError(f"there are {len(targets)} targets and {len(values)} of {name}=; expected one for each")
    return [
        {"target": target, **{name: values[position] for name, values in beside.items()}}
        for position, target in enumerate(targets)
    ]


def _rows_of_inputs(batch: Batch) -> Any:
    if isinstance(batch.inputs, Mapping | tuple):
        raise DataError(
            "history='inputs' needs one array of inputs, (n, steps) or (n, steps, series). Write history="
        )
    return batch.inputs


def _blocks(series: Sequence[Hashable] | None, block: int | None, count: int) -> Iterator[tuple[Hashable, int]]:
    """Yield the series and the block that each window belongs to."""
    seen: dict[Hashable, int] = {}
    for name in [None] * count if series is None else series:
        seen[name] = seen.get(name, -1) + 1
        yield name, 0 if block is None else seen[name] // block
