"""The Hellinger distance of counts, and its interval."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.stats import ncx2

from pytest_modelbench.stats.design_effect import design_effect
from pytest_modelbench.stats.hellinger import distance_of, hellinger, noncentrality

TEN = np.full(10, 0.1)


def test_by_hand() -> None:
    """Shares of 1/2, 1/2 and 1/5, 4/5: one minus the sum of root(1/10) and root(4/10), and its root."""
    expected = math.sqrt(1 - math.sqrt(0.1) - math.sqrt(0.4))
    assert distance_of(np.array([50.0, 50.0]), np.array([20.0, 80.0])) == pytest.approx(expected)
    distance = hellinger(np.array([50.0, 50.0]), np.array([[20.0, 80.0]]), 0.05)
    assert distance.estimate.value == pytest.approx(expected)
    assert distance.kinds == 2
    assert distance.effective == 100


@pytest.mark.parametrize("freedom", [1, 9, 199])
@pytest.mark.parametrize("share", [0.05, 0.95])
def test_noncentrality_is_that_of_scipy(freedom: int, share: float) -> None:
    """The root of scipy.stats.ncx2, and 0 where there is none."""
    statistic = freedom + 6 * math.sqrt(2 * freedom)
    expected = brentq(lambda value: ncx2.cdf(statistic, freedom, value) - share, 1e-9, 50 * statistic)
    assert noncentrality(statistic, freedom, share) == pytest.approx(expected, rel=1e-6)
    assert noncentrality(freedom / 2, freedom, 0.95) == 0


def test_errors_of_both_ends() -> None:
    """At no distance and at one of 0.1, each end errs in about 5% of samples."""
    rng = np.random.default_rng(0)
    tilted = np.array([0.145, *[0.095] * 9])
    for chances in (TEN, tilted):
        true = distance_of(TEN, chances)
        low = high = 0
        for _ in range(1000):
            base = rng.multinomial(1500, TEN).astype(float)
            estimate = hellinger(base, rng.multinomial(700, chances)[None].astype(float), 0.05).estimate
            assert estimate.low is not None
            assert estimate.high is not None
            low, high = low + (estimate.low > true), high + (estimate.high < true)
        assert low <= 75
        assert high <= 75


def test_counting_noise_is_no_drift() -> None:
    """The plain distance of few samples is large, and the interval begins at 0."""
    rng = np.random.default_rng(1)
    drawn = rng.multinomial(100, TEN).astype(float)
    estimate = hellinger(drawn, rng.multinomial(100, TEN)[None].astype(float), 0.05).estimate
    assert estimate.value > 0.08
    assert estimate.low == 0


def test_bursts_are_worth_fewer_samples() -> None:
    """Rows that come in fives have a fifth of their number; independent ones keep theirs."""
    rng = np.random.default_rng(2)
    clusters = rng.multinomial(200, TEN, size=30).astype(float)
    assert hellinger(np.full(10, 500.0), 5 * clusters, 0.05).effective == pytest.approx(6000, rel=0.25)
    assert hellinger(np.full(10, 500.0), clusters, 0.05).effective == pytest.approx(6000, rel=0.25)
    assert design_effect(5 * clusters) == pytest.approx(5, rel=0.25)
    assert design_effect(clusters[:3]) == 1


def test_equal_counts_are_not_certain() -> None:
    """A distance of 0 has the upper end of the average noise."""
    estimate = hellinger(np.full(10, 100.0), np.full((1, 10), 100.0), 0.05).estimate
    assert estimate.value == 0
    assert estimate.high == pytest.approx(math.sqrt(noncentrality(9, 9, 0.05) / 4000))


def test_too_few_samples_say_nothing() -> None:
    """Three rows of two classes may be at any distance; of one class they are bounded a little."""
    few = hellinger(np.array([500.0, 500.0]), np.array([[1.0, 2.0]]), 0.05).estimate
    assert (few.low, few.high) == (0.0, 1.0)
    one = hellinger(np.array([1000.0]), np.array([[3.0]]), 0.05).estimate
    assert one.high == pytest.approx(0.63, abs=0.01)


def test_rare_classes_count_as_one() -> None:
    """A long tail of classes with one sample each does not fill the distance with noise."""
    base = np.array([900.0, *[1.0] * 100])
    now = np.array([[900.0, *[0.0] * 50, *[2.0] * 50]])
    distance = hellinger(base, now, 0.05)
    assert distance.kinds == 2
    assert distance.joined == 100
    assert distance.estimate.value == 0


def test_many_small_classes_raise_no_alarm() -> None:
    """Two samples of one long tail: the lower end is above 0 in about 5% of pairs, as the error states."""
    rng = np.random.default_rng(3)
    tail = 1 / np.arange(1, 1001)
    tail /= tail.sum()
    alarms = 0
    for _ in range(300):
        base, now = (rng.multinomial(size, tail).astype(float) for size in (10_000, 100_000))
        alarms += (hellinger(base, now[None], 0.05).estimate.low or 0.0) > 0
    assert alarms <= 27  # without what is added to counts 17% of them


@given(st.lists(st.integers(0, 10_000), min_size=2, max_size=30), st.integers(0, 2**32 - 1))
def test_the_ends_are_in_order(counts: list[int], seed: int) -> None:
    """For any counts: 0 <= low <= value <= high <= 1."""
    base = np.array(counts, dtype=float) + 1
    rng = np.random.default_rng(seed)
    other = rng.multinomial(int(rng.integers(1, 5000)), rng.dirichlet(np.ones(len(base))))[None].astype(float)
    estimate = hellinger(base, other, 0.05).estimate
    assert estimate.low is not None
    assert estimate.high is not None
    assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1
