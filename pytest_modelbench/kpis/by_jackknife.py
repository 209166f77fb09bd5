"""Evidence of smooth functions of sums over samples: an interval by leaving each sample, or its group, out once."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from pytest_modelbench.errors import MeasurementError
from pytest_modelbench.kpis.by_group import (
    Grouped,
    Mask,
    by_slice,
    groups_of,
    plural,
    refuse_worthless_teacher,
    with_ends,
)
from pytest_modelbench.kpis.kpi import Question
from pytest_modelbench.results import Comparison, Evidence, Reading
from pytest_modelbench.stats.cells import FloatArray, IntArray
from pytest_modelbench.stats.jackknife import jackknife
from pytest_modelbench.stats.rounding import settled

Value = Callable[[FloatArray], FloatArray]


def jackknife_evidence(
    question: Question,
    data: Grouped,
    sums: Mapping[str, FloatArray],
    value: Value,
    method: str,
    *,
    log: bool = False,
) -> Evidence:
    """Return a value that follows smoothly from sums over samples as evidence, the same samples left out of both.

    Args:
        question: of the gate.
        data: whose groups, or samples, are independent.
        sums: what each sample adds, (n, kinds) by role.
        value: turns sums (..., kinds) into values (...,), in the KPI's unit; NaN where it is undefined.
        method: how the value is found, in words.
        log: whether the value is above 0 and its error grows with it: intervals are those of the logarithm.

    Raises:
        MeasurementError: the value is undefined on these data.
    """
    n = len(sums["student"])
    groups = groups_of(data.group, n)
    points = {role: float(value(table.sum(axis=0)[None])[0]) for role, table in sums.items()}
    for role, point in points.items():
        if not np.isfinite(point):
            raise MeasurementError(f"{question.kpi.name} of the {role} is {point} on these data")
    refuse_worthless_teacher(question, points)
    grouped = {role: _by_group(table, groups) for role, table in sums.items()}
    left = {role: _left_out(table, value) for role, table in grouped.items()}
    count, fewest = len(left["student"]), min(map(_fewest, grouped.values()))
    units = plural(data.UNIT)
    unit = units if count == n else f"groups of {n:,} {units}"
    readings = {
        role: Reading(
            estimate=with_ends(question, jackknife(point, left[role], question.alpha, log=log), left[role], fewest),
            unit=question.kpi.unit,
            n=n,
            confidence=question.confidence,
            method=f"{method}; jackknife of {count:,} {unit}, Student's interval",
        )
        for role, point in points.items()
    }

    def of_members(members: Mask) -> dict[str, float]:
        return {role: float(value(table[members].sum(axis=0)[None])[0]) for role, table in sums.items()}

    return Evidence(
        student=readings["student"],
        teacher=readings.get("teacher"),
        comparison=_compared(question, points, left, fewest) if "teacher" in points else None,
        sampled=question.asked,
        breakdown=by_slice(data, n, of_members),
    )


def _by_group(table: FloatArray, groups: IntArray) -> FloatArray:
    """Return the sums of each group, (groups, kinds)."""
    grouped = np.zeros((int(groups.max()) + 1, table.shape[1]))
    np.add.at(grouped, groups, table)
    return grouped


def _fewest(grouped: FloatArray) -> int:
    """Return how many groups add to the sum that fewest add to, of those that any does."""
    adding = np.count_nonzero(grouped, axis=0)
    return int(adding[adding > 0].min(initial=len(grouped)))


def _left_out(grouped: FloatArray, value: Value) -> FloatArray:
    """Return the value without each group, (groups,)."""
    rest = grouped.sum(axis=0) - grouped
    return value(np.where(np.abs(rest) > 1e-9 * grouped.sum(axis=0), rest, 0.0))


def _compared(
    question: Question, points: Mapping[str, float], left: Mapping[str, FloatArray], fewest: int
) -> Comparison:
    alpha, student, teacher = question.alpha, points["student"], points["teacher"]
    ratio = None
    if teacher:
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = jackknife(student / teacher, left["student"] / left["teacher"], alpha, log=True)
    scale = max(abs(student), abs(teacher))
    gaps = settled(left["student"] - left["teacher"], scale)
    difference = with_ends(question, jackknife(student - teacher, gaps, alpha), gaps, fewest)
    return Comparison(ratio=ratio, difference=difference, method="paired jackknife")
