"""Forecasts beside the values that came, value by value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from pytest_modelbench.data.tasks.forecasting import ForecastingData
from pytest_modelbench.data.tasks.forecasts import MEDIAN
from pytest_modelbench.errors import DoesNotFit, MeasurementError
from pytest_modelbench.kpis.by_group import groups_of
from pytest_modelbench.kpis.by_task import Answered, answered
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.probes.answers.predictions import shown_ids
from pytest_modelbench.stats.cells import FloatArray, IntArray

FEW_GROUPS = 10


@dataclass(frozen=True)
class Forecasts:
    """The values that came, and what the models said; values that are missing are left out.

    Attributes:
        answers: the data and the answers.
        value: what came, (k,).
        owner: the window of each value, (k,).
        step: its step, from 0, (k,).
        levels: what each model said, (k, levels) by role.
        missing: how many values are missing.
    """

    answers: Answered[ForecastingData]
    value: FloatArray
    owner: IntArray
    step: IntArray
    levels: Mapping[str, FloatArray]
    missing: int

    def __len__(self) -> int:
        return len(self.answers.student)

    def point(self, role: str) -> FloatArray:
        """Return a model's forecasts, (k,): the medians where it gives quantiles.

        Raises:
            DoesNotFit: there is no median among the quantiles.
        """
        levels = self.answers.data.quantiles
        if levels and MEDIAN not in levels:
            raise DoesNotFit(f"it needs one forecast of each value, and quantiles={list(levels)} have no 0.5")
        return self.levels[role][:, levels.index(MEDIAN) if levels else 0]

    def part(self, name: str) -> FloatArray:
        """Return another part of the targets, (k,)."""
        values = self.answers.student.targets["value"].values
        return self.answers.student.targets[name].values[np.isfinite(values)]

    def sums(self, *columns: FloatArray) -> FloatArray:
        """Add values up by window, (n, columns)."""
        return np.stack([np.bincount(self.owner, column, len(self)) for column in columns], axis=1)

    @property
    def notes(self) -> Iterator[str]:
        """What the report says of missing values, and of what is independent."""
        data = self.answers.data
        if self.missing:
            yield f"{self.missing:,} of {self.missing + len(self.value):,} values are missing and do not count"
        if data.group is None:
            yield "windows are taken as independent. If they overlap, write EvalData(..., block=) or series="
        elif (count := int(groups_of(data.group, len(self)).max()) + 1) < FEW_GROUPS:
            yield f"the interval rests on {count} groups only" + (
                "" if data.block else "; of long series, write block="
            )


def forecasts(question: Question, measurements: Measurements, *, both: bool = False) -> Forecasts:
    """Return the forecasts that a KPI is about.

    Args:
        question: of the gate.
        measurements: of the session.
        both: whether it needs the teacher's under all limits.

    Raises:
        DoesNotFit: the data are of another task.
        MeasurementError: no value came, or a forecast is NaN or infinite.
    """
    answers = answered(question, measurements, ForecastingData, both=both)
    values = answers.student.targets["value"]
    there = np.isfinite(values.values)
    if not there.any():
        raise MeasurementError(f"{question.kpi.name}: all values of the targets are missing")
    levels = {}
    for role, measured in answers.answers.items():
        levels[role] = measured.answers["value"].values[there].astype(np.float64)
        broken = np.unique(values.owner[there][~np.isfinite(levels[role]).all(axis=1)])
        if len(broken):
            raise MeasurementError(
                f"{measured.model} forecasts NaN or infinite values for {len(broken)} of {len(measured)} windows, "
                f"such as {', '.join(shown_ids(measured.ids, broken[:3]))}"
            )
    return Forecasts(
        answers=answers,
        value=values.values[there],
        owner=values.owner[there],
        step=answers.student.targets["step"].values[there],
        levels=levels,
        missing=int((~there).sum()),
    )
