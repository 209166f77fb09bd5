"""How far the student's forecasts are from those of the teacher."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pytest_modelbench.errors import MeasurementError
from pytest_modelbench.kpis.forecasting.errors import evidence_of_columns, mean_of
from pytest_modelbench.kpis.forecasting.read import forecasts
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.results import Evidence


def forecast_difference(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the mean absolute difference of both forecasts over the teacher's mean absolute error.

    Raises:
        MeasurementError: the teacher makes no error.
    """
    read = forecasts(question, measurements, both=True)
    student, teacher = (read.point(role) for role in ("student", "teacher"))
    errors = np.abs(teacher - read.value)
    if not errors.any():
        raise MeasurementError(f"{question.kpi.name} is undefined: the teacher forecasts every value exactly")
    columns = {"student": (np.abs(student - teacher), errors)}
    yield evidence_of_columns(
        question, read, columns, mean_of(100.0), "sum of |student - teacher| over that of the teacher's |errors|"
    )
