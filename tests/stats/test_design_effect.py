"""The worth of samples that are like their neighbours."""

from __future__ import annotations

import numpy as np
import pytest

from pytest_modelbench.results import Estimate
from pytest_modelbench.stats.design_effect import effect_of, widened
from pytest_modelbench.stats.intervals import share_interval


def test_by_hand() -> None:
    """Eight clusters of two alike: the variance of their shares is 8/7 of 1/4, that of two single ones 1/8."""
    marked = np.repeat([True, False] * 4, 2)
    assert effect_of(marked, 8) == pytest.approx(2 * 8 / 7)


def test_ends_of_bursts() -> None:
    """Samples that come in fives: widened ends err as often as stated, plain ones far more often."""
    rng = np.random.default_rng(0)
    plain = wide = 0
    for _ in range(500):
        right = np.repeat(rng.random(400) < 0.9, 5)
        estimate = share_interval(int(right.sum()), len(right), 0.05)
        ends = widened(estimate, effect_of(right, 30))
        plain += (estimate.high or 0.0) < 0.9
        wide += (ends.high or 0.0) < 0.9
    assert plain > 75
    assert wide < 45


def test_independent_samples_lose_little() -> None:
    """The noise of the effect itself widens by some percent."""
    rng = np.random.default_rng(1)
    effects = [effect_of(rng.random(2000) < 0.9, 30) for _ in range(200)]
    assert np.mean(np.sqrt(effects)) < 1.08


def test_nothing_to_widen() -> None:
    """No interval, and samples that are all alike."""
    assert widened(Estimate(value=1.0), 3.0) == Estimate(value=1.0)
    assert effect_of(np.ones(100, dtype=bool), 30) == 1
