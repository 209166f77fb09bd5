"""How far the answers of production are from those that were accepted: no labels are needed."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.probes.kinds import PRODUCTION
from pytest_modelbench.results import Evidence, Reading
from pytest_modelbench.stats.hellinger import hellinger

CLUSTERS = 30
"""Stretches of time of equal numbers of rows; what depends on its neighbours must be much shorter than one."""
MOST_NAMED = 5


def drift(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the Hellinger distance of one kind of answers from the reference's.

    Raises:
        NotApplicable: there is no reference, or it has no such answers.
    """
    counted = measurements.of(PRODUCTION, "student").drifted(question.kpi.statistic, CLUSTERS)
    distance = hellinger(counted.reference, counted.clusters, question.alpha)
    rows = int(counted.clusters.sum())
    notes = [f"{distance.joined} rare classes are compared as one"] if distance.joined else []
    named = ", ".join(counted.new[:MOST_NAMED]) + (", ..." if len(counted.new) > MOST_NAMED else "")
    effective, base = f"{distance.effective:,.0f}", f"{int(counted.reference.sum()):,}"
    method = (
        f"{rows:,} rows (effective sample size {effective}) against {base} of the reference, {counted.kind}, "
        f"{distance.kinds} compared; noncentral chi-squared interval"
    )
    if counted.new:
        notes.append(f"classes that the reference does not have: {named}")
    yield Evidence(
        student=Reading(
            estimate=distance.estimate,
            unit=question.kpi.unit,
            n=rows,
            confidence=question.confidence,
            provenance="recorded",
            method=method,
        ),
        sampled=True,
        notes=tuple(notes),
    )
