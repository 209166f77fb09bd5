"""Evidence whose independent units are groups of samples: shares, sums over samples, and functions of all samples.

What is independent is the sample (a prompt, an image, a sentence), or the group that `EvalData(group=...)` puts it
into: intervals resample those.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from pytest_modelbench.data.groups import Grouping, combinations
from pytest_modelbench.data.sample_hashes import hashes_of
from pytest_modelbench.errors import MeasurementError
from pytest_modelbench.grammar.units import humanise
from pytest_modelbench.kpis.additive import Interval, PairedSums, compared, evidence_of
from pytest_modelbench.kpis.evidence import compared_shares
from pytest_modelbench.kpis.kpi import Question
from pytest_modelbench.results import Comparison, Estimate, Evidence, Reading
from pytest_modelbench.stats.cells import CellSums, FloatArray, IntArray, drawn_evenly, resamples_for
from pytest_modelbench.stats.design_effect import FEWEST_CLUSTERS, design_effect, widened
from pytest_modelbench.stats.intervals import share_interval
from pytest_modelbench.stats.paired import expanded, expanded_comparison, percentiles
from pytest_modelbench.stats.pooled_shares import alike

Mask = npt.NDArray[np.bool_]
MOST_AT_ONCE = 2**21
"""The most numbers of a part of the resamples."""


class Grouped(Protocol):
    """Data whose samples may belong together."""

    UNIT: ClassVar[str]

    @property
    def group(self) -> Sequence[Hashable] | None:
        """What each sample belongs to; None where each is by itself."""

    def kinds(self) -> list[Grouping]:
        """Return the slices that a breakdown shows."""


class Sampled(Protocol):
    """Samples that a share is of: the samples of the data, with their groups."""

    @property
    def data(self) -> Grouped:
        """The evaluation data."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What the report says about both models."""

    def worst(self, index: npt.NDArray[np.intp]) -> tuple[str, ...]:
        """Return the ids of some samples, for the report."""


def plural(unit: str) -> str:
    """Return the plural of the name of a unit.

    >>> plural("image"), plural("query")
    ('images', 'queries')
    """
    return f"{unit[:-1]}ies" if unit.endswith("y") else f"{unit}s"


def groups_of(group: Sequence[Hashable] | None, n: int) -> IntArray:
    """Return the number of each sample's group, (n,); each sample is one of its own where none are stated."""
    if group is None:
        return np.arange(n)
    number: dict[Hashable, int] = {}
    return np.array([number.setdefault(name, len(number)) for name in group], dtype=np.intp)


def share_evidence(question: Question, answered: Sampled, hits: Mapping[str, Mask], method: str) -> Evidence:
    """Return the share of samples that are hits as evidence, in percent.

    Wilson's interval for each model, Tango's for their difference; both wider by the design effect of groups.

    Args:
        question: of the gate.
        answered: the data and the answers.
        hits: (n,) by role.
        method: how a hit is found, in words.
    """
    groups, unit = groups_of(answered.data.group, len(hits["student"])), answered.data.UNIT
    readings = {role: _share_reading(question, mask, groups, method, unit) for role, mask in hits.items()}
    student, teacher = hits["student"], hits.get("teacher")
    lower = question.kpi.better == "lower"
    lost = student if lower else ~student
    comparison = None
    if teacher is not None:
        lost = lost & (~teacher if lower else teacher)
        comparison = _compared(question, student, teacher, groups)
    return Evidence(
        student=readings["student"],
        teacher=readings.get("teacher"),
        comparison=comparison,
        sampled=question.asked,
        notes=(*answered.notes, *_unlike(groups, student, plural(unit))),
        worst_samples=answered.worst(np.flatnonzero(lost)),
        breakdown=by_slice(answered.data, len(student), lambda members: _shares(hits, members)),
    )


def _unlike(groups: IntArray, hits: Mask, units: str) -> tuple[str, ...]:
    """Say that the design effect of groups cannot be seen: there are too few, or all samples are alike."""
    count = int(groups.max()) + 1
    if count == len(groups) or (count >= FEWEST_CLUSTERS and np.ptp(hits.astype(np.intp))):
        return ()
    why = "are too few to show" if count < FEWEST_CLUSTERS else "without a difference do not show"
    return (f"the interval takes {units} as independent: {count} groups {why} how alike the {units} of one are",)


def _shares(hits: Mapping[str, Mask], members: Mask) -> dict[str, float]:
    return {role: 100 * float(mask[members].mean()) for role, mask in hits.items()}


def by_slice(data: Grouped, n: int, values: Callable[[Mask], Mapping[str, float]]) -> tuple[dict[str, Any], ...]:
    """Return a row for each slice of the data: its name, its size, and the models' values, None where undefined.

    Args:
        data: whose slices they are.
        n: how many samples the values are of; other samples than the data's have no slices.
        values: returns the values by role for the members of a slice, (n,).
    """
    groupings = [grouping for grouping in data.kinds() if len(grouping.codes) == n]
    members = [named for grouping in groupings for named in grouping.with_names() if named[1].any()]
    return tuple(
        {
            "name": name,
            "n": int(mask.sum()),
            **{role: value if np.isfinite(value) else None for role, value in values(mask).items()},
        }
        for name, mask in members
    )


def _share_reading(question: Question, hits: Mask, groups: IntArray, method: str, unit: str) -> Reading:
    count, n, effect = int(hits.sum()), len(hits), _effect(hits.astype(np.intp), groups)
    estimate = widened(share_interval(count, n, question.alpha), effect).within(0.0, 1.0)
    grouped = f", design effect {effect:.2f} of {int(groups.max()) + 1} groups" if effect > 1 else ""
    return Reading(
        estimate=estimate.map(lambda share: 100 * share),
        unit="%",
        n=n,
        confidence=question.confidence,
        method=f"{method}: {count} of {n} {plural(unit)}, Wilson interval{grouped}",
    )


def _compared(question: Question, student: Mask, teacher: Mask, groups: IntArray) -> Comparison:
    comparison = compared_shares(question, combinations(student, teacher))
    effect = _effect(1 + student.astype(np.intp) - teacher.astype(np.intp), groups)
    return replace(
        comparison,
        ratio=comparison.ratio and widened(comparison.ratio, effect),
        difference=comparison.difference and widened(comparison.difference, effect),
    )


def _effect(kinds: IntArray, groups: IntArray) -> float:
    """Return the design effect of groups, 1 where every sample is one of its own."""
    count = int(groups.max()) + 1
    if count == len(groups):
        return 1.0
    table = np.zeros((count, int(kinds.max()) + 1))
    np.add.at(table, (groups, kinds), 1.0)
    return design_effect(table)


def summed_evidence(
    question: Question,
    data: Grouped,
    sums: Mapping[str, FloatArray],
    value: Callable[[FloatArray], FloatArray],
    method: str,
    group: Sequence[Hashable] | None = None,
) -> Evidence:
    """Return a value that follows from sums over samples as evidence, with a paired bootstrap by group.

    Args:
        question: of the gate.
        data: whose `group` is used where no other is stated.
        sums: what each sample adds, (n, kinds) by role.
        value: turns sums (resamples, kinds) into values (resamples,), in the KPI's unit; NaN where it is undefined.
        method: how the value is found, in words.
        group: of each sample, where samples are not the data's.

    Raises:
        MeasurementError: the value is undefined on these data.
    """
    paired = paired_by_group(question, data.group if group is None else group, sums)
    points = {role: float(value(totals["sums"])[0]) for role, totals in paired.totals.items()}
    for role, point in points.items():
        if not np.isfinite(point):
            raise MeasurementError(f"{question.kpi.name} of the {role} is {point} on these data")
    drawn = {role: value(resampled["sums"]) for role, resampled in paired.drawn.items()}
    n = len(sums["student"])

    def of_members(members: Mask) -> dict[str, float]:
        return {role: float(value(table[members].sum(axis=0, keepdims=True))[0]) for role, table in sums.items()}

    alpha = question.alpha
    estimates = {role: expanded(percentiles(points[role], drawn[role], alpha), paired.n, alpha) for role in points}
    comparison = None
    if "teacher" in points:
        comparison = expanded_comparison(compared(points, drawn, alpha, paired.method), paired.n, alpha)
    evidence = evidence_of(question, paired, estimates, comparison, method)
    return evidence if group is not None else replace(evidence, breakdown=by_slice(data, n, of_members))


def paired_by_group(
    question: Question, group: Sequence[Hashable] | None, sums: Mapping[str, FloatArray]
) -> PairedSums:
    """Return the sums of all samples, and those of resamples of groups, the same for all models."""
    n = len(sums["student"])
    groups = groups_of(group, n)
    count = int(groups.max()) + 1
    cells = CellSums()
    placed = cells.place(hashes_of(range(count)))
    for role, table in sums.items():
        for kind in range(table.shape[1]):
            added: FloatArray = np.bincount(groups, table[:, kind], count).astype(np.float64)
            cells.add(role, placed, np.full(count, kind), table.shape[1], added)
    start = time.perf_counter()
    drawn: Mapping[str, Any] = cells.resamples(resamples_for(question.alpha), question.seed)
    seconds, total = time.perf_counter() - start, cells.total()
    return PairedSums(
        cells=cells.cells,
        seconds=seconds,
        totals={role: {"sums": total[role]} for role in sums},
        drawn={role: {"sums": drawn[role]} for role in sums},
        n=count,
    )


def _how(data: Grouped, n: int, drawn: Mapping[str, FloatArray], count: int, seconds: float) -> str:
    paired = "paired bootstrap" if len(drawn) > 1 else "bootstrap"
    units = plural(data.UNIT)
    unit = units if count == n else f"groups of {n:,} {units}"
    resamples = len(next(iter(drawn.values())))
    return f"{paired} of {count:,} {unit}, {resamples} resamples in {humanise(seconds, 's')}"


def refuse_worthless_teacher(question: Question, points: Mapping[str, float]) -> None:
    """Refuse to compare with a teacher whose value is the worst that there is.

    Args:
        question: of the gate.
        points: values by role.

    Raises:
        MeasurementError: a limit rests on such a teacher.
    """
    kpi = question.kpi
    worst = kpi.bounds[0] if kpi.better == "higher" else kpi.bounds[1]
    if question.with_teacher and np.isfinite(worst) and points.get("teacher") == worst:
        raise MeasurementError(
            f"{kpi.name} of the teacher is {worst:g}{kpi.unit}, the worst that there is: no student can be worse. "
            "Check the teacher and the form of its outputs, or state limits on the student alone"
        )


def with_ends(question: Question, estimate: Estimate, again: FloatArray, units: int) -> Estimate:
    """Return an estimate with ends, also where all units are alike, of a KPI whose values are bounded.

    A detector that finds nothing has the same value in all resamples: that is certain only as far as units were seen.

    Args:
        question: of the gate.
        estimate: a value or a difference, with ends or without.
        again: its values in resamples, or without each unit: where one is undefined, there are no ends.
        units: the fewest independent units that a part of it rests on, such as a class.
    """
    low, high = question.kpi.bounds
    if estimate.low is not None or not (np.isfinite([low, high]).all() and np.isfinite(again).all()):
        return estimate
    return alike(estimate.value, units, high - low, question.alpha)


def resampled_evidence(
    question: Question,
    data: Grouped,
    functions: Mapping[str, Callable[[FloatArray], FloatArray]],
    n: int,
    method: str,
    interval: Interval = percentiles,
    *,
    units: int,
) -> Evidence:
    """Return a function of all samples, such as an average precision, as evidence, with a paired bootstrap by group.

    Args:
        question: of the gate.
        data: whose `group` is used.
        functions: by role: turns how often each sample counts, (resamples, n), into values (resamples,), in the KPI's
            unit; NaN where it is undefined.
        n: how many samples there are.
        method: how the value is found, in words.
        interval: of a value and its resamples: `bias_corrected` if few samples give larger values than many.
        units: the fewest samples, or groups, that a part of the value rests on, such as a class.

    Raises:
        MeasurementError: the value is undefined on these data.
    """
    groups = groups_of(data.group, n)
    count, start = int(groups.max()) + 1, time.perf_counter()
    points = {role: float(function(np.ones((1, n)))[0]) for role, function in functions.items()}
    for role, point in points.items():
        if not np.isfinite(point):
            raise MeasurementError(f"{question.kpi.name} of the {role} is {point} on these data")
    refuse_worthless_teacher(question, points)
    draws = drawn_evenly(count, resamples_for(question.alpha), np.random.default_rng(question.seed))
    drawn = {role: drawn_by_group(function, draws, groups) for role, function in functions.items()}
    alpha, seconds = question.alpha, time.perf_counter() - start
    how = _how(data, n, drawn, count, seconds)
    readings = {
        role: Reading(
            estimate=with_ends(question, expanded(interval(points[role], its, alpha), count, alpha), its, units),
            unit=question.kpi.unit,
            n=n,
            confidence=question.confidence,
            method=f"{method}; {how}",
        )
        for role, its in drawn.items()
    }
    comparison = compared(points, drawn, alpha, how, interval) if len(points) > 1 else None
    if comparison is not None:
        comparison = expanded_comparison(comparison, count, alpha)
        difference, gaps = comparison.difference, drawn["student"] - drawn["teacher"]
        comparison = replace(comparison, difference=difference and with_ends(question, difference, gaps, units))
    return Evidence(
        student=readings["student"],
        teacher=readings.get("teacher"),
        comparison=comparison,
        sampled=question.asked,
        breakdown=by_slice(data, n, _of_members(functions)),
    )


def _of_members(
    functions: Mapping[str, Callable[[FloatArray], FloatArray]],
) -> Callable[[Mask], dict[str, float]]:
    def values(members: Mask) -> dict[str, float]:
        once = members[None].astype(np.float64)
        return {role: float(function(once)[0]) for role, function in functions.items()}

    return values


def drawn_by_group(function: Callable[[FloatArray], FloatArray], draws: FloatArray, groups: IntArray) -> FloatArray:
    """Return a function's values for all draws of groups, some at a time: each is as long as the data.

    Args:
        function: turns how often each sample counts, (resamples, n), into values, (resamples, ...).
        draws: how often each group is drawn, (resamples, groups).
        groups: of each sample, (n,).
    """
    size = max(1, MOST_AT_ONCE // len(groups))
    parts = [function(draws[start : start + size, groups]) for start in range(0, len(draws), size)]
    return np.concatenate(parts)
