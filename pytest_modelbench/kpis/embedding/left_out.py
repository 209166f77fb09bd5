"""Samples that are queries and neighbours of others at once: what a mean over queries loses without each of them.

With values of queries taken as independent, intervals are too narrow: a sample that leaves the data leaves the
neighbours of others, too (`benchmarks/tasks/embedding.py --coverage`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from pytest_modelbench.results import Evidence, Reading
from pytest_modelbench.stats.cells import FloatArray, IntArray, share_of
from pytest_modelbench.stats.design_effect import widened

OfQueries = Callable[[FloatArray, IntArray], FloatArray]


@dataclass(frozen=True, kw_only=True)
class Left:
    """The sum of values and the number of queries without each group, (groups,), with and without its neighbours."""

    sums: FloatArray
    counts: FloatArray
    alone: FloatArray

    @property
    def means(self) -> FloatArray:
        """The mean without each group."""
        return share_of(self.sums, self.counts)


def left_out(groups: IntArray, queries: IntArray, values: FloatArray, changes: FloatArray, fewer: FloatArray) -> Left:
    """Return what is left without each group.

    Args:
        groups: the group of each sample, (n,).
        queries: positions of the queries, (q,).
        values: of the queries, (q,).
        changes: by group, what the values of other queries change by, added up, (groups,).
        fewer: how many other queries have no value without the group, (groups,).
    """
    count = int(groups.max()) + 1
    own, lost = np.bincount(groups[queries], minlength=count), np.bincount(groups[queries], values, count)
    alone = share_of(values.sum() - lost, len(values) - own.astype(np.float64))
    return Left(sums=values.sum() - lost + changes, counts=len(values) - own - fewer, alone=alone)


def by_group(groups: IntArray, members: IntArray, of: IntArray, changes: FloatArray) -> FloatArray:
    """Add up by group what queries change by without a neighbour, (groups,); those of the query's own group do not.

    Args:
        groups: the group of each sample, (n,).
        members: the positions of neighbours.
        of: the positions of the queries whose neighbours they are.
        changes: of each of them.
    """
    others = groups[members] != groups[of]
    return np.bincount(groups[members[others]], changes[others], int(groups.max()) + 1).astype(np.float64)


def widened_evidence(evidence: Evidence, left: Mapping[str, Left]) -> Evidence:
    """Return evidence of independent queries with the intervals that the samples left out show.

    Args:
        evidence: of a mean over queries.
        left: what is left of each model's, by role.
    """
    student, teacher = left["student"], left.get("teacher")
    comparison = evidence.comparison
    if comparison is not None and teacher is not None:
        effect = _effect(student.means - teacher.means, student.alone - teacher.alone)
        comparison = replace(
            comparison,
            ratio=comparison.ratio and widened(comparison.ratio, effect),
            difference=comparison.difference and widened(comparison.difference, effect),
        )
    return replace(
        evidence,
        student=_wider(evidence.student, student),
        teacher=_wider(evidence.teacher, teacher) if evidence.teacher and teacher else None,
        comparison=comparison,
    )


def _wider(reading: Reading, left: Left) -> Reading:
    effect = _effect(left.means, left.alone)
    return replace(
        reading,
        estimate=widened(reading.estimate, effect).within(0.0, 100.0),
        method=f"{reading.method}, design effect {effect:.2f} of samples that are neighbours of others",
    )


def _effect(means: FloatArray, alone: FloatArray) -> float:
    """Return by how much the variance of the jackknife is larger than that of queries alone, at least 1."""
    spread, own = float(np.nanvar(means)), float(np.nanvar(alone))
    return max(1.0, spread / own) if own > 0 else 1.0


def left_of_labels(
    groups: IntArray, labels: IntArray, queries: IntArray, neighbours: tuple[IntArray, FloatArray], value: OfQueries
) -> Left:
    """Return what is left of a measure of relevant neighbours, where samples of one label are relevant.

    Without a neighbour the next one takes its place; without a relevant sample there is one less to find.

    Args:
        groups: the group of each sample, (n,).
        labels: the label of each sample, (n,).
        queries: positions, (q,).
        neighbours: the k + 1 nearest of each query, and whether they are relevant, (q, k + 1).
        value: turns whether the k nearest are relevant, and how many samples are, into values, (q,).
    """
    found, hits = neighbours
    totals = np.bincount(labels)[labels[queries]] - 1
    values = value(hits[:, :-1], totals)
    missed = _value(value, hits[:, :-1], totals - 1) - values
    code = np.unique(np.stack([groups, labels]), axis=1, return_inverse=True)
    changes, fewer = (_beyond(code, queries, its) for its in (missed, (totals == 1).astype(np.float64)))
    for rank in range(hits.shape[1] - 1):
        hit = hits[:, rank]
        change = _value(value, np.delete(hits, rank, axis=1), totals - hit.astype(np.intp)) - values
        changes += by_group(groups, found[:, rank], queries, change - hit * missed)
    return left_out(groups, queries, values, changes, fewer)


def _value(value: OfQueries, hits: FloatArray, totals: IntArray) -> FloatArray:
    """Return values, 0 where nothing is relevant."""
    return np.where(totals > 0, value(hits, np.maximum(totals, 1)), 0.0)


def _beyond(code: tuple[IntArray, IntArray], queries: IntArray, changes: FloatArray) -> FloatArray:
    """Add up by group the changes of queries of other groups without each of its samples of their label."""
    (group, label), of = code[0], code[1].reshape(-1)
    own = np.bincount(of[queries], changes, len(group))
    of_label = np.bincount(label, own)[label]
    return np.bincount(group, (of_label - own) * np.bincount(of, minlength=len(group))).astype(np.float64)
