"""Readings of a profile: how many operators a call dispatches, and whose its time is."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pytest_modelbench.kpis.derive_footprint import exact_comparison
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.probes.profile import Profile
from pytest_modelbench.results import Estimate, Evidence, Reading


def operator_count(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Count the operators that a call dispatches."""
    yield _evidence(question, measurements, lambda found: (found.operator_count, ""))


def top_operator_share(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Return the share of the operator that takes most of the time."""

    def of(found: Profile) -> tuple[float, str]:
        first = found.operators[0]
        return found.share(lambda one: one is first), f", {first.name}"

    yield _evidence(question, measurements, of)


def copy_share(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Return the share of copies, casts, quantising and dequantising."""
    yield _evidence(question, measurements, lambda found: (found.copy_share, ""))


def _evidence(
    question: Question, measurements: Measurements, value: Callable[[Profile], tuple[float, str]]
) -> Evidence:
    def reading(role: str) -> Reading:
        found = measurements.profile(role)
        number, told = value(found)
        batch = question.options["batch_size"]
        return Reading(
            estimate=Estimate.exact(number),
            unit=question.kpi.unit,
            n=found.calls,
            method=f"torch.profiler over {found.calls} calls, own time on {found.device}, batch size {batch}{told}",
        )

    student = reading("student")
    if not question.with_teacher:
        return Evidence(student=student)
    teacher = reading("teacher")
    return Evidence(student=student, teacher=teacher, comparison=exact_comparison(student.value, teacher.value))
