"""Intervals with the prompt as the unit: hand-worked, against pairs as independent, and their coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pytest_modelbench.results import Estimate
from pytest_modelbench.stats.by_prompt import (
    compare_quantiles,
    compare_sums,
    log_ratios,
    quantile_by_prompt,
    ratio_of_sums,
)
from pytest_modelbench.stats.clustered import compare_means
from pytest_modelbench.stats.intervals import mean_interval

RNG = np.random.default_rng(3)
PROMPTS, REPETITIONS = 14, 3


def half(estimate: Estimate | None) -> float:
    assert estimate is not None
    assert estimate.high is not None
    assert estimate.low is not None
    return math.log(estimate.high / estimate.low) / 2


def test_repetitions_of_a_prompt_are_not_independent() -> None:
    """14 prompts, 3 times each, with a ratio that depends on the prompt: pairs as independent state 1.7 times less."""
    ratios = np.linspace(0.073, 0.268, PROMPTS)
    teacher = [[np.array([1000.0 * math.exp(RNG.normal(0, 0.02))]) for _ in range(REPETITIONS)] for _ in ratios]
    student = [
        [ratio * t * math.exp(RNG.normal(0, 0.02)) for t in prompt]
        for ratio, prompt in zip(ratios, teacher, strict=True)
    ]
    comparison = compare_quantiles(student, teacher, 0.5, 0.05, 0)
    pairs = [
        math.log(s[0] / t[0])
        for own, other in zip(student, teacher, strict=True)
        for s, t in zip(own, other, strict=True)
    ]
    naive = mean_interval(pairs, 0.05)
    assert naive.high is not None
    assert half(comparison.ratio) / (naive.high - naive.value) == pytest.approx(math.sqrt(REPETITIONS), rel=0.1)
    assert comparison.ratio is not None
    assert comparison.ratio.value == pytest.approx(math.exp(log_ratios(student, teacher).mean()))
    assert "14 prompts" in comparison.method


def test_the_median_holds_the_ratio_of_the_medians() -> None:
    """What the readings show is inside of the interval, also where the ratio depends on the prompt."""
    teacher = [[np.array([float(n)])] for n in range(1, 22)]
    student = [[np.array([float(n) if n < 12 else 3.0 * n])] for n in range(1, 22)]
    ratio = compare_quantiles(student, teacher, 0.5, 0.4, 0).ratio
    assert ratio is not None
    assert ratio.low is not None
    assert ratio.low <= 1.0 < ratio.value


def test_a_quantile_counts_prompts() -> None:
    """299 prompts bound p99 at 95%, 298 do not; asking 100 prompts three times bounds nothing."""
    values = RNG.lognormal(size=299)
    enough, size = quantile_by_prompt([np.array([value]) for value in values], 0.99, 0.05)
    assert size == 299
    assert enough.high is not None
    assert math.isfinite(enough.high)
    assert quantile_by_prompt([np.array([value]) for value in values[1:]], 0.99, 0.05)[0].high == math.inf
    assert quantile_by_prompt([*values[:297].reshape(99, 3)], 0.99, 0.05)[0].high == math.inf


def test_a_ratio_of_sums_by_hand() -> None:
    """Tokens over seconds: sum over sum, not the mean of ratios; with one prompt there is no interval."""
    rate = ratio_of_sums(np.array([10.0, 90.0]), np.array([1.0, 3.0]), 0.05)
    assert rate.value == 25.0
    left = np.log([90 / 3, 10 / 1])  # without the first, without the second
    half = math.sqrt(((left - left.mean()) ** 2).sum() / 2) * 6.3138  # Student's quantile of one degree of freedom
    assert rate.high == pytest.approx(25.0 * math.exp(half), rel=1e-4)
    assert ratio_of_sums(np.array([10.0]), np.array([1.0]), 0.05).high == math.inf
    assert ratio_of_sums(np.array([10.0, 0.0]), np.ones(2), 0.05).high == math.inf
    ones = np.ones(1)
    alone = compare_sums((ones, ones), (ones, ones), 0.05)
    assert (alone.ratio, alone.difference) == (Estimate(value=1, low=0, high=math.inf), Estimate(value=0, low=-math.inf, high=math.inf))  # fmt: skip


def test_means_are_compared_as_elsewhere() -> None:
    """With ones as divisors and many like prompts it is the ratio estimator that timed calls use."""
    student, teacher = RNG.normal(10, 1, 300), RNG.normal(10, 1, 300)
    ours = compare_sums((student, np.ones(300)), (teacher, np.ones(300)), 0.05)
    theirs = compare_means([[np.array([s])] for s in student], [[np.array([t])] for t in teacher], 0.05)
    assert ours.ratio is not None
    assert theirs.ratio is not None
    assert ours.ratio.value == pytest.approx(theirs.ratio.value)
    assert half(ours.ratio) == pytest.approx(half(theirs.ratio), rel=0.01)
    assert ours.difference is not None
    assert ours.difference.value == pytest.approx(float((student - teacher).mean()))


@pytest.mark.parametrize("what", ["rate", "median"])
def test_few_prompts_of_very_different_lengths(what: str) -> None:
    """Of 400 comparisons of equal models at 5% a side, no more are refuted than that allows.

    There are 20 prompts, of which the longest takes some 20 times the shortest.
    """
    rng = np.random.default_rng(0)
    beyond = 0
    for _ in range(400):
        base = rng.lognormal(0, 0.8, 20)
        times = [base * np.exp(rng.normal(0, 0.1, 20)) for _ in range(2)]
        if what == "rate":
            ratio = compare_sums((np.ones(20), times[0]), (np.ones(20), times[1]), 0.05).ratio
        else:
            series = [[[np.array([t])] for t in own] for own in times]
            ratio = compare_quantiles(series[0], series[1], 0.5, 0.05, 0).ratio
        assert ratio is not None
        assert ratio.high is not None
        beyond += ratio.high < 1
    assert beyond <= 400 * 0.05 + 3 * math.sqrt(400 * 0.05 * 0.95)
