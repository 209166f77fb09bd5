"""Timed comparisons with placements as the independent unit."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from pytest_modelbench.results import Comparison, Estimate
from pytest_modelbench.stats.clustered import compare_means, compare_medians, compare_percentiles, widen
from pytest_modelbench.stats.intervals import FloatArray

Nested = list[list[FloatArray]]


def timed(rng: np.random.Generator, level: float, placements: int, spread: float = 0.0) -> Nested:
    """Placements of three rounds of 40 calls; `spread` moves whole placements."""
    return [
        [level * math.exp(rng.normal(0, spread)) * rng.lognormal(0, 0.02, 40) for _ in range(3)]
        for _ in range(placements)
    ]


def test_ratio_of_constants_is_exact() -> None:
    """Hand-worked: 3 against 2 is 1.5 and 1, without spread."""
    student = [[np.full(4, 3.0)], [np.full(4, 3.0)]]
    teacher = [[np.full(4, 2.0)], [np.full(4, 2.0)]]
    comparison = compare_medians(student, teacher, 0.05)
    assert comparison.ratio is not None
    assert comparison.difference is not None
    assert (comparison.ratio.low, comparison.ratio.value, comparison.ratio.high) == pytest.approx((1.5, 1.5, 1.5))
    assert comparison.difference.value == 1.0


def test_means_are_compared_as_means() -> None:
    """A tail of slow calls counts in full, however small the rounds: a geometric mean would hide it."""
    rng = np.random.default_rng(3)
    student = [[np.where(rng.random(4) < 0.1, 10.0, 1.0)] for _ in range(400)]
    teacher = [[np.full(4, 1.83)] for _ in range(400)]
    ratio = compare_means(student, teacher, 0.05).ratio
    assert ratio is not None
    pooled = float(np.mean(np.concatenate([r for rounds in student for r in rounds]))) / 1.83
    assert ratio.value == pytest.approx(pooled)
    assert (ratio.low or 0) < 1.9 / 1.83 < (ratio.high or 0)


def test_medians_of_small_rounds_do_not_hide_the_median_of_all_calls() -> None:
    """The interval reaches to the ratio of the pooled medians, which the readings show."""
    rng = np.random.default_rng(3)
    student = [[np.where(rng.random(2) < 0.45, 1.0, 3.0)] for _ in range(300)]
    teacher = [[np.full(2, 2.5)] for _ in range(300)]
    ratio = compare_medians(student, teacher, 0.05).ratio
    assert ratio is not None
    assert (ratio.low or 0) < 1 < 3 / 2.5 <= (ratio.high or 0)


def test_drift_common_to_both_cancels() -> None:
    """A machine that slows down by half in the middle of the measurement moves no ratio."""
    rng = np.random.default_rng(0)
    drift = np.linspace(1, 1.5, 12)
    student = [[2.0 * d * rng.lognormal(0, 0.01, 50)] for d in drift]
    teacher = [[1.0 * d * rng.lognormal(0, 0.01, 50)] for d in drift]
    ratio = compare_medians(student, teacher, 0.05).ratio
    assert ratio is not None
    assert (ratio.high or 0) - (ratio.low or 0) < 0.02
    assert ratio.value == pytest.approx(2.0, rel=0.01)


def test_fast_and_slow_minutes_are_compared_within_rounds() -> None:
    """Half of a session in a slow phase, and one round split by it: the pooled medians are 0.71, the rounds' are 1."""
    rng = np.random.default_rng(0)
    level = np.repeat([1.0, 1.4], 6)
    student = [[phase * rng.lognormal(0, 0.005, 50) for _ in range(3)] for phase in np.append(level, 1.0)]
    teacher = [[phase * rng.lognormal(0, 0.005, 50) for _ in range(3)] for phase in np.append(level, 1.4)]
    pooled = [float(np.median(np.concatenate([c for r in one for c in r]))) for one in (student, teacher)]
    assert pooled[0] / pooled[1] < 0.75
    ratio = compare_medians(student, teacher, 0.05).ratio
    assert ratio is not None
    assert 0.98 < (ratio.low or 0) < 1 < (ratio.high or 0) < 1.02


def test_unequal_rounds_are_a_defect() -> None:
    """Rounds that do not pair up are never silently cut."""
    with pytest.raises(ValueError, match="zip"):
        compare_medians([[np.ones(3)]], [[np.ones(3), np.ones(3)]], 0.05)


@pytest.mark.parametrize("statistic", ["mean", "median", "percentile"])
def test_coverage_when_placements_move(statistic: str) -> None:
    """With placements spread by 1%, each side of the ratio errs at most at its nominal rate."""
    rng = np.random.default_rng(7)
    runs, misses_low, misses_high = 200, 0, 0
    for _ in range(runs):
        student, teacher = timed(rng, 1.0, 10, 0.01), timed(rng, 1.0, 10, 0.01)
        if statistic == "mean":
            ratio = compare_means(student, teacher, 0.05).ratio
        elif statistic == "median":
            ratio = compare_medians(student, teacher, 0.05).ratio
        else:
            ratio = compare_percentiles(student, teacher, 0.9, 0.05, seed=0).ratio
        assert ratio is not None
        misses_low += (ratio.low or 0) > 1
        misses_high += (ratio.high or 0) < 1
    for misses in (misses_low, misses_high):
        assert stats.binomtest(misses, runs, 0.05, alternative="greater").pvalue > 0.01


def test_unsupported_percentile_is_never_compared() -> None:
    """A p99 of a hundred calls has no ratio that could decide anything."""
    rng = np.random.default_rng(1)
    ratio = compare_percentiles(timed(rng, 1, 3), timed(rng, 9, 3), 0.99, 0.05, seed=0).ratio
    assert ratio is not None
    assert (ratio.low, ratio.high) == (0.0, math.inf)


def test_floor_widens_both_sides() -> None:
    """A floor of 1% keeps a difference of half a percent inconclusive."""
    exact = Comparison(ratio=Estimate.exact(1.005), difference=Estimate.exact(0.5))
    widened = widen(exact, 0.01, level=100.0)
    assert widened.ratio is not None
    assert widened.difference is not None
    assert (widened.ratio.low or 0) < 1 < (widened.ratio.high or 0)
    assert (widened.difference.low, widened.difference.high) == (-0.5, 1.5)
    assert "could not be copied" in widened.method
