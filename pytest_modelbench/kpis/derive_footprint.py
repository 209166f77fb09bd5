"""Readings of the footprint pillar: counted, so exact."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.models.base import ParameterCount
from pytest_modelbench.results import Comparison, Estimate, Evidence, Reading


def parameters(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Count parameters."""
    yield _from_counts(question, measurements, lambda count: float(count.total))


def nonzero_parameters(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Count parameters that are not zero."""
    yield _from_counts(question, measurements, lambda count: float(count.nonzero))


def sparsity(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Return the share of zeros, in percent."""
    yield _from_counts(question, measurements, lambda c: 100 * (c.total - c.nonzero) / c.total if c.total else 0.0)


def _from_counts(
    question: Question, measurements: Measurements, value: Callable[[ParameterCount], float]
) -> Evidence:
    def reading(role: str) -> Reading:
        count = measurements.parameters(role)
        method = f"counted, {count.buffers:,} elements of buffers apart{_zeros(count)}"
        return Reading(estimate=Estimate.exact(value(count)), unit=question.kpi.unit, n=count.total, method=method)

    return exact_evidence(question, reading)


def _zeros(count: ParameterCount) -> str:
    """Say how zeros lie, where there are any that hardware could leave out."""
    if count.nonzero == count.total:
        return ""
    zeros, rows, pairs = (
        100 * part / count.total for part in (count.total - count.nonzero, count.in_zero_rows, count.in_two_of_four)
    )
    return (
        f"; {zeros:.3g}% are zero, {rows:.3g}% in whole rows or columns (structured); {pairs:.3g}% of the "
        "parameters are in matrices that are 2:4 sparse"
    )


def size_on_disk(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Return the bytes of the artefact as deployed."""

    def reading(role: str) -> Reading:
        artefact = measurements.artefact(role)
        return Reading(estimate=Estimate.exact(float(artefact.size_bytes)), unit="B", method=artefact.method)

    yield exact_evidence(question, reading)


def exact_evidence(question: Question, reading: Callable[[str], Reading]) -> Evidence:
    """Return evidence whose values are counted: the interval is the point."""
    student = reading("student")
    if not question.with_teacher:
        return Evidence(student=student)
    teacher = reading("teacher")
    return Evidence(student=student, teacher=teacher, comparison=exact_comparison(student.value, teacher.value))


def exact_comparison(student: float, teacher: float) -> Comparison:
    """Compare two exact values; there is no ratio to zero."""
    return Comparison(
        ratio=Estimate.exact(student / teacher) if teacher else None,
        difference=Estimate.exact(student - teacher),
    )
