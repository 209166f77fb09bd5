"""Intervals of skewed means: on the side of the long tail they are wider, and they hold the mean as often as they say."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import stdtrit

from pytest_modelbench.stats.skewness import skewed_interval


def test_symmetric_values_have_students_interval() -> None:
    """Without skewness nothing is corrected."""
    values = np.array([-2.0, -1, 0, 1, 2])
    estimate = skewed_interval(values, 7.0, 0.05)
    half = values.std(ddof=1) / 5**0.5 * stdtrit(4, 0.95)
    assert estimate.high == pytest.approx(7 + half)
    assert estimate.low == pytest.approx(7 - half)


def test_equal_values_have_no_interval() -> None:
    """A width of zero would claim a certainty that no finite sample gives."""
    assert skewed_interval(np.ones(5), 1.0, 0.05).low is None
    assert skewed_interval(np.ones(1), 1.0, 0.05).low is None


def test_coverage_of_a_skewed_mean() -> None:
    """Of 30 lognormal values Student's upper end is below the mean in 13% of samples, and this one in fewer."""
    rng = np.random.default_rng(1)
    samples = rng.lognormal(0, 1, (2000, 30))
    above = [skewed_interval(sample, sample.mean(), 0.05).high for sample in samples]
    student = samples.mean(axis=1) + samples.std(axis=1, ddof=1) / 30**0.5 * stdtrit(29, 0.95)
    missed = np.mean([high is not None and high < np.exp(0.5) for high in above])
    assert np.mean(student < np.exp(0.5)) > 0.13
    assert missed < 0.115
