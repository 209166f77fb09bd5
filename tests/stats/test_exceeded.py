"""Lower ends that rest on every value being above them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pytest_modelbench.results import Estimate
from pytest_modelbench.stats.exceeded import with_least_mean, with_least_quantile
from pytest_modelbench.stats.intervals import FloatArray, mean_interval, percentile_interval

OPEN = Estimate(value=250.0, low=-math.inf, high=math.inf)


def calls(clusters: int, each: int, value: float = 250.0) -> list[FloatArray]:
    return [np.full(each, value) for _ in range(clusters)]


@pytest.mark.parametrize(
    ("clusters", "each", "p", "alpha", "low"),
    [
        (8, 1, 0.5, 0.0042, 250.0),  # 0.5**8 = 0.0039
        (7, 1, 0.5, 0.0042, -math.inf),
        (7, 2, 0.5, 0.0042, 250.0 / 1.5),  # 14 calls, but 7 clusters: what is exceeded by half
        (1, 2, 0.99, 0.0042, 250.0 / 1.5),
        (2, 1, 0.99, 0.0042, 250.0),
        (1, 1, 0.5, 0.0042, -math.inf),
    ],
)
def test_quantile_that_every_value_exceeds(clusters: int, each: int, p: float, alpha: float, low: float) -> None:
    """Hand-worked: the sign test over clusters, and over values for what lies far below all of them."""
    assert with_least_quantile(OPEN, calls(clusters, each), p, alpha).low == pytest.approx(low)


def test_mean_that_every_value_exceeds() -> None:
    """Hand-worked: were the mean 50, fourteen calls of 250 would all exceed it with probability 0.2**14."""
    found = with_least_mean(OPEN, calls(7, 2), 0.0042)
    assert found.low == pytest.approx(max(250 * 0.0042 ** (1 / 7), 250 / 1.5 * 0.0042 ** (1 / 14)))
    assert 50 < (found.low or 0) < 250


def test_ends_that_are_there_stay() -> None:
    """An interval that the sample supports is not touched, nor is an upper end."""
    known = Estimate(value=250.0, low=240.0, high=260.0)
    assert with_least_quantile(known, calls(9, 9), 0.5, 0.05) is known
    assert with_least_mean(known, calls(9, 9), 0.05) is known
    assert with_least_mean(OPEN, calls(7, 2), 0.05).high == math.inf


@pytest.mark.parametrize(("clusters", "each"), [(1, 6), (3, 2), (6, 1)])
def test_lower_ends_err_as_rarely_as_they_say(clusters: int, each: int) -> None:
    """A heavy tail, and clusters that differ by a tenth: the true value lies below the lower end in at most 5%."""
    rng, misses, runs, alpha = np.random.default_rng(5), np.zeros(3), 2000, 0.05
    for _ in range(runs):
        found = [rng.lognormal(0, 1, each) * rng.lognormal(0, 0.1) for _ in range(clusters)]
        median, p90 = (
            with_least_quantile(percentile_interval(found, p, alpha)[0], found, p, alpha) for p in (0.5, 0.9)
        )
        mean = with_least_mean(mean_interval([float(one.mean()) for one in found], alpha), found, alpha)
        misses += [(median.low or 0) > 1, (p90.low or 0) > math.exp(1.2816), (mean.low or 0) > math.exp(0.505)]
    assert (misses / runs <= alpha + 2.5 * math.sqrt(alpha * (1 - alpha) / runs)).all()
