"""Readings of metrics that users bring, with a paired bootstrap of all samples; values that a test recorded."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_modelbench.errors import MeasurementError
from pytest_modelbench.kpis.evidence import check_paired, exact_comparison, judged_predictions, meaning_of
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.kpis.resampling import resampled
from pytest_modelbench.results import Estimate, Evidence, Reading


def own_metric(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read a metric that the user brought (see `own_metrics`)."""
    yield _resampled(question, measurements)


def recorded(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read what the test's body recorded."""
    values = measurements.recorded()

    def reading(role: str) -> Reading:
        return Reading(
            estimate=Estimate(value=values[role]),
            unit=question.kpi.unit,
            provenance="recorded",
            method="kpi.record()",
        )

    if "student" not in values:
        raise MeasurementError(
            f"the test recorded nothing for {question.kpi.name}. Write kpi.record(student=..., teacher=...)"
        )
    if not question.with_teacher and "teacher" not in values:
        yield Evidence(student=reading("student"))
        return
    if "teacher" not in values:
        raise MeasurementError(
            f"a limit on {question.kpi.name} compares with the teacher, and the test recorded only student=. "
            "Write kpi.record(student=..., teacher=...)"
        )
    student, teacher = reading("student"), reading("teacher")
    points = exact_comparison(student.value, teacher.value)
    yield Evidence(student=student, teacher=teacher, comparison=points)


def _resampled(question: Question, measurements: Measurements) -> Evidence:
    from pytest_modelbench.kpis.accuracy.own_metrics import own_statistic, told_inputs  # brings scikit-learn

    student = judged_predictions(question, measurements, "student")
    teacher = judged_predictions(question, measurements, "teacher") if question.with_teacher else None
    if teacher is not None:
        check_paired(student, teacher)
    statistics = own_statistic(question, student), own_statistic(question, teacher) if teacher else None
    method = f"{meaning_of(student)}{told_inputs(question, student)}"
    return resampled(question, statistics, len(student), method, student.outputs.model)
