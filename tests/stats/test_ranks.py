"""The area under the ROC curve by ranks: scikit-learn's value, DeLong's covariance, and how often an end is wrong."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtri
from sklearn.metrics import roc_auc_score

from pytest_modelbench.stats.ranks import area_interval, area_of, compare_areas

Array = npt.NDArray[np.float64]
SESSIONS = 300


@given(st.lists(st.tuples(st.booleans(), st.integers(-5, 5)), min_size=2, max_size=60))
def test_area_is_scikit_learns(samples: list[tuple[bool, int]]) -> None:
    """With and without equal scores; undefined where all samples are of one kind."""
    positive, scores = np.array([one for one, _ in samples]), np.array([float(score) for _, score in samples])
    area, influence = area_of(positive, scores)
    if positive.all() or not positive.any():
        assert math.isnan(area)
        return
    assert area == pytest.approx(roc_auc_score(positive, scores))
    assert influence[positive].sum() == pytest.approx(0, abs=1e-9)
    assert influence[~positive].sum() == pytest.approx(0, abs=1e-9)


def placements(positive: npt.NDArray[np.bool_], scores: Array) -> tuple[Array, Array]:
    """Return the placements of both kinds by comparing every pair."""
    high, low = scores[positive][:, None], scores[~positive][None]
    wins = (high > low) + 0.5 * (high == low)
    return wins.mean(axis=1), wins.mean(axis=0)


def test_covariance_is_delongs() -> None:
    """Variances and the covariance of two models, by the sums over all pairs that define them."""
    rng = np.random.default_rng(0)
    positive = rng.random(80) < 0.3
    first = np.round(rng.normal(size=80) + positive, 1)
    second = np.round(first + rng.normal(size=80), 1)
    of = [placements(positive, one) for one in (first, second)]
    sizes = (int(positive.sum()), int((~positive).sum()))
    wanted = sum(np.cov(of[0][kind], of[1][kind]) / sizes[kind] for kind in (0, 1))
    influences = np.stack([area_of(positive, one)[1] for one in (first, second)])
    assert influences @ influences.T == pytest.approx(wanted)


def drawn(rng: np.random.Generator, n: int, shift: float, own: float) -> tuple[npt.NDArray[np.bool_], Array, Array]:
    """Return targets and the scores of teacher and student, who share most of what they see."""
    positive = np.arange(n) < n // 3
    seen = rng.normal(size=n) + shift * positive
    return positive, seen, seen + own * rng.normal(size=n)


def true_area(shift: float, own: float) -> float:
    """Return the area of normal scores: `Phi(shift / sqrt(2 (1 + own^2)))`."""
    return 0.5 * math.erfc(-shift / math.sqrt(2 * (1 + own**2)) / math.sqrt(2))


@pytest.mark.parametrize(("n", "shift"), [(60, 0.5), (60, 2.5), (300, 2.0)], ids=["few", "few, high", "more"])
def test_ends_are_as_often_wrong_as_stated(n: int, shift: float) -> None:
    """Of the area, of the difference and of the ratio: no side more often than its 5% allows by chance."""
    rng = np.random.default_rng(1)
    misses, judged = np.zeros((3, 2)), np.zeros(3)
    truths = [true_area(shift, 0.8), true_area(shift, 0.8) - true_area(shift, 0), 0.0]
    truths[2] = true_area(shift, 0.8) / true_area(shift, 0)
    for _ in range(SESSIONS):
        positive, teacher, student = drawn(rng, n, shift, 0.8)
        ours, theirs = area_of(positive, student), area_of(positive, teacher)
        found = compare_areas(ours, theirs, 0.05, 1.0)
        for row, one in enumerate((area_interval(*ours, 0.05), found.difference, found.ratio)):
            if one is not None and one.low is not None and one.high is not None:  # few sessions have no fault at all
                judged[row] += 1
                misses[row] += truths[row] < one.low, truths[row] > one.high
    assert judged.min() > 0.95 * SESSIONS
    assert misses.max() <= 27  # of 300, at 5%: more in less than 1 of 500 runs


def test_interval_stays_within_what_an_area_can_be() -> None:
    """Also of few samples that are told apart nearly always."""
    positive = np.arange(20) < 10
    scores = np.where(positive, 1.0, 0.0)
    scores[0] = -1.0
    found = area_interval(*area_of(positive, scores), 0.025)
    assert found.low is not None
    assert found.high is not None
    assert 0 < found.low < found.value < found.high < 1


def test_no_fault_gives_no_interval() -> None:
    """An interval without a width would claim that no sample could be told wrongly."""
    positive = np.arange(20) < 10
    area = area_of(positive, positive.astype(float))
    assert area_interval(*area, 0.05).high is None
    compared = compare_areas(area, area, 0.05, 100.0)
    assert compared.difference is not None
    assert (compared.difference.value, compared.difference.low) == (0, None)


@pytest.mark.parametrize(("m", "n", "area"), [(30, 30, 1.0), (200, 50, 0.9), (200, 200, 0.0)])
def test_score_interval_by_hand(m: int, n: int, area: float) -> None:
    """At its ends the area is as many deviations away as alpha says, by Hanley and McNeil's variance there."""
    found = area_interval(area, np.zeros(m + n), 0.05, (m, n))
    assert found.low is not None
    assert found.high is not None
    for end in {found.low, found.high} - {0.0, 1.0}:
        others = (m + n) / 2 - 1
        q1, q2 = end / (2 - end), 2 * end**2 / (1 + end)
        variance = (end * (1 - end) + others * (q1 - end**2) + others * (q2 - end**2)) / (m * n)
        assert abs(area - end) / math.sqrt(variance) == pytest.approx(1.6449, abs=1e-3)
    assert found.low <= area <= found.high
    assert found.high - found.low > 0.005


def test_score_interval_is_delongs_where_that_is_larger() -> None:
    """Of many samples of scores that spread unequally: the normal interval of DeLong's variance."""
    rng = np.random.default_rng(3)
    positive = np.arange(6000) < 5000
    scores = np.where(positive, 1.0 + 0.5 * rng.normal(size=6000), rng.normal(size=6000))
    area, influence = area_of(positive, scores)
    found = area_interval(area, influence, 0.05, (5000, 1000))
    half = 1.6449 * float(np.linalg.norm(influence))
    assert (found.low, found.high) == pytest.approx((area - half, area + half), abs=half / 15)


@pytest.mark.parametrize("area", [0.95, 0.99, 0.999])
def test_near_one_no_end_is_wrong_more_often_than_stated(area: float) -> None:
    """Also with unequal spread, where the logit interval's lower end is above the truth in up to a third of cases."""
    rng, shift = np.random.default_rng(4), math.sqrt(1.25) * float(ndtri(area))
    positive, misses = np.arange(300) < 200, np.zeros((2, 2))
    spread = np.where(positive, 0.5, 1.0)
    for _ in range(SESSIONS):
        shared = rng.normal(size=300)
        both = [shift * positive + spread * (0.8 * shared + 0.6 * rng.normal(size=300)) for _ in range(2)]
        ours, theirs = (area_of(positive, scores) for scores in both)
        gap = compare_areas(ours, theirs, 0.05, 1.0, (200, 100)).difference
        own = area_interval(*ours, 0.05, (200, 100))
        for row, truth, one in ((0, area, own), (1, 0.0, gap)):
            if one is not None and one.low is not None and one.high is not None:
                misses[row] += truth < one.low - 1e-9, truth > one.high + 1e-9
    assert misses.max() <= 27


def test_perfect_separation_has_an_interval_by_sizes() -> None:
    """Of the area, and of its difference from a model that is not perfect."""
    positive = np.arange(60) < 30
    perfect = area_of(positive, positive.astype(float))
    other = area_of(positive, np.where(np.arange(60) == 0, -1.0, positive.astype(float)))
    own = area_interval(*perfect, 0.05, (30, 30))
    assert own.high == 1
    assert 0.9 < (own.low or 0) < 0.97
    gap = compare_areas(perfect, other, 0.05, 1.0, (30, 30)).difference
    assert gap is not None
    assert gap.value == pytest.approx(1 / 30)
    assert (gap.low or 0) < 0 < gap.value < (gap.high or 0)


@pytest.mark.parametrize("area", [1.0, 0.95, 0.0], ids=["perfect", "one fault", "all wrong"])
def test_models_that_rank_alike_differ_by_less_the_more_samples_there_are(area: float) -> None:
    """By sizes the difference has ends on both sides of 0: 5 and 5 samples pass no limit of 3 pp, 2,000 of each do."""
    halves = []
    for each in (5, 2000):
        positive = np.arange(2 * each) < each
        scores = np.where(positive, 1.0, 0.0) if area else np.where(positive, 0.0, 1.0)
        if 0 < area < 1:
            scores[: max(1, each // 20)] = -1.0
        of = area_of(positive, scores)
        gap = compare_areas(of, of, 0.05, 100.0, (each, each)).difference
        assert gap is not None
        assert gap.low is not None
        assert gap.high is not None
        assert gap.low < 0 == gap.value < gap.high
        halves.append(max(-gap.low, gap.high))
    assert halves[0] > 3 > halves[1]
