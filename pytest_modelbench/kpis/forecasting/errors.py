"""Errors of forecasts, each a function of sums over the values of a window."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pytest_modelbench.errors import DoesNotFit, MeasurementError
from pytest_modelbench.kpis.by_jackknife import jackknife_evidence
from pytest_modelbench.kpis.forecasting.read import Forecasts, forecasts
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.probes.answers.predictions import shown_ids
from pytest_modelbench.results import Evidence
from pytest_modelbench.stats.cells import FloatArray, IntArray, share_of

MOST_STEPS = 12
Columns = Sequence[FloatArray]
Terms = Callable[[Forecasts, str, Mapping[str, Any]], Columns]
"""Returns what each value adds to the sums of a model, (k,) for each sum."""


@dataclass(frozen=True)
class Error:
    """An error: what each value adds, how sums become the error, and how it is described."""

    terms: Terms
    of_sums: Callable[[FloatArray], FloatArray]
    told: str


def mean_of(factor: float = 1.0, *, root: bool = False) -> Callable[[FloatArray], FloatArray]:
    """Return the function of sums (..., 2) that divides the first by the second."""

    def value(sums: FloatArray) -> FloatArray:
        mean = share_of(sums[..., 0], sums[..., 1])
        return factor * (np.sqrt(mean) if root else mean)

    return value


def _absolute(read: Forecasts, role: str, _: Mapping[str, Any]) -> Columns:
    return np.abs(read.point(role) - read.value), np.ones(len(read.value))


def _squared(read: Forecasts, role: str, _: Mapping[str, Any]) -> Columns:
    return (read.point(role) - read.value) ** 2, np.ones(len(read.value))


def _signed(read: Forecasts, role: str, _: Mapping[str, Any]) -> Columns:
    return read.point(role) - read.value, np.ones(len(read.value))


def _to_level(read: Forecasts, role: str, _: Mapping[str, Any]) -> Columns:
    return np.abs(read.point(role) - read.value), np.abs(read.value)


def _symmetric(read: Forecasts, role: str, _: Mapping[str, Any]) -> Columns:
    forecast = read.point(role)
    sizes = np.abs(forecast) + np.abs(read.value)
    return np.divide(2 * np.abs(forecast - read.value), sizes, out=np.zeros(len(sizes)), where=sizes > 0), np.ones(
        len(sizes)
    )


def _relative(read: Forecasts, role: str, options: Mapping[str, Any]) -> Columns:
    zero = read.value == 0
    if zero.any() and options["zeros"] != "exclude":
        raise DoesNotFit(
            f"{int(zero.sum())} of {len(zero)} values are 0, for which no relative error is defined, such as in "
            f"{', '.join(shown_ids(read.answers.student.ids, np.unique(read.owner[zero])[:3]))}. Write wape or mase, "
            "or zeros='exclude'"
        )
    errors = np.abs(read.point(role) - read.value)
    return np.divide(errors, np.abs(read.value), out=np.zeros(len(errors)), where=~zero), (~zero).astype(np.float64)


def _scaled(name: str, power: int) -> Terms:
    def terms(read: Forecasts, role: str, _: Mapping[str, Any]) -> Columns:
        if not read.answers.data.has_history:
            raise DoesNotFit(
                "it needs the values before each window. Write EvalData(..., history=[...], season=...), or "
                "history='inputs'"
            )
        scale = read.part(name)
        defined = np.isfinite(scale) & (scale > 0)
        errors = np.abs(read.point(role) - read.value) ** power
        scaled = np.divide(errors, scale, out=np.zeros(len(errors)), where=defined)
        return scaled, defined.astype(np.float64)

    return terms


ERRORS: Mapping[str, Error] = {
    "forecast_mae": Error(_absolute, mean_of(), "mean absolute error"),
    "forecast_rmse": Error(_squared, mean_of(root=True), "root of the mean squared error"),
    "forecast_bias": Error(_signed, mean_of(), "mean of forecast minus value"),
    "wape": Error(_to_level, mean_of(100.0), "sum of absolute errors over that of absolute values"),
    "smape": Error(_symmetric, mean_of(100.0), "2 |error| over |forecast| + |value|, 0 where both are 0"),
    "mape": Error(_relative, mean_of(100.0), "mean of |error| over |value|"),
    "mase": Error(_scaled("scale", 1), mean_of(), "mean of |error| over that of the seasonal naive forecast"),
    "rmsse": Error(_scaled("scale_squared", 2), mean_of(root=True), "root of squared errors over naive ones"),
}


def error(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read an error of forecasts.

    Raises:
        DoesNotFit: the error is not defined on these data.
        MeasurementError: as for `forecasts`.
    """
    read, kind = forecasts(question, measurements), ERRORS[question.kpi.statistic]
    columns = {role: kind.terms(read, role, question.options) for role in read.levels}
    evidence = evidence_of_columns(question, read, columns, kind.of_sums, kind.told)
    left_out = len(read.value) - int(columns["student"][1].sum())
    if question.kpi.statistic in {"mape", "mase", "rmsse"} and left_out:
        why = "that are 0" if question.kpi.statistic == "mape" else "whose history does not change"
        evidence = replace(evidence, notes=(*evidence.notes, f"{left_out} values {why} do not count"))
    yield evidence


def evidence_of_columns(
    question: Question,
    read: Forecasts,
    columns: Mapping[str, Columns],
    of_sums: Callable[[FloatArray], FloatArray],
    method: str,
) -> Evidence:
    """Return the evidence of an error, with rows for steps and the worst windows.

    Args:
        question: of the gate.
        read: the forecasts.
        columns: what each value adds to the sums, by role.
        of_sums: turns sums (..., kinds) into values (...,).
        method: how it is found, in words.

    Raises:
        MeasurementError: nothing counts.
    """
    sums = {role: read.sums(*its) for role, its in columns.items()}
    if not np.isfinite(of_sums(sums["student"].sum(axis=0)[None])[0]):
        raise MeasurementError(f"{question.kpi.name} is undefined: no value of the targets counts")
    count = f"{len(read.value):,} values"
    evidence = jackknife_evidence(
        question, read.answers.data, sums, of_sums, f"{method}, {count}", log=not question.kpi.two_sided
    )
    return replace(
        evidence,
        notes=(*evidence.notes, *read.notes),
        worst_samples=read.answers.worst(_worst(question, sums, of_sums)),
        breakdown=(*evidence.breakdown, *_steps(read, columns, of_sums)),
    )


def _worst(
    question: Question, sums: Mapping[str, FloatArray], of_sums: Callable[[FloatArray], FloatArray]
) -> IntArray:
    """Return the windows with the largest value, or with the largest beside the teacher's, the worst first."""
    if question.kpi.two_sided:
        return np.empty(0, dtype=np.intp)
    sign = -1 if question.kpi.better == "higher" else 1
    values = {role: sign * np.nan_to_num(of_sums(table)) for role, table in sums.items()}
    lost = values["student"] - values.get("teacher", 0.0)
    order = np.argsort(-lost, kind="stable")
    return order[lost[order] > 0]


def _steps(
    read: Forecasts, columns: Mapping[str, Columns], of_sums: Callable[[FloatArray], FloatArray]
) -> Iterator[dict[str, Any]]:
    """Yield a row for each step of the horizon, or for each of some parts of a long one."""
    horizon = int(read.step.max()) + 1
    if horizon == 1:
        return
    bounds = np.unique(np.linspace(0, horizon, min(horizon, MOST_STEPS) + 1).round().astype(int))
    for first, last in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        inside = (read.step >= first) & (read.step < last)
        values = {
            role: float(of_sums(np.array([[column[inside].sum() for column in its]]))[0])
            for role, its in columns.items()
        }
        name = f"step {first + 1}" if last == first + 1 else f"steps {first + 1} to {last}"
        yield {
            "name": name,
            "n": int(inside.sum()),
            **{role: value if np.isfinite(value) else None for role, value in values.items()},
        }
