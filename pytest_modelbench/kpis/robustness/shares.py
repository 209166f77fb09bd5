"""Readings of shares under corruptions: what is right, and what stays the same."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.kpis.robustness.table import Table, breakdown, lost_samples, notes_of, read_table
from pytest_modelbench.results import Comparison, Estimate, Evidence, Reading
from pytest_modelbench.stats.by_sample import difference_by_sample, share_by_sample

FloatArray = npt.NDArray[np.float64]
METHOD = "mean of each sample, Wilson's interval for what the samples are worth"


def corruption_accuracy(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the mean share of right labels."""
    yield _mean(question, read_table(question, measurements))


def corruption_invariance(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the mean share of labels that stay as they are on the clean data."""
    yield _mean(question, read_table(question, measurements, targets=False))


def _mean(question: Question, table: Table) -> Evidence:
    means = {role: table.by_sample(right)[0] for role, right in table.right.items()}
    estimates = {role: _percent(share_by_sample(mean, question.alpha)) for role, mean in means.items()}
    comparison = None
    if "teacher" in means:
        gap = difference_by_sample(means["student"] - means["teacher"], question.alpha)
        comparison = _compared(_percent(gap), estimates["teacher"].value)
    return _evidence(question, table, estimates, comparison, len(means["student"]), METHOD)


def worst_corruption_accuracy(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the share of right labels under the worst corruption.

    Intervals of all corruptions hold together (Bonferroni), so the least share lies between the least of the lower
    and the least of the upper ends.
    """
    table = read_table(question, measurements)
    groups = table.groups()
    alpha = question.alpha / len(groups)
    estimates, worst = {}, {}
    for role, right in table.right.items():
        shares = {
            name: _percent(share_by_sample(mean, alpha))
            for name, columns in groups.items()
            if len(mean := table.by_sample(right, columns)[0])
        }
        estimates[role] = _least(list(shares.values()))
        worst[role] = min(shares, key=lambda name: shares[name].value)
    comparison = None
    if "teacher" in estimates:
        comparison = _compared(_between_least(question, table, estimates), estimates["teacher"].value)
    method = f"least of {len(groups)} corruptions ({worst['student']}), intervals at a common error (Bonferroni)"
    evidence = _evidence(question, table, estimates, comparison, len(table.chosen), method)
    yield evidence


def _least(shares: list[Estimate]) -> Estimate:
    return Estimate(
        value=min(share.value for share in shares),
        low=min(share.low for share in shares if share.low is not None),
        high=min(share.high for share in shares if share.high is not None),
    )


def _between_least(question: Question, table: Table, estimates: dict[str, Estimate]) -> Estimate:
    """Bound the difference of the two models' least shares.

    It is no less than the least and no more than the largest difference under one corruption; and it lies between the
    differences of the ends of both. The narrower ones count, each at half of the error.
    """
    groups = table.groups()
    own = [
        _percent(difference_by_sample(mean, question.alpha / 2 / len(groups)))
        for columns in groups.values()
        if len(mean := table.by_sample(table.right["student"] * 1.0 - table.right["teacher"], columns)[0])
    ]
    ends = {}
    for role, right in table.right.items():
        means = [table.by_sample(right, columns)[0] for columns in groups.values()]
        alpha = question.alpha / 4 / len(groups)
        ends[role] = _least([_percent(share_by_sample(mean, alpha)) for mean in means if len(mean)])
    student, teacher = ends["student"], ends["teacher"]
    low = min(gap.low for gap in own if gap.low is not None)
    high = max(gap.high for gap in own if gap.high is not None)
    value = estimates["student"].value - estimates["teacher"].value
    low = max(low, (student.low or 0.0) - (100.0 if teacher.high is None else teacher.high))
    high = min(high, (100.0 if student.high is None else student.high) - (teacher.low or 0.0))
    return Estimate(value=value, low=min(low, value), high=max(high, value))


def _compared(gap: Estimate, level: float) -> Comparison:
    """Compare two shares in points; the ratio takes the teacher's share as given."""
    return Comparison(
        ratio=gap.map(lambda points: 1 + points / level) if level else None,
        difference=gap,
        method="paired by sample",
    )


def _evidence(
    question: Question,
    table: Table,
    estimates: dict[str, Estimate],
    comparison: Comparison | None,
    n: int,
    method: str,
) -> Evidence:
    readings = {
        role: Reading(
            estimate=estimate, unit="%", n=n, confidence=question.confidence, method=f"{method}; {table.method}"
        )
        for role, estimate in estimates.items()
    }
    return Evidence(
        student=readings["student"],
        teacher=readings.get("teacher"),
        comparison=comparison,
        sampled=question.asked,
        notes=notes_of(table),
        worst_samples=lost_samples(table),
        breakdown=breakdown(table),
    )


def _percent(share: Estimate) -> Estimate:
    return share.map(lambda value: 100 * value)
