"""What the KPIs of detection read: targets and detections, all of them finite."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pytest_modelbench.data.tasks.detection import DetectionData
from pytest_modelbench.errors import MeasurementError
from pytest_modelbench.kpis.by_task import Answered, answered
from pytest_modelbench.kpis.kpi import Measurements, Question

Mask = npt.NDArray[np.bool_]


def detected(question: Question, measurements: Measurements, *, both: bool = False) -> Answered[DetectionData]:
    """Return the detections that a KPI is about.

    Args:
        question: of the gate.
        measurements: of the session.
        both: whether it needs the teacher's under all limits.

    Raises:
        DoesNotFit: the data are of another task.
        MeasurementError: a box or a score is NaN or infinite.
    """
    answers = answered(question, measurements, DetectionData, both=both)
    for measured in answers.answers.values():
        for name in ("boxes", "scores"):
            part = measured.answers[name]
            rows = part.values.reshape(len(part.values), 4 if name == "boxes" else 1)
            broken: Mask = np.any(~np.isfinite(rows), axis=1)
            if broken.any():
                first = measured.ids[int(part.owner[int(np.argmax(broken))])]
                raise MeasurementError(
                    f"{measured.model} returned NaN or infinite {name} for {int(broken.sum())} of {len(broken)} "
                    f"detections, the first for the sample {first!r}"
                )
    return answers
