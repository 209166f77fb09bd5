"""How like the teacher's lists those of the student are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from scipy.stats import rankdata

from pytest_modelbench.data.tasks.ranking import TOP, shuffled
from pytest_modelbench.errors import DoesNotFit, MeasurementError
from pytest_modelbench.kpis.by_jackknife import jackknife_evidence
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.kpis.pooled import Tallied, pooled_evidence, worst_first
from pytest_modelbench.kpis.ranking.ranked import Lists, lists
from pytest_modelbench.results import Evidence
from pytest_modelbench.stats.cells import FloatArray, IntArray, share_of

MOST_ITEMS = 2**32


def top_k_overlap(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the mean share of the teacher's first k items that the student has among its first k, too.

    Raises:
        DoesNotFit: more items than are kept of a catalogue.
    """
    read, k = lists(question, measurements, both=True), int(question.options["k"])
    if read.answers.data.of_catalogue and k > TOP:
        raise DoesNotFit(f"of a catalogue the first {TOP} items are kept, and k={k}")
    ours, theirs = (_first(read, role, k) for role in ("student", "teacher"))
    items = read.ranked("student").items
    both = np.intersect1d(_keys(ours), _keys(theirs), assume_unique=True)
    common = np.bincount(both // MOST_ITEMS, minlength=len(items))
    share = share_of(common.astype(float), np.minimum(items, k).astype(float))
    tallied = {"student": Tallied(parts=np.nan_to_num(share), wholes=(items > 0).astype(float))}
    evidence = pooled_evidence(question, read.queries, tallied, f"first {k} items of each query", nothing="no items")
    worst = read.queries.worst(worst_first(tallied, "higher"))
    yield replace(evidence, notes=(*evidence.notes, *read.queries.notes), worst_samples=worst)


def _keys(first: tuple[IntArray, IntArray]) -> IntArray:
    """Return a number for each pair of a query and an item."""
    keys: IntArray = first[0] * MOST_ITEMS + first[1]
    return keys


def _first(read: Lists, role: str, k: int) -> tuple[IntArray, IntArray]:
    """Return the query and the item of each of a model's first k; those of one score in a shuffled order."""
    measured = read.answers.answers[role]
    if read.answers.data.of_catalogue:
        top = measured.answers["top"]
        place = np.arange(len(top.values)) - top.offsets[top.owner]
        return top.owner[place < k], top.values[place < k]
    counts = read.counted(role)
    score, query = read.scored(role)[0], read.codes[counts]
    order = np.lexsort((shuffled(len(score)), -score, query))
    begins = np.concatenate([[0], np.cumsum(np.bincount(query))])[:-1]
    inside = np.arange(len(order)) - begins[query[order]] < k
    return query[order][inside], np.flatnonzero(counts)[order][inside]


def rank_correlation(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the mean over queries of Spearman's correlation of the two models' scores.

    Raises:
        DoesNotFit: scores of a catalogue, which are not kept.
        MeasurementError: no query has two items with different scores from both models.
    """
    read = lists(question, measurements, both=True)
    if read.answers.data.of_catalogue:
        raise DoesNotFit("of a catalogue the scores are not kept. Write top_k_overlap")
    query = read.codes[read.counted("student")]
    student, teacher = (read.scored(role)[0] for role in ("student", "teacher"))
    values = _correlations(student, teacher, query, len(read.queries.first))
    defined = np.isfinite(values)
    if not defined.any():
        raise MeasurementError(f"{question.kpi.name} is undefined: no query has items with different scores")
    sums = {"student": np.stack([np.where(defined, values, 0.0), defined.astype(float)], axis=1)}
    method = "Spearman, mean over queries"
    evidence = jackknife_evidence(
        question, read.queries, sums, lambda total: share_of(total[..., 0], total[..., 1]), method
    )
    left = int((~defined).sum())
    notes = [f"{left} of {len(values)} queries do not count: a model gives their items one score"] if left else []
    order = np.argsort(np.where(defined, values, np.inf), kind="stable")
    worst = order[np.where(defined, values, np.inf)[order] < 1 - 1e-12]
    yield replace(
        evidence, notes=(*evidence.notes, *read.queries.notes, *notes), worst_samples=read.queries.worst(worst)
    )


def _correlations(student: FloatArray, teacher: FloatArray, query: IntArray, queries: int) -> FloatArray:
    """Return Spearman's correlation of each query, (queries,); NaN where one of both is constant."""
    ranks = [_ranks_within(score, query) for score in (student, teacher)]
    counts = np.bincount(query, minlength=queries).astype(np.float64)
    means = [share_of(np.bincount(query, each, queries).astype(np.float64), counts) for each in ranks]
    centred = [each - mean[query] for each, mean in zip(ranks, means, strict=True)]
    products = np.bincount(query, centred[0] * centred[1], queries)
    spreads = [np.bincount(query, each**2, queries) for each in centred]
    with np.errstate(divide="ignore", invalid="ignore"):
        correlations: FloatArray = products / np.sqrt(spreads[0] * spreads[1])
    return correlations


def _ranks_within(score: FloatArray, query: IntArray) -> FloatArray:
    """Return the rank of each item within its query, up to a number for each query; ties share their mean rank."""
    order = np.lexsort((score, query))
    dense = np.zeros(len(score))
    ordered, of = score[order], query[order]
    changes = (ordered[1:] != ordered[:-1]) | (of[1:] != of[:-1])  # a difference of infinite scores is NaN
    dense[order] = np.concatenate([[0], np.cumsum(changes)])
    ranked: FloatArray = rankdata(dense)
    return ranked
