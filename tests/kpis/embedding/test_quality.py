"""Retrieval, pairs and triplets: values of libraries and by hand, what is left out, and what does not fit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import ndcg_score, roc_auc_score
from sklearn.neighbors import NearestNeighbors
from tables import evidence

from pytest_modelbench.errors import MeasurementError
from pytest_modelbench.kpis.embedding.left_out import left_of_labels
from pytest_modelbench.kpis.embedding.retrieval import VALUES
from pytest_modelbench.results import Evidence
from pytest_modelbench.stats.shared_members import spearman, variance_of

RNG = np.random.default_rng(0)
N, K = 60, 5
LABELS = RNG.integers(0, 6, N)
TEACHER = RNG.normal(size=(6, 8))[LABELS] + 0.6 * RNG.normal(size=(N, 8))
STUDENT = TEACHER @ RNG.normal(size=(8, 4)) + 0.5 * RNG.normal(size=(N, 4))
PAIRS = np.stack([np.arange(N), (np.arange(N) * 7 + 1) % N], axis=1)
RATINGS = np.round(RNG.random(N), 1)


def judged(kpi: str, *limits: str, student: Any = STUDENT, teacher: Any = TEACHER, **words: Any) -> Evidence:
    data = {"task": "embedding", **words.pop("data", {})}
    targets = words.pop("targets", LABELS)
    limits = limits or (">= 0.01%" if "retrieval" in kpi or "triplet" in kpi else ">= 0.01",)
    return evidence(kpi, *limits, student=student, teacher=teacher, targets=targets, data=data, **words)


def similar(vectors: Any, metric: str) -> Any:
    """Return similarities of all pairs, (n, n)."""
    if metric == "euclidean":
        return -np.linalg.norm(vectors[:, None] - vectors[None], axis=-1)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True) if metric == "cosine" else vectors
    return unit @ unit.T


def relevant_among_nearest(metric: str, k: int) -> Any:
    """Return whether the k nearest by scikit-learn, or by sorting dot products, have the query's label."""
    if metric == "dot":
        scores = similar(STUDENT, "dot")
        np.fill_diagonal(scores, -np.inf)
        near = np.argsort(-scores, axis=1)[:, :k]
    else:
        near = NearestNeighbors(n_neighbors=k, metric=metric).fit(STUDENT).kneighbors()[1]
    return LABELS[near] == LABELS[:, None]


@pytest.mark.parametrize("metric", ["cosine", "dot", "euclidean"])
def test_retrieval_by_labels_equals_scikit_learn(metric: str) -> None:
    hits, totals = relevant_among_nearest(metric, K), np.bincount(LABELS)[LABELS] - 1
    data = {"metric": metric}
    recall = judged("retrieval_recall", k=K, data=data).student
    assert recall.value == pytest.approx(100 * (hits.sum(axis=1) / totals).mean())
    assert f"the 5 nearest of 60 by {metric}" in recall.method
    assert judged("retrieval_precision", k=K, data=data).student.value == pytest.approx(100 * hits.mean())
    first = np.where(hits.any(axis=1), 1 / (hits.argmax(axis=1) + 1), 0)
    assert judged("retrieval_mrr", k=K, data=data).student.value == pytest.approx(100 * first.mean())
    scores = similar(STUDENT, metric)
    gains = [ndcg_score([np.delete(LABELS[i] == LABELS, i)], [np.delete(scores[i], i)], k=K) for i in range(N)]
    assert judged("retrieval_ndcg", k=K, data=data).student.value == pytest.approx(100 * np.mean(gains))


def test_queries_search_a_corpus() -> None:
    """By hand: the first query finds its document first, the second one second; the third has none in the corpus."""
    vectors = np.array([[1.0, 0], [0, 1], [1, 1], [1, 0.1], [0.1, 0.9], [0.2, 0.7]])
    data = {"queries": ["a", "b", "c"], "relevant": [["d"], ["f"], ["a"]], "ids": list("abcdef")}
    words: dict[str, Any] = {"student": vectors, "teacher": vectors, "targets": None, "data": data}
    found = judged("retrieval_mrr", k=2, **words)
    assert found.student.value == pytest.approx(75)
    assert found.worst_samples == ("b",)
    assert "1 queries without a relevant sample in the corpus do not count" in found.notes
    assert judged("retrieval_recall", k=1, **words).student.value == pytest.approx(50)
    with pytest.raises(MeasurementError, match="k=4, and the corpus of a query has 3 samples; expected 4 or more"):
        judged("retrieval_mrr", k=4, **words)


def test_retrieval_without_anything_relevant() -> None:
    with pytest.raises(MeasurementError, match=r"Write EvalData\(..., targets=labels\), or queries= with relevant="):
        judged("retrieval_recall", targets=None)
    with pytest.raises(MeasurementError, match="no query has a relevant sample in the corpus, other than itself"):
        judged("retrieval_recall", targets=np.arange(N))


def test_copies_come_in_the_order_of_the_corpus() -> None:
    """Of equally near samples the first ones count."""
    vectors = np.repeat([[1.0, 0.0], [0.0, 1.0]], [5, 1], axis=0)
    labels = [0, 1, 1, 1, 0, 1]
    found = judged(
        "retrieval_precision", k=1, student=vectors, teacher=vectors, targets=labels, data={"corpus": range(6)}
    )
    # the nearest of 0 is 1, of all other copies 0, of the last 0
    assert found.student.value == pytest.approx(100 * np.mean([0, 0, 0, 0, 1, 0]))


@pytest.mark.parametrize("measure", list(VALUES))
def test_samples_left_out_equal_a_search_without_them(measure: str) -> None:
    """Each sample is left out of queries and corpus, and all is computed again."""
    labels = np.concatenate([LABELS[:20], [7, 7]])
    vectors = STUDENT[:22]
    scores = similar(vectors, "cosine")
    np.fill_diagonal(scores, -np.inf)
    order = np.argsort(-scores, axis=1)

    def mean(kept: Any) -> float:
        inside = np.isin(order, kept)
        near = np.array([row[its][:K] for row, its in zip(order, inside, strict=True)])[kept]
        totals = np.bincount(labels[kept])[labels[kept]] - 1
        hits = (labels[near] == labels[kept][:, None]).astype(float)
        counts = totals > 0
        return float(VALUES[measure](hits[counts], totals[counts]).mean())

    found = order[:, : K + 1]
    hits = (labels[found] == labels[:, None]).astype(float)
    queries = np.flatnonzero(np.bincount(labels)[labels] > 1)
    left = left_of_labels(np.arange(22), labels, queries, (found[queries], hits[queries]), VALUES[measure])
    assert left.means == pytest.approx([mean(np.delete(np.arange(22), i)) for i in range(22)])


def test_correlation_with_ratings_equals_scipy() -> None:
    data = {"pairs": PAIRS, "similarity": RATINGS}
    expected = spearmanr(similar(STUDENT, "cosine")[PAIRS[:, 0], PAIRS[:, 1]], RATINGS).statistic
    found = judged("sts_correlation", "drop <= 90%", data=data)
    assert found.student.value == pytest.approx(expected)
    assert found.teacher is not None
    assert "60 rated pairs; dyadic variance of 60 samples" in found.student.method
    with pytest.raises(MeasurementError, match="similarities or ratings are equal"):
        judged("sts_correlation", data={"pairs": PAIRS, "similarity": np.ones(N)})
    with pytest.raises(MeasurementError, match=r"it needs rated pairs. Write EvalData\(..., pairs="):
        judged("sts_correlation")


def test_verification_equals_scikit_learn() -> None:
    same = LABELS[PAIRS[:, 0]] == LABELS[PAIRS[:, 1]]
    expected = roc_auc_score(same, similar(STUDENT, "euclidean")[PAIRS[:, 0], PAIRS[:, 1]])
    found = judged("verification_auc", "drop <= 90%", data={"pairs": PAIRS, "same": same, "metric": "euclidean"})
    assert found.student.value == pytest.approx(expected)
    with pytest.raises(MeasurementError, match="needs pairs of both kinds, and all have same=False"):
        judged("verification_auc", data={"pairs": PAIRS, "same": np.zeros(N, dtype=bool)})


def test_triplets_by_hand() -> None:
    """The second one is a tie, which is wrong."""
    vectors = np.array([[1.0, 0], [1, 0.2], [0, 1], [1, 0.2]])
    data = {"triplets": [(0, 1, 2), (0, 1, 3), (2, 1, 0), (2, 0, 1)]}
    found = judged("triplet_accuracy", student=vectors, teacher=vectors, targets=None, data=data)
    assert found.student.value == 50
    assert found.worst_samples == ("0", "2")


def test_influence_of_ranks_is_that_of_leaving_out() -> None:
    """Each pair's part of the error, with ties, is what the correlation loses without the pair."""
    rng = np.random.default_rng(1)
    x = np.round(rng.normal(size=400), 1)
    y = np.round(x + rng.normal(size=400), 1)
    value, influence = spearman(x, y)
    assert value == pytest.approx(spearmanr(x, y).statistic)
    left = [value - spearmanr(np.delete(x, i), np.delete(y, i)).statistic for i in range(60)]
    np.testing.assert_allclose(influence[:60], left, atol=2e-4)


def test_variance_counts_each_product_of_terms_that_share_members_once() -> None:
    rng = np.random.default_rng(2)
    members, influence = rng.integers(0, 9, (40, 3)), rng.normal(size=40)
    shared = [[bool(set(a) & set(b)) for b in members.tolist()] for a in members.tolist()]
    expected = influence @ np.array(shared) @ influence
    assert variance_of(influence, members) == pytest.approx(max(expected, influence @ influence) * 9 / 8)
