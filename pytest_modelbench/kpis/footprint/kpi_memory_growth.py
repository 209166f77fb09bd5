"""The resident memory that a model gains while it serves: a leak, or a cache without an end."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_modelbench.kpis.kpi import Kpi, Measurements, Question
from pytest_modelbench.probes.cost.growth import GROWTH, Growth
from pytest_modelbench.results import Estimate, Evidence, Reading

ONE_SIDE = 0.025
KPI = Kpi(
    name="memory_growth",
    pillar="footprint",
    unit="B",
    better="lower",
    definition="resident memory that the model gains with each 1,000 calls, at batch_size=1 unless stated",
    method="twelve windows of at least 20 calls of one batch; Hodges-Lehmann estimate of the growth between them, so "
    "that what grows once does not count",
    source="Documentation/filesystems/proc.rst of Linux (VmRSS)",
    probe=GROWTH,
    derive=f"{__name__}:memory_growth",
    options={"batch_size": 1},
)


def memory_growth(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the growth of the student, and of the teacher where a limit compares them."""
    from pytest_modelbench.kpis.evidence import between

    student = measurements.of(GROWTH, "student")
    teacher = measurements.of(GROWTH, "teacher") if question.with_teacher else None
    yield Evidence(
        student=_reading(student),
        teacher=None if teacher is None else _reading(teacher),
        comparison=None if teacher is None else between(growth_of(student), growth_of(teacher)),
        sampled=True,
    )


def growth_of(growth: Growth) -> Estimate:
    """Return the bytes for 1,000 calls with their 95% interval; memory that was given back counts as 0.

    Growth that happens once, such as a cache that is filled, moves one window and not the centre of all.
    """
    from pytest_modelbench.stats.intervals import centre_interval

    return centre_interval(growth.gains, ONE_SIDE).map(lambda gain: max(gain, 0.0))


def _reading(growth: Growth) -> Reading:
    return Reading(
        estimate=growth_of(growth),
        unit="B",
        n=growth.calls,
        method=f"growth of resident memory over {growth.calls:,} calls at batch size {growth.batch_size}",
    )
