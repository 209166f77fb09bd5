"""Values of the next steps of series: the KPIs and their definitions."""

from __future__ import annotations

from typing import Any

from pytest_modelbench.kpis.kpi import NONNEGATIVE, ROOM, SHARE, UNBOUNDED, Kpi
from pytest_modelbench.probes.kinds import TASK_ANSWERS

_METHOD = "one forward pass over the evaluation data; Student's interval of the paired jackknife, by window or group"
_HYNDMAN = "Hyndman and Koehler, Int. J. Forecasting 22:679 (2006)"


def _row(name: str, unit: str, definition: str, source: str, derive: str = "errors:error", **others: Any) -> Kpi:
    return Kpi(
        name=name,
        pillar="quality",
        unit=unit,
        better=others.pop("better", "lower"),
        definition=definition,
        method=_METHOD,
        source=source,
        probe=TASK_ANSWERS,
        derive=f"{ROOM}.forecasting.{derive}",
        statistic=name,
        bounds=others.pop("bounds", NONNEGATIVE),
        options={**others.pop("options", {}), "confidence": None},
        **others,
    )


KPIS: tuple[Kpi, ...] = (
    _row("forecast_mae", "", "mean absolute error of all values", "sklearn.metrics.mean_absolute_error"),
    _row("forecast_rmse", "", "root of the mean squared error of all values", "sklearn.metrics.mean_squared_error"),
    _row(
        "forecast_bias",
        "",
        "mean of forecast minus value",
        "Hyndman and Athanasopoulos, Forecasting: principles and practice, 3rd edition, 5.8",
        bounds=UNBOUNDED,
        two_sided=True,
    ),
    _row(
        "mape",
        "%",
        "mean of absolute error over absolute value; values of 0 need zeros='exclude'",
        "sklearn.metrics.mean_absolute_percentage_error",
        options={"zeros": "refuse"},
    ),
    _row(
        "smape",
        "%",
        "mean of twice the absolute error over the sum of absolute forecast and value, 0 where both are 0",
        "Makridakis et al., The M4 Competition, Int. J. Forecasting 36:54 (2020)",
        bounds=(0.0, 200.0),
    ),
    _row(
        "wape",
        "%",
        "sum of absolute errors over the sum of absolute values",
        "torchmetrics.WeightedMeanAbsolutePercentageError",
    ),
    _row("mase", "", "mean of absolute error over that of the seasonal naive forecast in history=", _HYNDMAN),
    _row(
        "rmsse",
        "",
        "root of the mean of squared error over that of the seasonal naive forecast in history=",
        "Makridakis et al., M5 accuracy competition, Int. J. Forecasting 38:1346 (2022)",
    ),
    _row(
        "pinball",
        "",
        "mean pinball loss over values and quantiles",
        "Koenker and Bassett, Econometrica 46:33 (1978); sklearn.metrics.mean_pinball_loss",
        "quantiles:pinball",
    ),
    _row(
        "interval_coverage",
        "%",
        "share of values inside of the central interval of level=",
        "Gneiting and Raftery, JASA 102:359 (2007)",
        "quantiles:interval_coverage",
        better="higher",
        bounds=SHARE,
        two_sided=True,
        options={"level": 0.8},
    ),
    _row(
        "interval_width",
        "",
        "mean width of the central interval of level=",
        "Gneiting and Raftery, JASA 102:359 (2007)",
        "quantiles:interval_width",
        bounds=UNBOUNDED,
        options={"level": 0.8},
    ),
    _row(
        "forecast_difference",
        "%",
        "mean absolute difference of both models' forecasts over the teacher's mean absolute error",
        "as wape",
        "fidelity:forecast_difference",
        paired=True,
    ),
)
