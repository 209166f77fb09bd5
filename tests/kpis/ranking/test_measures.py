"""Measures of lists: those of libraries without ties, means over all orders with ties, and what is undefined."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr
from sklearn.metrics import average_precision_score, label_ranking_average_precision_score, ndcg_score
from tables import evidence
from torchmetrics.retrieval import (
    RetrievalHitRate,
    RetrievalMRR,
    RetrievalNormalizedDCG,
    RetrievalPrecision,
    RetrievalRecall,
)

from pytest_modelbench.data.tasks.ranking import shuffled
from pytest_modelbench.errors import MeasurementError
from pytest_modelbench.kpis.ranking.measures import MEASURES
from pytest_modelbench.kpis.ranking.ranked import ranks
from pytest_modelbench.results import Evidence

ALL: dict[str, Any] = {"k": None, "gain": "linear"}


def values(name: str, score: Any, relevance: Any, query: Any = None, **options: Any) -> np.ndarray[Any, Any]:
    of = np.zeros(len(score), dtype=int) if query is None else query
    ranked = ranks(np.asarray(score, dtype=float), np.asarray(relevance, dtype=float), of, int(of.max()) + 1)
    return MEASURES[name](ranked, {**ALL, **options})


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), k=st.integers(1, 8))
def test_equal_to_libraries_without_ties(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    items = rng.integers(2, 9, 6)
    query = rng.permutation(np.repeat(np.arange(6), items))
    score, relevance = 1 + rng.permutation(len(query)) / 7, rng.integers(0, 4, len(query))
    relevance[[np.flatnonzero(query == q)[0] for q in range(6)]] = 1
    lists = [(score[query == q], relevance[query == q]) for q in range(6)]
    expected = [ndcg_score([theirs], [ours], k=k) for ours, theirs in lists]
    assert values("ndcg", score, relevance, query, k=k) == pytest.approx(expected)
    exponential = [ndcg_score([2.0**theirs - 1], [ours], k=k) for ours, theirs in lists]
    assert values("ndcg", score, relevance, query, k=k, gain="exponential") == pytest.approx(exponential)
    precisions = [average_precision_score(theirs > 0, ours) for ours, theirs in lists]
    assert values("mean_average_precision", score, relevance, query) == pytest.approx(precisions)
    assert precisions == pytest.approx(
        [label_ranking_average_precision_score([theirs > 0], [ours]) for ours, theirs in lists]
    )
    graded = RetrievalNormalizedDCG(top_k=k)(torch.tensor(score), torch.tensor(relevance), torch.tensor(query)).item()
    assert values("ndcg", score, relevance, query, k=k).mean() == pytest.approx(graded, abs=1e-6)
    for name, metric in (
        ("mrr", RetrievalMRR(top_k=k)),
        ("recall_at_k", RetrievalRecall(top_k=k)),
        ("precision_at_k", RetrievalPrecision(top_k=k)),
        ("hit_rate", RetrievalHitRate(top_k=k)),
    ):
        mean = metric(torch.tensor(score), torch.tensor(relevance > 0), indexes=torch.tensor(query)).item()
        assert values(name, score, relevance, query, k=k).mean() == pytest.approx(mean, abs=1e-6), name


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), k=st.integers(1, 6))
def test_ties_are_the_mean_over_all_orders(seed: int, k: int) -> None:
    """By brute force over all orders of five items with few different scores."""
    rng = np.random.default_rng(seed)
    score, relevance = rng.integers(0, 3, 5), rng.integers(0, 3, 5)
    relevance[0] = 1
    orders = [np.array(order) for order in itertools.permutations(range(5))]
    apart = [score + 1e-3 * order for order in orders]
    for name in MEASURES:
        mean = np.mean([values(name, each, relevance, k=k)[0] for each in apart])
        assert values(name, score, relevance, k=k)[0] == pytest.approx(mean), name
    assert values("ndcg", score, relevance, k=k)[0] == pytest.approx(ndcg_score([relevance], [score], k=k))


def test_many_tied_items_need_no_factorials() -> None:
    """A constant model over 2,000 items, 20 of them relevant: hits are as likely as by chance."""
    relevance = np.zeros(2000)
    relevance[:20] = 1
    assert values("hit_rate", np.zeros(2000), relevance, k=100)[0] == pytest.approx(1 - 0.95**20, abs=0.01)
    assert values("recall_at_k", np.zeros(2000), relevance, k=100)[0] == pytest.approx(0.05)


QUERY = np.repeat(np.arange(50), 8)
RELEVANCE = np.random.default_rng(0).integers(0, 3, 400) * (np.random.default_rng(1).random(400) < 0.4)
RELEVANCE[:8] = 0
NOISE = np.random.default_rng(2).normal(size=(2, 400))
TEACHER, STUDENT = RELEVANCE + 0.7 * NOISE[0], RELEVANCE + 0.7 * NOISE[0] + 0.7 * NOISE[1]


def judged(kpi: str, *limits: str, student: Any = STUDENT, teacher: Any = TEACHER, **words: Any) -> Evidence:
    data = {"task": "ranking", "query": QUERY, **words.pop("data", {})}
    targets = words.pop("targets", RELEVANCE)
    return evidence(
        kpi, *(limits or (">= 1%",)), student=student, teacher=teacher, targets=targets, data=data, **words
    )


def test_rows_and_lists_are_the_same() -> None:
    """A row for each item in any order, a list for each query with padding, and lists of unequal length."""
    rows = judged("ndcg", ">= 1%", "drop <= 90 pp", k=3)
    order = np.random.default_rng(3).permutation(400)
    mixed = judged(
        "ndcg", ">= 1%", "drop <= 90 pp", k=3, student=STUDENT[order], teacher=TEACHER[order], targets=RELEVANCE[order],
        data={"query": np.array([f"q{q:02}" for q in QUERY])[order]},
    )  # fmt: skip
    padded = np.full((50, 9), np.nan)
    padded[:, :8] = RELEVANCE.reshape(50, 8)
    scores = [np.pad(each.reshape(50, 8), ((0, 0), (0, 1)), constant_values=9.0) for each in (STUDENT, TEACHER)]
    lists = judged(
        "ndcg",
        ">= 1%",
        "drop <= 90 pp",
        k=3,
        student=scores[0],
        teacher=scores[1],
        targets=padded,
        data={"query": None},
    )
    expected = [
        ndcg_score([r], [s], k=3)
        for r, s in zip(RELEVANCE.reshape(50, 8), STUDENT.reshape(50, 8), strict=True)
        if r.any()
    ]
    for found in (rows, mixed, lists):
        assert found.student.value == pytest.approx(100 * np.mean(expected))
        assert found.teacher is not None
        assert found.teacher.value > found.student.value
        assert found.student.n == 50
    assert mixed.worst_samples[:9] == tuple(f"q{int(q):02}" for q in rows.worst_samples[:9])


def test_queries_without_a_relevant_item() -> None:
    """Left out and noted; counted as 0 where that is stated; none at all is an error."""
    empty = int((RELEVANCE.reshape(50, 8).sum(axis=1) == 0).sum())
    left_out, counted = judged("recall_at_k", k=3), judged("recall_at_k", k=3, empty="zero")
    assert f"{empty} of 50 queries have no relevant item and do not count" in left_out.notes
    assert f"{empty} of 50 queries have no relevant item and count as 0" in counted.notes
    assert counted.student.value == pytest.approx(left_out.student.value * (50 - empty) / 50)
    with pytest.raises(MeasurementError, match="hit_rate is undefined: no query has a relevant item"):
        judged("hit_rate", targets=np.zeros(400))


@pytest.mark.parametrize("kpi", ["hit_rate", "recall_at_k", "precision_at_k"])
def test_lists_no_longer_than_k_are_noted(kpi: str) -> None:
    """Eight items in each query: among the first eight any order has the same value, among the first seven not."""
    note = "k=8 takes in all items of 50 of 50 queries: any order gives the same value"
    assert note in judged(kpi, k=8).notes
    assert judged(kpi, k=8).student.value == judged(kpi, student=-STUDENT, k=8).student.value
    assert not any("any order" in text for text in judged(kpi, k=7).notes)
    assert not any("any order" in text for text in judged("ndcg", k=8).notes)


def test_nan_scores_have_no_place() -> None:
    student = STUDENT.copy()
    student[[17, 30]] = np.nan
    with pytest.raises(MeasurementError, match="returned NaN as scores of 2 of 50 queries, such as 2, 3"):
        judged("mrr", student=student)


def test_catalogue() -> None:
    """The same values from ranks alone as from scores; items that a user has seen do not count."""
    rng = np.random.default_rng(4)
    student, teacher = rng.normal(size=(30, 400)), rng.normal(size=(30, 400))
    relevant = [rng.choice(400, 5, replace=False) for _ in range(30)]
    exclude = [rng.choice(np.setdiff1d(np.arange(400), own), 50, replace=False) for own in relevant]
    targets = np.zeros((30, 400))
    for row, (own, seen) in enumerate(zip(relevant, exclude, strict=True)):
        targets[row, own], targets[row, seen] = 1, -1
    words = {"student": student, "teacher": teacher}
    for kpi in ("ndcg", "mrr", "recall_at_k", "top_k_overlap"):
        options = {} if kpi == "mrr" else {"k": 40}
        lists = judged(kpi, **words, targets=targets, data={"query": None}, **options)
        ranked = judged(
            kpi, **words, targets=None, data={"query": None, "relevant": relevant, "exclude": exclude}, **options
        )
        assert ranked.student.value == pytest.approx(lists.student.value), kpi


def test_fidelity() -> None:
    """Overlap by hand, and the correlation of scipy."""
    pairs = list(zip(STUDENT.reshape(50, 8), TEACHER.reshape(50, 8), strict=True))
    common = [len(set(np.argsort(-s)[:3]) & set(np.argsort(-t)[:3])) / 3 for s, t in pairs]
    assert judged("top_k_overlap", k=3).student.value == pytest.approx(100 * np.mean(common))
    expected = np.mean([spearmanr(s, t).statistic for s, t in pairs])
    assert judged("rank_correlation", ">= 0.1").student.value == pytest.approx(expected)
    rounded = judged("rank_correlation", ">= 0.1", student=np.round(STUDENT))
    tied = [spearmanr(np.round(s), t).statistic for s, t in pairs]
    assert rounded.student.value == pytest.approx(np.mean(tied))
    hits = [
        [RELEVANCE.reshape(50, 8)[q][np.argsort(-each)[:1]].any() for q, each in enumerate(both)]
        for both in zip(*pairs, strict=True)
    ]
    lost = np.array(hits[1]) & ~np.array(hits[0])
    full = RELEVANCE.reshape(50, 8).any(axis=1)
    assert judged("lost_hits", "<= 90%", k=1).student.value == pytest.approx(100 * lost[full].mean())


def test_ties_of_both_models() -> None:
    """Equal models agree, tied or not; a constant student agrees as by chance, whichever order the data have."""
    coarse = np.round(STUDENT)
    same = {"student": coarse, "teacher": coarse}
    assert judged("top_k_overlap", k=3, **same).student.value == pytest.approx(100)
    assert judged("lost_hits", "<= 90%", k=1, **same).student.value == 0
    falling = np.tile(np.arange(8.0, 0, -1), 50)
    chance = judged("top_k_overlap", k=2, student=np.zeros(400), teacher=falling)
    assert chance.student.value == pytest.approx(100 * 2 / 8, abs=10)
    constant = judged("lost_hits", "<= 99%", k=2, student=np.zeros(400), teacher=falling, targets=falling > 7)
    assert constant.student.value == pytest.approx(100 * 6 / 8)


def test_infinite_scores_have_a_place() -> None:
    """Items that a model masks by -inf tie; they come last."""
    student = np.where(NOISE[1] < -1, -np.inf, STUDENT)
    pairs = zip(student.reshape(50, 8), TEACHER.reshape(50, 8), strict=True)
    expected = np.mean([spearmanr(s, t).statistic for s, t in pairs])
    assert judged("rank_correlation", ">= 0.1", student=student).student.value == pytest.approx(expected)


@pytest.mark.parametrize("names", [[(q, "web") for q in QUERY.tolist()], QUERY[:, None], torch.tensor(QUERY)])
def test_queries_by_other_names(names: Any) -> None:
    assert judged("ndcg", data={"query": names}).student.value == judged("ndcg").student.value


def test_groups_and_slices_that_divide_queries() -> None:
    """Groups that divide a query are an error; slices that do so have no breakdown, and the report says so."""
    with pytest.raises(MeasurementError, match="the query 0 has samples of the groups 0 and 1"):
        judged("ndcg", data={"group": list(range(400))})
    by_item = judged("ndcg", data={"slices": {"first": np.arange(400) % 8 == 0, "new": QUERY < 20}})
    assert [row["name"] for row in by_item.breakdown] == ["new"]
    assert "no breakdown by first: items of one query are in different slices" in by_item.notes


def test_users_with_several_queries() -> None:
    """Intervals resample users, and slices are those of a query's first row."""
    users = np.repeat(np.arange(5), 80)
    found = judged("ndcg", data={"group": users.tolist(), "slices": {"new": QUERY < 20}})
    assert "5 groups of 50 queries" in found.student.method
    assert {row["name"]: row["n"] for row in found.breakdown} == {"new": 20}


def test_infinite_scores_tie() -> None:
    """Two items of -inf have one rank, as in scipy; their difference would be NaN, which is unequal to 0."""
    student = STUDENT.reshape(50, 8).copy()
    student[:, :3] = -np.inf
    made = judged("rank_correlation", ">= -0.9", student=student.ravel())
    expected = [
        spearmanr(ours, theirs).statistic for ours, theirs in zip(student, TEACHER.reshape(50, 8), strict=True)
    ]
    assert made.student.value == pytest.approx(np.mean(expected))


def test_exponential_gain_of_relevance_that_is_no_grade() -> None:
    with pytest.raises(MeasurementError, match=r"which is up to 2000\. Write gain='linear', or give grades"):
        judged("ndcg", targets=RELEVANCE * 1000, gain="exponential")
    assert judged("ndcg", targets=RELEVANCE * 1000, gain="linear").student.value > 0


def test_groups_hold_whole_queries() -> None:
    """A query in two groups would count for the group of its first row alone."""
    judged("ndcg", data={"group": QUERY // 5})
    with pytest.raises(
        MeasurementError, match="group: the query 0 has samples of the groups 0 and 1. Put all samples"
    ):
        judged("ndcg", data={"group": np.arange(400) % 2})


RELEVANT = [[query % 40, 40 + query % 7] for query in range(30)]
SCORES = np.random.default_rng(5).integers(0, 9, (30, 150)).astype(float)


def catalogue(kpi: str, student: Any, teacher: Any, **options: Any) -> Evidence:
    data = {"query": None, "relevant": RELEVANT}
    return judged(kpi, student=student, teacher=teacher, targets=None, data=data, **options)


@pytest.mark.parametrize("items", [150, 60])
def test_first_items_of_a_catalogue(items: int) -> None:
    """The first of one score are those of one shuffled order, also among more than are kept, and in unsigned numbers."""
    ours, theirs = SCORES[:, :items], SCORES[::-1, :items]
    first = [np.lexsort((np.tile(shuffled(items), (30, 1)), -scores))[:, :20] for scores in (ours, theirs)]
    expected = np.mean([len(np.intersect1d(*pair)) / 20 for pair in zip(*first, strict=True)])
    for kind in (np.float64, np.uint8, np.int64):
        made = catalogue("top_k_overlap", ours.astype(kind), theirs.astype(kind), k=20)
        assert made.student.value == pytest.approx(100 * expected)


def test_catalogues_of_two_sizes_are_not_compared() -> None:
    with pytest.raises(MeasurementError, match="of 150 items for 0, .* and teacher of 100; expected one catalogue"):
        catalogue("top_k_overlap", SCORES, SCORES[:, :100])


@pytest.mark.parametrize(("k", "expected"), [(1, 1.0), (2, 0.5), (3, (1 + 2 / 3) / 3), (5, (1 + 2 / 3 + 3 / 5) / 3)])
def test_average_precision_of_the_first(k: int, expected: float) -> None:
    """Relevant are the first, the third and the fifth; the best list has as many of them as fit into k."""
    assert values("mean_average_precision", [9, 8, 7, 6, 5], [1, 0, 1, 0, 1], k=k)[0] == pytest.approx(expected)


def test_relevant_items_that_are_excluded_do_not_count() -> None:
    """One of two relevant items is seen already: the other one is first, and all that is to be found."""
    scores = np.array([[9.0, 8.0, 7.0, 6.0]] * 4)
    data = {"query": None, "relevant": [[0, 1]] * 4, "exclude": [[0]] * 4}
    for kpi in ("recall_at_k", "mrr", "ndcg", "mean_average_precision"):
        made = judged(kpi, student=scores, teacher=scores, targets=None, data=data)
        assert made.student.value == pytest.approx(100), kpi
