"""Spread that is rounding only is no spread: intervals of values that are all alike have no ends."""

from __future__ import annotations

import numpy as np
import pytest

from pytest_modelbench.kpis.additive import compared
from pytest_modelbench.stats.jackknife import jackknife
from pytest_modelbench.stats.paired import bias_corrected, percentiles
from pytest_modelbench.stats.rounding import settled
from pytest_modelbench.stats.skewness import skewed_interval

NOISE = 0.1 * (1 + np.random.default_rng(0).choice([-1, 0, 1], 40) * 2.0**-52)


def test_noise_becomes_one_value_and_signal_stays() -> None:
    assert np.ptp(settled(NOISE)) == 0 < np.ptp(NOISE)
    signal = NOISE + np.linspace(0, 1e-9, len(NOISE))
    assert settled(signal) is signal
    gaps = settled(np.array([np.nan, 1.0, 1.0 + 2**-52, np.inf]))
    assert np.isnan(gaps[0])
    assert gaps[1:].tolist() == [1.0, 1.0, np.inf]
    assert np.isnan(settled(np.full(3, np.nan))).all()


def test_differences_are_as_exact_as_the_numbers_they_are_of() -> None:
    """0.1 minus 0.1 is 1e-17 by rounding: large beside itself, nothing beside 0.1."""
    difference = NOISE - NOISE[::-1]
    assert np.ptp(settled(difference)) > 0
    assert np.ptp(settled(difference, 0.1)) == 0


@pytest.mark.parametrize("interval", [percentiles, bias_corrected])
def test_resamples_that_are_alike_have_no_interval(interval: object) -> None:
    estimate = interval(0.1, NOISE, 0.05)  # type: ignore[operator]
    assert estimate.low is None
    comparison = compared({"student": 0.1, "teacher": 0.1}, {"student": NOISE, "teacher": NOISE[::-1]}, 0.05, "")
    assert comparison.difference is not None
    assert comparison.difference.low is None
    assert comparison.ratio is not None
    assert comparison.ratio.low is None


@pytest.mark.parametrize("log", [False, True])
def test_units_that_are_alike_have_no_jackknife(*, log: bool) -> None:
    """Also where the logarithm of a ratio near 1 makes rounding large beside it."""
    assert jackknife(0.1, NOISE, 0.05, log=log).low is None
    assert jackknife(1.0, NOISE / 0.1, 0.05, log=log).low is None


def test_influences_that_are_alike_have_no_skewness() -> None:
    assert skewed_interval(NOISE, 0.1, 0.05).low is None
