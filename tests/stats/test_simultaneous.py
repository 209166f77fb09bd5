"""Several differences at once: bounds that hold for all of them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtr, stdtr, stdtrit

from pytest_modelbench.stats.simultaneous import together

ALPHA = 0.05


def test_bounds_of_one_difference_are_students() -> None:
    """The error of half of one more unit is added to that of the resamples; the p-value is Student's, too."""
    rng = np.random.default_rng(0)
    drawn = 3.0 + rng.standard_normal((200_000, 1))
    made = together(np.array([3.0]), drawn, np.array([25]), 10.0, ALPHA, 0)
    spread = np.sqrt((1 + 0.5 * (10 / 25) ** 2) * 25 / 24)
    reach = float(stdtrit(24, ndtr(1.6449 * np.sqrt(24 / 25)))) * spread
    assert made.low[0] == pytest.approx(3 - reach, abs=0.02)
    assert made.high[0] == pytest.approx(3 + reach, abs=0.02)
    assert made.p[0] == pytest.approx(stdtr(24, -3 / spread), rel=0.02)


def test_a_noisy_difference_does_not_widen_the_others() -> None:
    """Each has its own spread, and an undefined resample counts as no deviation."""
    rng = np.random.default_rng(1)
    drawn = rng.standard_normal((999, 3)) * [1.0, 20.0, 1.0]
    drawn[::2, 2] = np.nan
    made = together(np.zeros(3), drawn, np.array([500, 500, 500]), 100.0, ALPHA, 0)
    assert made.high[0] < 3
    assert made.high[1] > 30
    assert made.low[0] > -3
    assert made.high[2] < made.high[0]


def test_equal_models_have_an_interval() -> None:
    """Resamples without any difference do not make it certain: more units do."""
    few, many = (
        together(np.zeros(2), np.zeros((999, 2)), np.full(2, units), 100.0, ALPHA, 0).high for units in (20, 2000)
    )
    assert 7 < few.max() < 11
    assert 0 < many.max() < 0.11


def test_all_bounds_hold_together() -> None:
    """Of 12 differences of 40 units each, all are inside on a side in 95% of sets; each for itself would be in 54%."""
    rng = np.random.default_rng(2)
    held = np.zeros(2)
    for seed in range(300):
        units = rng.standard_normal((40, 12))
        values = units.mean(axis=0)
        drawn = np.stack([units[rng.integers(0, 40, 40)].mean(axis=0) for _ in range(199)])
        made = together(values, drawn, np.full(12, 40), 0.0, ALPHA, seed)
        held += [(made.low <= 0).all(), (made.high >= 0).all()]
    assert held.min() / 300 > 0.91


def test_each_side_has_the_tail_of_resamples_on_the_other() -> None:
    """Resamples far above the value say that the truth may be far below it."""
    drawn = np.random.default_rng(3).exponential(3.0, (999, 1)) + 7.0
    made = together(np.array([10.0]), drawn, np.array([500]), 100.0, 0.05, 0)
    assert 10 - made.low[0] > 1.4 * (made.high[0] - 10)
