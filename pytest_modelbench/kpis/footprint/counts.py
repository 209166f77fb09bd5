"""Readings of the footprint pillar: counted, so exact."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from pytest_modelbench.kpis.evidence import between, exact_evidence
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.models.base import ParameterCount
from pytest_modelbench.results import Estimate, Evidence, Reading


def parameters(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Count parameters."""
    yield _from_counts(question, measurements, lambda count: _upwards(count.total, count))


def nonzero_parameters(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Count parameters that are not zero."""
    yield _from_counts(question, measurements, lambda count: _upwards(count.nonzero, count))


def sparsity(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Return the share of zeros, in percent."""
    yield _from_counts(question, measurements, _share_of_zeros)


def _upwards(least: int, count: ParameterCount) -> Estimate:
    return Estimate(value=float(least), low=float(least), high=float(least + count.unsure))


def _share_of_zeros(count: ParameterCount) -> Estimate:
    """Return the share of zeros; what may be weights as well may all be zero, or none of it."""
    zeros, most = count.total - count.nonzero, max(1, count.total + count.unsure)
    share = 100 * zeros / max(1, count.total)
    return Estimate(value=share, low=100 * zeros / most, high=100 * (zeros + count.unsure) / most)


def _from_counts(
    question: Question, measurements: Measurements, value: Callable[[ParameterCount], Estimate]
) -> Evidence:
    """Return evidence of counts, which are exact unless only a forward pass could tell what else is a weight."""
    counts: dict[str, ParameterCount] = {}

    def reading(role: str) -> Reading:
        counts[role] = count = measurements.parameters(role)
        how = "counted as stored, after what the exporter folded" if count.stored else "counted"
        method = f"{how}, {count.buffers:,} elements of buffers apart{_where(count)}{_zeros(count)}"
        return Reading(estimate=value(count), unit=question.kpi.unit, n=count.total, method=method)

    evidence = exact_evidence(question, reading)
    if not any(count.unsure for count in counts.values()):
        return evidence
    comparison = evidence.comparison
    if evidence.teacher is not None:
        comparison = between(evidence.student.estimate, evidence.teacher.estimate)
    return replace(evidence, comparison=comparison, sampled=True)


def _where(count: ParameterCount) -> str:
    """Describe the weights that are not parameters of the module."""
    where = ""
    if count.elsewhere:
        where += f"; {count.elsewhere:,} of them outside of parameters (buffers, attributes or constants)"
    if count.packed:
        where += f"; {count.packed:,} of them packed in fewer numbers"
    if count.unsure:
        where += (
            f"; up to {count.unsure:,} more in buffers or attributes, which a forward pass (eval_data) would tell"
        )
    return where


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
