"""Readings of counted operations; a count that leaves something out is a lower bound, and proves no more."""

from __future__ import annotations

import math
from collections.abc import Iterator

from pytest_modelbench.errors import MeasurementError, NotApplicable
from pytest_modelbench.grammar.units import humanise
from pytest_modelbench.kpis.evidence import between
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.probes.cost.flops import FlopCount
from pytest_modelbench.results import Estimate, Evidence, Reading


def flops(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Return operations for each sample: exact, or from the count upwards where some operators have no formula."""
    per = 2.0 if question.kpi.statistic == "macs" else 1.0
    roles = ("student", "teacher") if question.with_teacher else ("student",)
    counts = {role: measurements.flops(role) for role in roles}
    readings = {role: _reading(count, per, _zeros(measurements, role)) for role, count in counts.items()}
    incomplete = tuple(
        f"incomplete: no formula for {_told(count)} of the {role}"
        for role, count in counts.items()
        if count.uncounted
    )
    student, teacher = readings["student"], readings.get("teacher")
    yield Evidence(
        student=student,
        teacher=teacher,
        comparison=None if teacher is None else between(student.estimate, teacher.estimate),
        sampled=True,
        notes=(*incomplete, *_largest(counts["student"], per)),
    )


def _reading(count: FlopCount, per: float, zeros: float) -> Reading:
    value = count.per_sample / per
    method = f"counted at batch size {count.batch_size}"
    if count.size is not None and count.largest_size is not None and count.largest_per_sample is not None:
        method += f" on inputs of {count.size:,} elements, the median size; the largest have {count.largest_size:,} "
        method += f"and take {humanise(count.largest_per_sample / per, '')}"
    if count.uncounted:
        method += f", incomplete: {_told(count)} not counted"
    if zeros:
        method += f"; dense-equivalent: {zeros:.3g}% of the parameters are zero and counted like others"
    return Reading(
        estimate=Estimate(value=value, low=value, high=math.inf if count.uncounted else value), unit="", method=method
    )


def _largest(count: FlopCount, per: float) -> Iterator[str]:
    """Say what the largest inputs take, where inputs are of different sizes."""
    if count.largest_per_sample is not None and count.largest_per_sample > count.per_sample:
        median, most = (humanise(value / per, "") for value in (count.per_sample, count.largest_per_sample))
        yield f"{median.strip()} on inputs of median size, {most.strip()} on the largest"


def _told(count: FlopCount) -> str:
    return ", ".join(f"{name} ({times}x)" for name, times in sorted(count.uncounted.items()))


def _zeros(measurements: Measurements, role: str) -> float:
    """Return the share of zeros among the parameters in percent, 0 where they cannot be counted."""
    try:
        count = measurements.parameters(role)
    except (NotApplicable, MeasurementError):
        return 0.0
    return 100 * (count.total - count.nonzero) / count.total if count.total else 0.0
