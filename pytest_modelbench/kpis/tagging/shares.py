"""Evidence of shares of tokens and entities: intervals by sentence or group that hold near 0% and 100%, too."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from pytest_modelbench.kpis.by_group import groups_of, summed_evidence
from pytest_modelbench.kpis.kpi import Question
from pytest_modelbench.kpis.tagging.read import Tagged
from pytest_modelbench.results import Comparison, Evidence, Reading
from pytest_modelbench.stats.cells import FloatArray, share_of
from pytest_modelbench.stats.design_effect import design_effect, widened
from pytest_modelbench.stats.intervals import share_interval
from pytest_modelbench.stats.paired import tango_interval

Value = Callable[[FloatArray], FloatArray]


def percent(total: FloatArray) -> FloatArray:
    """Return the first of two sums over the second, in percent, (resamples,)."""
    return 100 * share_of(total[:, 0], total[:, 1])


def evidence_of_share(
    question: Question, tags: Tagged, sums: Mapping[str, FloatArray], method: str, per_unit: float = 1.0
) -> Evidence:
    """Return a share of tokens or entities as evidence.

    A model's interval is Wilson's of as many independent tokens as the design effect of sentences or groups leaves
    (Rao and Scott): resampling cannot see the errors that a small set happens not to have. Differences are resampled.

    Args:
        question: of the gate.
        tags: of the models.
        sums: by role, of each sentence: hits, and all, (sentences, 2).
        method: how the share is found, in words.
        per_unit: how often one entity counts at most: twice in F1.
    """
    evidence = summed_evidence(question, tags.answers.data, sums, percent, method)
    groups = groups_of(tags.answers.data.group, len(tags))
    readings = {
        role: _wilson(question, reading, sums[role], groups, per_unit)
        for role, reading in (("student", evidence.student), ("teacher", evidence.teacher))
        if reading is not None
    }
    return replace(
        evidence,
        student=readings["student"],
        teacher=readings.get("teacher"),
        comparison=of_equal(question, evidence.comparison, int(groups.max()) + 1),
        notes=(*tags.notes, *evidence.notes),
    )


def _wilson(question: Question, reading: Reading, sums: FloatArray, groups: Any, per_unit: float) -> Reading:
    """Return a reading with Wilson's interval of its independent tokens."""
    count = int(groups.max()) + 1
    hits, whole = (np.bincount(groups, sums[:, kind], count) for kind in (0, 1))
    effect = max(per_unit, design_effect(np.stack([hits, whole - hits], axis=1)))
    n = float(whole.sum()) / effect
    estimate = share_interval(float(hits.sum()) / effect, n, question.alpha)
    clusters = "groups" if count < len(sums) else "sentences"
    return replace(
        reading,
        estimate=replace(estimate.map(lambda share: 100 * share), value=reading.value),
        method=f"{reading.method.split(';')[0]}; Wilson interval, design effect {effect:.2f} of {count:,} {clusters}",
    )


def of_equal(question: Question, comparison: Comparison | None, n: int) -> Comparison | None:
    """Return a comparison; where all resamples are equal, with Tango's interval of so many units without a difference."""
    if comparison is None or comparison.difference is None or comparison.difference.low is not None:
        return comparison
    gained = tango_interval(0, 0, n, question.alpha)
    point = comparison.difference.value
    difference = gained.map(lambda share: point + 100 * share)
    return replace(comparison, difference=difference, method=f"{comparison.method}; Tango's interval, all are equal")


def with_kinds(
    evidence: Evidence, what: str, names: tuple[str, ...], n: FloatArray, values: Mapping[str, FloatArray]
) -> Evidence:
    """Return evidence with a row of the breakdown for each kind of tag or entity that occurs.

    Args:
        evidence: with the rows of slices.
        what: the kinds are of, before the name.
        names: of the kinds.
        n: how many of each there are in the targets, (kinds,).
        values: by role, (kinds,), NaN where undefined.
    """
    rows = tuple(
        {
            "name": f"{what} {name}",
            "n": int(n[kind]),
            **{role: float(v[kind]) if np.isfinite(v[kind]) else None for role, v in values.items()},
        }
        for kind, name in enumerate(names)
        if n[kind]
    )
    return replace(evidence, breakdown=(*evidence.breakdown, *rows))
