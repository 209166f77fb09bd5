"""Evidence of shares of tokens and entities: intervals by sentence or group that hold near 0% and 100%, too."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from scipy.special import ndtri, stdtrit

from pytest_modelbench.kpis.by_group import groups_of, refuse_worthless_teacher, summed_evidence
from pytest_modelbench.kpis.kpi import Question
from pytest_modelbench.kpis.tagging.read import Tagged
from pytest_modelbench.results import Comparison, Evidence, Reading
from pytest_modelbench.stats.cells import FloatArray, IntArray, share_of
from pytest_modelbench.stats.design_effect import FEWEST_CLUSTERS, design_effect
from pytest_modelbench.stats.intervals import share_interval
from pytest_modelbench.stats.paired import tango_interval
from pytest_modelbench.stats.pooled_shares import pooled_share
from pytest_modelbench.stats.rounding import settled
from pytest_modelbench.stats.skewness import skewed_interval

_JACKKNIFE = "jackknife of {:,} sentences or groups with Hall's correction for skewness"
Value = Callable[[FloatArray], FloatArray]


def percent(total: FloatArray) -> FloatArray:
    """Return the first of two sums over the second, in percent, (resamples,)."""
    return 100 * share_of(total[:, 0], total[:, 1])


def evidence_of_share(
    question: Question, tags: Tagged, sums: Mapping[str, FloatArray], method: str, per_unit: float = 1.0
) -> Evidence:
    """Return a share of tokens or entities as evidence.

    A model's interval is Wilson's of as many independent tokens as the design effect of sentences or groups leaves
    (Rao and Scott): resampling cannot see the errors that a small set happens not to have.

    Args:
        question: of the gate.
        tags: of the models.
        sums: by role, of each sentence: hits, and all, (sentences, 2).
        method: how the share is found, in words.
        per_unit: how often one entity counts at most: twice in F1.
    """
    evidence = summed_evidence(question, tags.answers.data, sums, percent, method)
    if evidence.teacher is not None:
        refuse_worthless_teacher(question, {"teacher": evidence.teacher.value})
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
        comparison=of_difference(question, evidence.comparison, groups, sums, percent),
        notes=(*tags.notes, *evidence.notes),
    )


def _wilson(question: Question, reading: Reading, sums: FloatArray, groups: IntArray, per_unit: float) -> Reading:
    """Return a reading with Wilson's interval of its independent tokens."""
    count = int(groups.max()) + 1
    hits, whole = (np.bincount(groups, sums[:, kind], count).astype(np.float64) for kind in (0, 1))
    if count < FEWEST_CLUSTERS:
        return _of_few(question, reading, hits, whole)
    effect = _effect(hits, whole, per_unit, question.alpha)
    n = float(whole.sum()) / effect
    estimate = share_interval(float(hits.sum()) / effect, n, question.alpha)
    clusters = "groups" if count < len(sums) else "sentences"
    return replace(
        reading,
        estimate=replace(estimate.map(lambda share: 100 * share), value=reading.value),
        method=f"{reading.method.split(';')[0]}; Wilson interval, design effect {effect:.2f} of {count:,} {clusters}",
    )


def _of_few(question: Question, reading: Reading, hits: FloatArray, whole: FloatArray) -> Reading:
    """Return a reading with the interval of the linearised share: few groups do not show their design effect."""
    estimate = pooled_share((hits, whole), question.alpha).map(lambda share: 100 * share)
    method = (
        f"{reading.method.split(';')[0]}; Wilson interval of the linearised share of {len(hits)} sentences or groups"
    )
    return replace(reading, estimate=estimate, method=method)


def _effect(hits: FloatArray, whole: FloatArray, at_least: float, alpha: float) -> float:
    """Return the design effect of groups, larger for few of them as Student's quantile is: it is an estimate, too."""
    effect = design_effect(np.stack([hits, whole - hits], axis=1))
    if effect <= at_least:
        return at_least
    n = len(hits)
    return effect * n / (n - 1) * float(stdtrit(n - 1, 1 - alpha) / ndtri(1 - alpha)) ** 2


def of_value(question: Question, reading: Reading, groups: IntArray, sums: FloatArray, value: Value) -> Reading:
    """Return a model's reading with the jackknife's interval; as it is where the jackknife gives none."""
    rest, point = value(_left_out(groups, sums)), reading.value
    if not np.isfinite(rest).all():
        return reading
    estimate = skewed_interval((len(rest) - 1) * (point - settled(rest)), point, question.alpha)
    if estimate.low is None:
        return reading
    return replace(
        reading, estimate=estimate, method=f"{reading.method.split(';')[0]}; {_JACKKNIFE.format(len(rest))}"
    )


def of_difference(
    question: Question,
    comparison: Comparison | None,
    groups: IntArray,
    sums: Mapping[str, FloatArray],
    value: Value,
) -> Comparison | None:
    """Return a comparison whose difference has an interval that allows for skewness.

    Few sentences make most of a difference, and resamples of 30 lack those that this set happens not to have. What a
    sentence or group adds is the jackknife's: by how much the difference changes without it. If none adds anything,
    the interval is Tango's of as many units without a difference.

    Args:
        question: of the gate.
        comparison: with a resampled difference; None without a teacher.
        groups: of each sentence, (sentences,).
        sums: by role, (sentences, kinds).
        value: turns sums (resamples, kinds) into values (resamples,).
    """
    if comparison is None or comparison.difference is None:
        return comparison
    without = {role: value(_left_out(groups, table)) for role, table in sums.items()}
    scale = max(float(np.nan_to_num(rest).max()) for rest in without.values())
    point, rest = comparison.difference.value, settled(without["student"] - without["teacher"], scale)
    difference, how = comparison.difference, comparison.method
    if np.isfinite(rest).all():
        difference = skewed_interval((len(rest) - 1) * (point - rest), point, question.alpha)
        how = _JACKKNIFE.format(len(rest))
    if difference.low is None:
        gained = tango_interval(0, 0, len(rest), question.alpha)
        difference = replace(gained.map(lambda share: point + 100 * share), value=point)
        how = "all sentences or groups add the same: Tango's interval without a difference"
    return replace(comparison, difference=difference, method=how)


def _left_out(groups: IntArray, table: FloatArray) -> FloatArray:
    """Return the sums without each group, (groups, kinds)."""
    count = int(groups.max()) + 1
    added = np.stack([np.bincount(groups, column, count) for column in table.T], axis=1)
    rest: FloatArray = added.sum(axis=0) - added
    return rest


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
