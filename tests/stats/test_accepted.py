"""Shares outside that are accepted: against the beta distribution, and how often an end is wrong."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from pytest_modelbench.stats.accepted import accepted, between, bounds_threshold, drawn_shares

ALPHA = 0.05


@pytest.mark.parametrize("taken", [0, 3, 30])
def test_of_a_fixed_threshold_it_is_jeffreys_interval(taken: int) -> None:
    """Data that are all alike fix the threshold: the beta distribution of `taken` of 30, also of none and of all."""
    inside, outside = np.ones(200), np.where(np.arange(30) < taken, 1.0, 0.0)
    drawn = drawn_shares({"student": inside}, {"student": outside}, 95, seed=0)["student"]
    estimate = between(accepted(inside, outside, 95), drawn, ALPHA)
    low, high = (100 * stats.beta.ppf(end, taken + 0.5, 30 - taken + 0.5) for end in (ALPHA, 1 - ALPHA))
    assert estimate.value == pytest.approx(100 * taken / 30)
    assert estimate.low == pytest.approx(low if taken else 0, abs=1.2)
    assert estimate.high == pytest.approx(high if taken < 30 else 100, abs=1.2)


def test_two_models_on_the_same_samples_are_drawn_together() -> None:
    """The difference of a model from itself is nearly 0, that from an independent one is as wide as both."""
    rng = np.random.default_rng(0)
    inside, outside = rng.normal(1, 1, (2, 300)), rng.normal(0, 1, (2, 300))
    same = drawn_shares({"a": inside[0], "b": inside[0]}, {"a": outside[0], "b": outside[0]}, 95, seed=1)
    assert np.std(same["a"] - same["b"]) < 0.01
    other = drawn_shares({"a": inside[0], "b": inside[1]}, {"a": outside[0], "b": outside[1]}, 95, seed=1)
    apart = np.hypot(np.std(other["a"]), np.std(other["b"]))
    assert np.std(other["a"] - other["b"]) == pytest.approx(apart, rel=0.25)


def test_ends_are_as_often_wrong_as_stated() -> None:
    """Of a share of 2%, of which resamples of both sets see nothing: a third of their upper ends would be too low."""
    rng, truth = np.random.default_rng(2), 0.02
    shift, below, above, sessions = stats.norm.ppf(0.95) - stats.norm.ppf(truth), 0, 0, 120
    for session in range(sessions):
        inside, outside = rng.normal(shift, 1, 100), rng.normal(0, 1, 30)
        drawn = drawn_shares({"student": inside}, {"student": outside}, 95, session)["student"]
        estimate = between(accepted(inside, outside, 95), drawn, ALPHA)
        below += 100 * truth < (estimate.low or 0)
        above += 100 * truth > (estimate.high or 0)
    assert max(below, above) <= 13  # of 120, at 5%: more in 1 of 250 runs


def test_few_samples_bound_no_threshold() -> None:
    """58 samples are all above the least 5% of very many with 0.95 ** 58 = 5.1%, 59 with less than 5%."""
    assert not bounds_threshold(58, 95, 0.05)
    assert bounds_threshold(59, 95, 0.05)
    assert not bounds_threshold(59, 95, 0.025)  # of two sets at a common error
    assert not any(bounds_threshold(n, 100, 0.05) for n in (5, 10**9))  # more data may reach less than all of these
