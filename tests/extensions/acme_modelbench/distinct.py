"""The derivation of a KPI over the recorded pass."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pytest_modelbench.extend import Comparison, Estimate, Evidence, Measurements, Question, Reading


def distinct_labels(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Count the labels that a model predicts."""
    student = _reading(measurements, "student")
    teacher = comparison = None
    if question.with_teacher:
        teacher = _reading(measurements, "teacher")
        comparison = Comparison(difference=Estimate.exact(student.value - teacher.value))
    yield Evidence(student=student, teacher=teacher, comparison=comparison)


def _reading(measurements: Measurements, role: str) -> Reading:
    labels = measurements.predictions(role).labels
    return Reading(estimate=Estimate.exact(float(len(np.unique(labels)))), unit="", n=len(labels), method="counted")
