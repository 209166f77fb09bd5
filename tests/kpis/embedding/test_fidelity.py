"""Student's and teacher's spaces beside each other: by plain formulas, invariances, and vectors that do not compare."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ortho_group, spearmanr
from tables import evidence

from pytest_modelbench.errors import MeasurementError
from pytest_modelbench.kpis.embedding import neighbours, pairs
from pytest_modelbench.kpis.embedding.neighbours import overlap_of
from pytest_modelbench.kpis.embedding.spaces import aligned
from pytest_modelbench.results import Evidence

RNG = np.random.default_rng(0)
N, K = 50, 5
TEACHER = RNG.normal(size=(N, 8)) + 1
STUDENT = TEACHER @ RNG.normal(size=(8, 3)) + 0.5 * RNG.normal(size=(N, 3))


def judged(kpi: str, *, student: Any = STUDENT, teacher: Any = TEACHER, **words: Any) -> Evidence:
    data = {"task": "embedding", **words.pop("data", {})}
    limit = ">= 1%" if kpi == "neighbour_overlap" else ">= 0.01"
    return evidence(kpi, limit, student=student, teacher=teacher, targets=None, data=data, **words)


def order_of(vectors: Any) -> Any:
    """Return all others by cosine, nearest first, (n, n - 1)."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    scores = unit @ unit.T
    np.fill_diagonal(scores, -np.inf)
    return np.argsort(-scores, axis=1)[:, :-1]


def common(first: Any, second: Any, k: int) -> Any:
    return np.array([len(set(a[:k]) & set(b[:k])) / k for a, b in zip(first, second, strict=True)])


def test_overlap_of_neighbours_by_sets() -> None:
    shares = common(order_of(STUDENT), order_of(TEACHER), K)
    found = judged("neighbour_overlap", k=K, data={"slices": {"dark": np.arange(N) < 20}})
    assert found.student.value == pytest.approx(100 * shares.mean())
    assert found.worst_samples[0] == str(int(shares.argmin()))
    assert found.breakdown[0]["student"] == pytest.approx(100 * shares[:20].mean())
    assert "unrelated models have 10%" in found.notes
    with pytest.raises(MeasurementError, match="k=49 needs at least 51 samples, and there are 50"):
        judged("neighbour_overlap", k=49)


def test_changes_without_a_neighbour_equal_another_search() -> None:
    """The next neighbour takes the place of the one that is left out, in both lists."""
    first, second = order_of(STUDENT), order_of(TEACHER)
    shares, of, members, changes = overlap_of(first[:, : K + 1], second[:, : K + 1], K)
    for query in range(N):
        near = of == query
        assert sorted(members[near]) == sorted(set(first[query, :K]) | set(second[query, :K]))
        for member, change in zip(members[near], changes[near], strict=True):
            without = [[row[row != member] for row in order[query : query + 1]] for order in (first, second)]
            assert shares[query] + change == pytest.approx(common(without[0], without[1], K)[0])


def test_a_copy_of_the_teacher_agrees_wholly_and_is_decided() -> None:
    """Also of another scale and rotation: neighbours, similarities and alignment stay."""
    turned = 3 * TEACHER @ ortho_group.rvs(8, random_state=0)
    overlap = judged("neighbour_overlap", student=turned, k=K).student.estimate
    assert overlap.value == 100
    assert overlap.low is not None
    assert overlap.low < 100
    assert judged("similarity_correlation", student=turned).student.value == pytest.approx(1, abs=1e-6)
    assert judged("cka", student=turned).student.value == pytest.approx(1)
    assert judged("embedding_cosine", student=2 * TEACHER).student.value == pytest.approx(1)


def unbiased(a: Any, b: Any) -> float:
    """Return HSIC_1 of Song et al. (2012), equation 5, from kernels without their diagonals."""
    n = len(a)
    k, m = (kernel - np.diag(np.diag(kernel)) for kernel in (a @ a.T, b @ b.T))
    rest = k.sum() * m.sum() / ((n - 1) * (n - 2)) - 2 / (n - 2) * (k @ m).sum()
    return float((np.trace(k @ m) + rest) / (n * (n - 3)))


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10**6), width=st.integers(2, 12))
def test_alignment_equals_the_formula_of_kernels(seed: int, width: int) -> None:
    """Of all samples, and without each part; its rotation and scale do not matter."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(30, 6)) * np.arange(1, 7)
    y = x @ rng.normal(size=(6, width)) + rng.normal(size=(30, width))

    def of(a: Any, b: Any) -> float:
        return float(unbiased(a, b) / np.sqrt(unbiased(a, a) * unbiased(b, b)))

    parts = [np.array([0, 5]), np.array([7])]
    whole, left = aligned(x, y, parts)
    assert whole == pytest.approx(of(x, y))
    assert left == pytest.approx([of(np.delete(x, part, 0), np.delete(y, part, 0)) for part in parts])
    assert aligned(2 * x @ ortho_group.rvs(6, random_state=seed), y, parts)[0] == pytest.approx(whole)


def test_alignment_of_many_samples_is_that_of_kornblith() -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(4000, 5))
    y = x @ rng.normal(size=(5, 3))
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    plain = (np.linalg.norm(x.T @ y) ** 2) / (np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y))
    assert aligned(x, y, [np.array([0])])[0] == pytest.approx(plain, abs=1e-3)


def test_similarities_of_all_pairs_and_of_some(monkeypatch: pytest.MonkeyPatch) -> None:
    """All pairs equal scipy; of many, a draw of different pairs, which says so."""
    first, second = np.triu_indices(N, 1)
    unit = [vectors / np.linalg.norm(vectors, axis=1, keepdims=True) for vectors in (STUDENT, TEACHER)]
    expected = spearmanr(*[(its[first] * its[second]).sum(axis=1) for its in unit]).statistic
    found = judged("similarity_correlation").student
    assert found.value == pytest.approx(expected, abs=1e-5)
    assert "all 1,225 pairs" in found.method
    monkeypatch.setattr(pairs, "MOST_PAIRS", 400)
    drawn = judged("similarity_correlation").student
    assert "400 pairs drawn of 1,225" in drawn.method
    assert drawn.value == pytest.approx(expected, abs=0.1)


def test_large_data_are_searched_for_a_draw_of_queries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "MOST_SIMILARITIES", 100)
    monkeypatch.setattr(neighbours, "FEWEST_QUERIES", 30)
    monkeypatch.setattr(neighbours, "BLOCK", 200)
    found = judged("neighbour_overlap", k=K, data={"slices": {"dark": np.arange(N) < 20}})
    assert "of 30 samples drawn of 50" in found.student.method
    drawn = neighbours.drawn_queries(np.arange(N), N, 0)
    assert len(set(drawn)) == 30
    shares = common(order_of(STUDENT), order_of(TEACHER), K)
    assert found.student.value == pytest.approx(100 * shares[drawn].mean())


def test_cosine_needs_one_width() -> None:
    near = TEACHER + 0.1
    unit = [vectors / np.linalg.norm(vectors, axis=1, keepdims=True) for vectors in (near, TEACHER)]
    found = judged("embedding_cosine", student=near)
    assert found.student.value == pytest.approx((unit[0] * unit[1]).sum(axis=1).mean())
    with pytest.raises(
        MeasurementError, match="the student's have 3 numbers, the teacher's 8. Write neighbour_overlap"
    ):
        judged("embedding_cosine")


@pytest.mark.parametrize(
    ("at", "value", "metric", "message"),
    [
        ([3, 5], np.nan, "cosine", "vectors with NaN or infinite values for 2 of 50 samples, such as 3, 5"),
        ([4], 0.0, "cosine", "vectors of zeros, which have no direction for metric='cosine', for 1 of 50 .* as 4"),
        (slice(None), 2.0, "euclidean", "returned the same vector for all 50 samples"),
    ],
)
def test_vectors_that_cannot_be_compared(at: Any, value: float, metric: str, message: str) -> None:
    student = STUDENT.copy()
    student[at] = value
    with pytest.raises(MeasurementError, match=message):
        judged("cka", student=student, data={"metric": metric})


def test_groups_widen_intervals() -> None:
    """Five samples of each identity are worth less than five that are independent."""
    copies = np.repeat(np.arange(N), 4)
    rng = np.random.default_rng(5)
    student, teacher = (its[copies] + 0.01 * rng.normal(size=(4 * N, its.shape[1])) for its in (STUDENT, TEACHER))
    for kpi in ("cka", "similarity_correlation", "neighbour_overlap"):
        widths = []
        for group in (None, copies.tolist()):
            words: dict[str, Any] = {"student": student, "teacher": teacher, "confidence": 0.95}
            ends = judged(kpi, data={"group": group}, **words).student.estimate
            assert ends.low is not None
            assert ends.high is not None
            widths.append(ends.high - ends.low)
        assert widths[1] > 1.3 * widths[0]
