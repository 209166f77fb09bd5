"""Readings of the reliability pillar."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pytest_modelbench.errors import MeasurementError
from pytest_modelbench.kpis.evidence import exact_comparison
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.probes.answers.predictions import Outputs, in_common, shown_ids
from pytest_modelbench.results import Estimate, Evidence, Reading


def nonfinite_outputs(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Count NaN and infinite outputs where input and teacher are finite; the teacher is asked only if needed."""
    outputs = measurements.outputs("student")
    counted = np.where(outputs.input_finite, outputs.nonfinite, 0)
    teacher = None
    if question.with_teacher or (counted.any() and measurements.has("teacher")):
        teacher = measurements.outputs("teacher")
        counted = np.where(teacher.nonfinite == 0, counted, 0)
    compared = outputs.input_finite if teacher is None else outputs.input_finite & (teacher.nonfinite == 0)
    if not compared.any():
        raise MeasurementError(
            f"{question.kpi.name} compared nothing: for no sample are the inputs and the teacher's outputs finite"
        )
    reading = _reading(outputs, int(counted.sum()), int((~compared).sum()))
    bad = np.flatnonzero(counted)
    notes: tuple[str, ...] = (
        f"{int(counted.sum())} values in {len(bad)} of {len(outputs)} samples{in_common(outputs, bad)}",
    )
    layer = measurements.first_nonfinite_layer("student", bad) if len(bad) else None
    notes += (f"first in layer {layer}, whose inputs are finite",) if layer else ()
    if not question.with_teacher or teacher is None:
        yield Evidence(student=reading, notes=notes if len(bad) else (), worst_samples=shown_ids(outputs.ids, bad))
        return
    theirs = _reading(teacher, int(np.where(teacher.input_finite, teacher.nonfinite, 0).sum()), 0)
    yield Evidence(
        student=reading,
        teacher=theirs,
        comparison=exact_comparison(reading.value, theirs.value),
        notes=notes if len(bad) else (),
        worst_samples=shown_ids(outputs.ids, bad),
    )


def _reading(outputs: Outputs, count: int, excused: int) -> Reading:
    method = f"counted over {outputs.array.size:,} output values of {len(outputs):,} samples"
    method += f", {excused:,} of them excused: input or teacher not finite" if excused else ""
    return Reading(estimate=Estimate.exact(float(count)), unit="", n=len(outputs), method=method)
