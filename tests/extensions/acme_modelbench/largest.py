"""A kind of measurement, and the KPI that is derived from it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pytest_modelbench.extend import Estimate, Evidence, Measurements, Question, Reading, Taking


def take(taking: Taking) -> float:
    """Run the model over the data and keep the largest absolute output."""
    assert taking.data is not None
    found = 0.0
    for batch in taking.data.batches():
        found = max(found, float(np.abs(taking.model(batch.inputs)).max()))
        taking.beat()
    return found


def largest_output(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the largest output of the student."""
    from acme_modelbench.hooks import LARGEST

    estimate = Estimate.exact(measurements.of(LARGEST, "student"))
    yield Evidence(student=Reading(estimate=estimate, unit=question.kpi.unit, method="largest over the data"))
