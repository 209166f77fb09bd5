"""Intervals of one model's value."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from pytest_modelbench.stats.intervals import (
    FloatArray,
    effective_size,
    mean_interval,
    needed_values,
    percentile_interval,
    share_interval,
)


def clusters_of(values: FloatArray, count: int) -> list[FloatArray]:
    return list(np.split(values, count))


def autocorrelated(rng: np.random.Generator, count: int, length: int, rho: float) -> list[FloatArray]:
    """Clusters of a stationary AR(1) series each."""
    found = []
    for _ in range(count):
        shocks = rng.normal(0, math.sqrt(1 - rho**2), length)
        series = np.empty(length)
        series[0] = rng.normal()
        for i in range(1, length):
            series[i] = rho * series[i - 1] + shocks[i]
        found.append(series)
    return found


def test_share_is_wilsons() -> None:
    """Hand-worked: 8 of 10 at 95% two-sided is [0.4902, 0.9433] (Wilson 1927)."""
    estimate = share_interval(8, 10, 0.025)
    assert (round(estimate.low or 0, 4), round(estimate.high or 0, 4)) == (0.4902, 0.9433)


def test_mean_is_students() -> None:
    """The ends agree with scipy's t interval."""
    values = [1.0, 2.0, 4.0, 7.0]
    estimate = mean_interval(values, 0.05)
    reference = stats.t.interval(0.9, 3, np.mean(values), stats.sem(values))
    assert (estimate.low, estimate.high) == pytest.approx(reference)


def test_one_value_supports_no_interval() -> None:
    """A single placement proves nothing."""
    estimate = mean_interval([3.0], 0.05)
    assert estimate.low == -math.inf
    assert estimate.high == math.inf


@pytest.mark.parametrize(("p", "alpha", "expected"), [(0.99, 0.05, 299), (0.99, 0.01, 459), (0.5, 0.05, 5)])
def test_values_that_a_bound_needs(p: float, alpha: float, expected: int) -> None:
    """The sample sizes of the order-statistic bound, from 1 - p**n >= 1 - alpha."""
    assert needed_values(p, alpha) == expected


def test_percentile_of_independent_values_is_clopper_pearson() -> None:
    """With a cluster for every value the ends are the classical order statistics."""
    values = np.random.default_rng(0).permutation(np.arange(1.0, 1001.0))
    estimate, size = percentile_interval(clusters_of(values, 1000), 0.5, 0.025)
    low, high = (float(stats.binom.ppf(q, 1000, 0.5)) for q in (0.025, 0.975))
    assert size == pytest.approx(1000, rel=0.01)
    assert estimate.low == pytest.approx(low, abs=2)
    assert estimate.high == pytest.approx(high, abs=2)


def test_percentile_without_support_has_no_upper_end() -> None:
    """A p99 from 200 calls is never bounded from above; its lower end still is."""
    values = np.random.default_rng(1).normal(size=200)
    estimate, _ = percentile_interval(clusters_of(values, 20), 0.99, 0.05)
    assert estimate.high == math.inf
    assert estimate.low is not None
    assert math.isfinite(estimate.low)


def test_one_cluster_supports_nothing() -> None:
    """What happens within one placement says nothing of another."""
    estimate, size = percentile_interval([np.arange(10_000.0)], 0.5, 0.05)
    assert size == 1.0
    assert estimate.high == math.inf


def test_effective_size_sees_clusters() -> None:
    """Values that are equal within a cluster are worth one each cluster; independent ones are worth themselves."""
    rng = np.random.default_rng(3)
    levels = rng.normal(size=50)
    assert effective_size([np.full(40, level) + rng.normal(0, 1e-6, 40) for level in levels], 0.5) < 80
    assert effective_size(clusters_of(rng.normal(size=2000), 50), 0.5) > 1000


@given(st.integers(0, 2**32 - 1), st.sampled_from((0.5, 0.9, 0.99)))
def test_interval_contains_its_value(seed: int, p: float) -> None:
    """Whatever the sample, low <= value <= high."""
    values = np.random.default_rng(seed).exponential(size=240)
    estimate, size = percentile_interval(clusters_of(values, 12), p, 0.05)
    assert estimate.low is not None
    assert estimate.high is not None
    assert estimate.low <= estimate.value <= estimate.high
    assert 0 < size <= 240


def test_coverage_under_autocorrelation() -> None:
    """Under AR(1) with 0.9, where independent intervals cover 59%, each side errs at most at its nominal rate."""
    rng = np.random.default_rng(4)
    misses_low = misses_high = 0
    runs = 300
    for _ in range(runs):
        estimate, _ = percentile_interval(autocorrelated(rng, 12, 60, 0.9), 0.5, 0.05)
        misses_low += (estimate.low or 0) > 0
        misses_high += (estimate.high or 0) < 0
    for misses in (misses_low, misses_high):
        assert stats.binomtest(misses, runs, 0.05, alternative="greater").pvalue > 0.01
