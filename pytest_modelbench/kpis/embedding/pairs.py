"""KPIs of pairs and triplets: rank correlation with ratings or the teacher, verification, and order."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
from scipy.special import stdtrit

from pytest_modelbench.data.groups import combinations
from pytest_modelbench.errors import DoesNotFit, MeasurementError
from pytest_modelbench.kpis.embedding.read import Embeddings, embeddings
from pytest_modelbench.kpis.evidence import compared_shares
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.results import Comparison, Estimate, Evidence, Reading
from pytest_modelbench.stats.cells import FloatArray, IntArray
from pytest_modelbench.stats.design_effect import widened
from pytest_modelbench.stats.intervals import share_interval
from pytest_modelbench.stats.ranks import area_interval, area_of, compare_areas
from pytest_modelbench.stats.shared_members import design_effect_of, spearman, variance_of

MOST_PAIRS = 100_000
Ranked = tuple[float, FloatArray]


def sts_correlation(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the rank correlation of similarities with ratings.

    Raises:
        DoesNotFit: the data have no rated pairs.
        MeasurementError: ratings or similarities are all equal.
    """
    read = embeddings(question, measurements)
    ratings = read.data.similarity
    if ratings is None:
        raise DoesNotFit("it needs rated pairs. Write EvalData(..., pairs=[(i, j), ...], similarity=[...])")
    first, second = _pairs(read)
    similar = {role: read.similarities(role, first, second) for role in read.vectors}
    ranked = {role: _correlation(question, role, its, ratings) for role, its in similar.items()}
    yield _correlated(question, read, ranked, (first, second), f"{len(first):,} rated pairs")


def similarity_correlation(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the rank correlation of the student's similarities with those of the teacher.

    Raises:
        MeasurementError: similarities are all equal.
    """
    read = embeddings(question, measurements, both=True)
    first, second = _drawn_pairs(len(read), question.seed)
    student, teacher = (read.similarities(role, first, second) for role in ("student", "teacher"))
    ranked = {"student": _correlation(question, "student", student, teacher)}
    every = len(read) * (len(read) - 1) // 2
    drawn = f"{len(first):,} pairs drawn of {every:,}" if len(first) < every else f"all {every:,} pairs"
    yield _correlated(question, read, ranked, (first, second), drawn)


def _pairs(read: Embeddings) -> tuple[IntArray, IntArray]:
    listed = read.data.pairs or []
    first, second = (read.data.positions("pairs", [pair[side] for pair in listed], read.ids) for side in (0, 1))
    return first, second


def _drawn_pairs(n: int, seed: int) -> tuple[IntArray, IntArray]:
    """Return all pairs of different samples, or different ones drawn of them."""
    every = n * (n - 1) // 2
    if every <= MOST_PAIRS:
        first, second = np.triu_indices(n, 1)
        return first, second
    numbers = np.unique(np.random.default_rng(seed).integers(0, n * n, 3 * MOST_PAIRS))
    first, second = np.divmod(numbers, n)
    kept = np.flatnonzero(first < second)
    kept = np.random.default_rng(seed).permutation(kept)[:MOST_PAIRS]
    return first[kept], second[kept]


def _correlation(question: Question, role: str, similar: FloatArray, other: FloatArray) -> Ranked:
    value, influence = spearman(similar, other)
    if math.isnan(value):
        raise MeasurementError(f"{question.kpi.name} of the {role} is undefined: similarities or ratings are equal")
    return value, influence


def _correlated(
    question: Question, read: Embeddings, ranked: Mapping[str, Ranked], pairs: tuple[IntArray, IntArray], what: str
) -> Evidence:
    members = np.unique(read.groups[np.stack(pairs, axis=1)], return_inverse=True)[1].reshape(-1, 2)
    count = int(members.max()) + 1
    quantile = float(stdtrit(max(min(count, len(members)) - 1, 1), 1 - question.alpha))
    method = f"Spearman, {what}; dyadic variance of {count:,} samples or groups, Fisher's scale"
    readings = {
        role: Reading(
            estimate=_fisher(value, quantile * math.sqrt(variance_of(influence, members))),
            unit="",
            n=len(members),
            confidence=question.confidence,
            method=method,
        )
        for role, (value, influence) in ranked.items()
    }
    comparison = None
    if "teacher" in ranked:
        comparison = _compared(ranked["student"], ranked["teacher"], quantile, members)
    return Evidence(
        student=readings["student"],
        teacher=readings.get("teacher"),
        comparison=comparison,
        sampled=question.asked,
        worst_samples=read.answers.worst(_worst(read, ranked, pairs)),
    )


def _fisher(value: float, half: float) -> Estimate:
    """Return a correlation with an interval that is even on Fisher's scale; without ends at -1 and 1."""
    if abs(value) > 1 - 1e-12 or not half:
        return Estimate(value=value, low=value, high=value) if abs(value) > 1 - 1e-12 else Estimate(value=value)
    centre, width = math.atanh(value), half / (1 - value**2)
    return Estimate(value=value, low=math.tanh(centre - width), high=math.tanh(centre + width))


def _compared(student: Ranked, teacher: Ranked, quantile: float, members: IntArray) -> Comparison:
    """Compare correlations of the same pairs."""
    (s, ours), (t, theirs) = student, teacher
    half = quantile * math.sqrt(variance_of(ours - theirs, members))
    ratio = None
    if s > 0 and t > 0:
        width = math.exp(quantile * math.sqrt(variance_of(ours / s - theirs / t, members)))
        ratio = Estimate(value=s / t, low=s / t / width, high=s / t * width)
    difference = Estimate(value=s - t, low=s - t - half, high=s - t + half)
    return Comparison(ratio=ratio, difference=difference, method="dyadic variance of paired influences")


def _worst(read: Embeddings, ranked: Mapping[str, Ranked], pairs: tuple[IntArray, IntArray]) -> IntArray:
    """Return the samples whose pairs lower the correlation most, the worst first."""
    lowers = -ranked["student"][1] + (ranked["teacher"][1] if "teacher" in ranked else 0.0)
    total = sum(np.bincount(side, lowers, len(read)) for side in pairs)
    order = np.argsort(-np.asarray(total), kind="stable")
    kept: IntArray = order[np.asarray(total)[order] > 0]
    return kept


def verification_auc(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the area under the ROC curve of similarities of pairs of the same and of different identities.

    Raises:
        DoesNotFit: the data do not say which pairs are the same.
        MeasurementError: all pairs are of one kind.
    """
    read = embeddings(question, measurements)
    same = read.data.same
    if same is None:
        raise DoesNotFit("it needs pairs of known kind. Write EvalData(..., pairs=[(i, j), ...], same=[True, ...])")
    if same.all() or not same.any():
        raise MeasurementError(f"{question.kpi.name} needs pairs of both kinds, and all have same={bool(same[0])}")
    first, second = _pairs(read)
    members = read.groups[np.stack([first, second], axis=1)]
    areas = {role: area_of(same, read.similarities(role, first, second)) for role in read.vectors}
    sizes, alpha = (int(same.sum()), int((~same).sum())), question.alpha
    effects = {role: design_effect_of(influence, members) for role, (_, influence) in areas.items()}
    method = f"{sizes[0]:,} pairs of the same and {sizes[1]:,} of different identities"
    readings = {
        role: Reading(
            estimate=widened(area_interval(area, influence, alpha, sizes), effects[role]).within(0.0, 1.0),
            unit="",
            n=len(same),
            confidence=question.confidence,
            method=f"area under the ROC curve, {method}; design effect {effects[role]:.2f} of shared samples",
        )
        for role, (area, influence) in areas.items()
    }
    comparison = None
    if "teacher" in areas:
        student, teacher = areas["student"], areas["teacher"]
        effect = design_effect_of(student[1] - teacher[1], members)
        comparison = _wider(compare_areas(student, teacher, alpha, 1.0, sizes), effect)
    yield Evidence(
        student=readings["student"],
        teacher=readings.get("teacher"),
        comparison=comparison,
        sampled=question.asked,
        worst_samples=read.answers.worst(_worst(read, areas, (first, second))),
    )


def _wider(comparison: Comparison, effect: float) -> Comparison:
    return replace(
        comparison,
        ratio=comparison.ratio and widened(comparison.ratio, effect),
        difference=comparison.difference and widened(comparison.difference, effect),
    )


def triplet_accuracy(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the share of triplets whose anchor is more similar to the positive than to the negative.

    Raises:
        DoesNotFit: the data have no triplets.
    """
    read = embeddings(question, measurements)
    if read.data.triplets is None:
        raise DoesNotFit("it needs triplets. Write EvalData(..., triplets=[(anchor, positive, negative), ...])")
    anchor, positive, negative = (
        read.data.positions("triplets", [triplet[side] for triplet in read.data.triplets], read.ids)
        for side in range(3)
    )
    right = {
        role: read.similarities(role, anchor, positive) > read.similarities(role, anchor, negative)
        for role in read.vectors
    }
    members = read.groups[np.stack([anchor, positive, negative], axis=1)]
    readings = {role: _share(question, its, members) for role, its in right.items()}
    student, teacher = right["student"], right.get("teacher")
    comparison, lost = None, ~student
    if teacher is not None:
        lost = lost & teacher
        effect = design_effect_of(_centred(student.astype(float) - teacher), members)
        comparison = _wider(compared_shares(question, combinations(student, teacher)), effect)
    yield Evidence(
        student=readings["student"],
        teacher=readings.get("teacher"),
        comparison=comparison,
        sampled=question.asked,
        worst_samples=read.answers.worst(np.unique(anchor[lost])),
    )


def _share(question: Question, right: np.ndarray[tuple[int], np.dtype[np.bool_]], members: IntArray) -> Reading:
    count, n = int(right.sum()), len(right)
    effect = design_effect_of(_centred(right.astype(np.float64)), members)
    estimate = widened(share_interval(count, n, question.alpha), effect).within(0.0, 1.0)
    return Reading(
        estimate=estimate.map(lambda share: 100 * share),
        unit="%",
        n=n,
        confidence=question.confidence,
        method=f"{count:,} of {n:,} triplets, Wilson interval, design effect {effect:.2f} of shared samples",
    )


def _centred(values: FloatArray) -> FloatArray:
    centred: FloatArray = (values - values.mean()) / len(values)
    return centred
