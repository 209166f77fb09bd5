"""Readings of metrics that users bring, with a paired bootstrap of all samples; values that a test recorded."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

import numpy as np

from pytest_modelbench.errors import MeasurementError
from pytest_modelbench.kpis.evidence import check_paired, exact_comparison, judged_predictions, meaning_of
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.results import Comparison, Estimate, Evidence, Reading
from pytest_modelbench.stats.paired import Statistic, paired_bootstrap

SLOWEST_RESAMPLED_S = 0.01


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
    first, slow = _first_value(statistics[0], len(student))
    slow = slow and not question.asked
    if not math.isfinite(first):
        raise MeasurementError(f"{question.kpi.name} of {student.outputs.model} is {first}")
    method = f"{meaning_of(student)}{told_inputs(question, student)}"
    if slow:
        own, other, comparison = _points(*statistics, len(student))
        method += "; too slow to resample, state confidence= to have the interval"
    else:
        own, other, comparison = paired_bootstrap(
            *statistics,
            len(student),
            alpha=question.alpha,
            seed=question.seed,
            resamples=max(199, math.ceil(2 / question.alpha) - 1),
        )
        method += f"; {comparison.method or f'bootstrap of {len(student)} samples'}"

    def reading(estimate: Estimate) -> Reading:
        return Reading(
            estimate=estimate,
            unit=question.kpi.unit,
            n=len(student),
            confidence=question.confidence,
            method=method,
        )

    if other is None:
        return Evidence(student=reading(own), sampled=question.asked)
    return Evidence(student=reading(own), teacher=reading(other), comparison=comparison, sampled=question.asked)


def _first_value(statistic: Statistic, n: int) -> tuple[float, bool]:
    """Return the metric on all samples, and whether it is too slow to resample.

    A first call that is slow may have imported a library or compiled a kernel, so a second one decides.
    """
    everything = np.arange(n)
    for _ in range(2):
        started = time.perf_counter()
        value = statistic(everything)
        slow = time.perf_counter() - started > SLOWEST_RESAMPLED_S
        if not slow:
            break
    return value, slow


def _points(student: Statistic, teacher: Statistic | None, n: int) -> tuple[Estimate, Estimate | None, Comparison]:
    everything = np.arange(n)
    s = student(everything)
    if teacher is None:
        return Estimate(value=s), None, Comparison()
    t = teacher(everything)
    ratio = Estimate(value=s / t) if t else None
    return Estimate(value=s), Estimate(value=t), Comparison(ratio=ratio, difference=Estimate(value=s - t))
