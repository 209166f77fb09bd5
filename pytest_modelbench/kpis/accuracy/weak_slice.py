"""A search for the kind of sample that the student lost, checked on samples that the search has not seen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from pytest_modelbench.errors import DoesNotFit, MeasurementError, NotApplicable
from pytest_modelbench.kpis.accuracy.slice_features import features_of
from pytest_modelbench.kpis.accuracy.slices import rightness
from pytest_modelbench.kpis.evidence import meaning_of, pair_of
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.probes.answers.predictions import shown_ids
from pytest_modelbench.results import Evidence, Reading
from pytest_modelbench.stats.paired import tango_interval

MOST_SEARCHED = 50_000
"""The most samples that the tree learns from: more of them find no other slice, and those left judge it better."""


def weak_slice_drop(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Find the leaf of a shallow tree in which the student lost most, and read its drop on the other samples.

    The tree (`sklearn.tree.DecisionTreeRegressor`) learns each sample's difference of 0/1 losses from its inputs on
    one half of the samples, in leaves of `min_n` or more; the worst leaf is chosen there, and its drop is that of its
    samples of the other half, however few, so that looking for the worst does not make it worse.

    Raises:
        NotApplicable: the data are in shards.
        DoesNotFit: the inputs are not numeric, and the data name no groups.
        MeasurementError: none of the other samples is in the worst leaf.
    """
    from sklearn.tree import DecisionTreeRegressor

    if measurements.data().in_parts:
        raise NotApplicable(
            "it searches the inputs of all samples at once, and these are in shards. Judge it on one, or name "
            "slices= and judge slice_drop"
        )
    student, teacher = pair_of(question, measurements)
    student_right, teacher_right = rightness(student, teacher)
    least, n = int(question.options["min_n"]), len(student)
    features, names, rows, searched = features_of(measurements.data(), n, question.seed)
    n = len(rows)
    if n < 4 * least:
        raise DoesNotFit(f"weak_slice_drop needs {4 * least} samples for min_n={least}, found {n}")
    order, half = np.random.default_rng(question.seed).permutation(n), min(n // 2, MOST_SEARCHED)
    search, other = order[:half], order[half:]
    student_right, teacher_right = student_right[rows], teacher_right[rows]
    worse = teacher_right.astype(float) - student_right
    tree = DecisionTreeRegressor(
        max_depth=int(question.options["depth"]), min_samples_leaf=least, random_state=question.seed
    )
    tree.fit(features[search], worse[search])
    leaves, held_out = tree.apply(features[search]), tree.apply(features[other])
    leaf = max(sorted(set(leaves.tolist())), key=lambda leaf: float(worse[search][leaves == leaf].mean()))
    inside = other[held_out == leaf]
    rule = " and ".join(_path(tree.tree_, leaf, names, searched != "inputs")) or "all samples"
    if not len(inside):
        raise MeasurementError(f"weak_slice_drop: {rule} holds none of the other samples; state a larger min_n=")
    lost = teacher_right[inside] & ~student_right[inside]
    gained = student_right[inside] & ~teacher_right[inside]
    drop = tango_interval(int(lost.sum()), int(gained.sum()), len(inside), question.alpha)
    method = (
        f"worst leaf of a tree of depth {question.options['depth']} over {searched} on {len(search):,} samples, "
        f"judged on {len(inside):,} of the other {len(other):,}, Tango's interval; {meaning_of(student)}"
    )
    yield Evidence(
        student=Reading(
            estimate=drop.map(lambda d: 100 * d),
            unit="pp",
            n=len(inside),
            confidence=question.confidence,
            method=method,
        ),
        sampled=question.asked,
        notes=(f"weakest slice: {rule}",),
        worst_samples=shown_ids(student.ids, rows[np.sort(inside[lost])]),
        breakdown=({"name": rule, "n": len(inside), "value": 100 * drop.value},),
    )


def _path(tree: Any, leaf: int, names: Sequence[str], groups: bool) -> list[str]:
    """Return the conditions on the way from the root to a leaf; of groups whether a sample is in them."""
    above = {int(tree.children_left[i]): (i, "<=") for i in range(tree.node_count) if tree.children_left[i] >= 0}
    above |= {int(tree.children_right[i]): (i, ">") for i in range(tree.node_count) if tree.children_right[i] >= 0}
    path = []
    while leaf in above:
        leaf, sign = above[leaf]
        name = names[tree.feature[leaf]]
        path.append(f"{name} {sign} {tree.threshold[leaf]:.4g}" if not groups else f"{'not ' * (sign == '<=')}{name}")
    return path[::-1]
