"""A sum of absolute values, such as a calibration error, and how much it grew."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from pytest_modelbench.stats.deviations import deviation_change, deviation_interval

FloatArray = npt.NDArray[np.float64]
SESSIONS, RESAMPLES = 150, 199


def sessions(terms: FloatArray, noise: FloatArray) -> list[tuple[FloatArray, FloatArray]]:
    """Return estimates of the terms and of resamples, with normal noise of a covariance known by its root."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(SESSIONS):
        seen = terms + rng.normal(size=len(terms)) @ noise
        found.append((seen, seen + rng.normal(size=(RESAMPLES, len(terms))) @ noise))
    return found


@pytest.mark.parametrize(
    "terms", [np.zeros(15), np.full(15, 0.4), np.linspace(-3, 3, 15)], ids=["no deviation", "small", "some certain"]
)
def test_sum_is_covered(terms: FloatArray) -> None:
    """Each end misses the truth in no more than its 5%; percentiles of resampled sums lie above a small one."""
    misses, percentiles, truth = np.zeros(2), 0, float(np.abs(terms).sum())
    for seen, drawn in sessions(terms, np.eye(15)):
        found = deviation_interval(seen, drawn, 0.05)
        assert found.low is not None
        assert found.high is not None
        assert 0 <= found.low <= found.value <= found.high
        misses += truth < found.low - 1e-9, truth > found.high
        percentiles += truth < np.quantile(np.abs(drawn).sum(axis=1), 0.05)
    assert misses.max() <= 14  # of 150, at 5%: more in less than 1 of 100 runs
    if truth < 10:
        assert percentiles > 100


@pytest.mark.parametrize(("student", "teacher"), [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (5.0, 5.0)])
def test_change_is_covered(student: float, teacher: float) -> None:
    """Of a student that repeats most of its teacher's noise."""
    common = np.block([[np.eye(15), 0.9 * np.eye(15)], [np.zeros((15, 15)), 0.4 * np.eye(15)]])
    misses, widths = np.zeros(2), []
    for seen, drawn in sessions(np.repeat([teacher, student], 15), common):
        found = deviation_change(seen[15:], drawn[:, 15:], seen[:15], drawn[:, :15], 0.05)
        assert found.low is not None
        assert found.high is not None
        misses += 15 * (student - teacher) < found.low - 1e-9, 15 * (student - teacher) > found.high
        widths.append(found.high - found.low)
    assert misses.max() <= 14
    if student == teacher == 5:
        assert np.mean(widths) < 11  # apart, the ends of two sums of 15 would be 30 wide


def test_change_that_is_there_is_seen() -> None:
    """Though the teacher's terms are nothing but noise, so that all of their signs are open."""
    seen = [
        deviation_change(s[15:], drawn[:, 15:], s[:15], drawn[:, :15], 0.05)
        for s, drawn in sessions(np.repeat([0.0, 6.0], 15), np.eye(30))
    ]
    assert sum((found.low or 0) > 40 for found in seen) > 0.8 * SESSIONS  # of 90
