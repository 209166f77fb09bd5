"""Change points: what raises an alarm, how soon, dated where, and what does not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from pytest_modelbench.stats.change_points import (
    CLIP,
    CLIP_CLEAN,
    Floats,
    _share_kept,
    change_points,
    drift_of,
    noise_of,
)


def noise(seed: int, n: int = 120, spread: float = 0.02) -> Floats:
    return np.random.default_rng(seed).normal(0.0, spread, n)


def autocorrelated(seed: int, n: int, phi: float) -> Floats:
    """Return a process of first order with unit variance."""
    fresh = np.random.default_rng(seed).normal(0.0, np.sqrt(1 - phi**2), n + 50)
    runs = np.zeros(n + 50)
    for at in range(1, n + 50):
        runs[at] = phi * runs[at - 1] + fresh[at]
    return runs[50:]


def stepped(seed: int, at: int, step: float, n: int = 120) -> Floats:
    runs = noise(seed, n)
    runs[at:] += np.log1p(step)
    return runs


@pytest.mark.parametrize("step", [0.1, -0.1])
def test_clear_step_is_found_soon_and_dated(step: float) -> None:
    """A step of five standard deviations, in either direction, in a history without outliers: within four runs."""
    for seed in range(10):
        (change,) = change_points(stepped(seed, 80, step))
        assert change.seen - 80 < 5
        assert change.first <= 80 <= change.last
        assert abs(change.at - 80) <= 1
        assert change.shift == pytest.approx(np.log1p(step), abs=0.015)


def test_alarm_looks_at_no_later_run() -> None:
    """What is found after a run is found from the runs until then alone."""
    runs = stepped(3, 80, 0.1)
    (change,) = change_points(runs)
    assert change_points(runs[: change.seen]) == []
    assert [again.seen for again in change_points(runs[: change.seen + 1])] == [change.seen]


def test_several_steps() -> None:
    """Up, up, and back: each is found."""
    runs = noise(5, 160)
    for at, step in ((40, 0.1), (80, 0.1), (120, -0.2)):
        runs[at:] += step
    changes = change_points(runs)
    assert [change.at for change in changes] == pytest.approx([40, 80, 120], abs=1)
    assert [round(change.shift, 1) for change in changes] == [0.1, 0.1, -0.2]


def test_disturbed_runs_raise_no_alarm() -> None:
    """One, two or three runs in a row that took half as long again are no change, once such runs are known."""
    runs = noise(1)
    for at in (20, 45, 46, 70, 90, 91, 92):
        runs[at] += 0.5
    assert change_points(runs) == []
    runs[100:] += 0.1
    (change,) = change_points(runs)
    assert change.at == pytest.approx(100, abs=1)


def test_less_exact_runs_count_less() -> None:
    """Five runs of a wide interval are no change; with the interval of the others they are one."""
    runs = noise(2, 60)
    runs[50:55] += 0.08
    errors = np.full(60, 0.01)
    assert change_points(runs[:55], errors[:55])
    errors[50:55] = 0.1
    assert change_points(runs[:55], errors[:55]) == []
    assert change_points(runs[:55], [float("nan")] * 55) == change_points(runs[:55])


def test_constant_values_change_at_once() -> None:
    """A count that was the same five times and now is another one is a change, in its first run."""
    (change,) = change_points([5.0] * 5 + [6.0])
    assert (change.at, change.first, change.last, change.seen, change.shift) == (5, 5, 5, 5, 1.0)
    assert change_points([5.0] * 4 + [6.0]) == []
    assert change_points([5.0] * 5 + [6.0], least=2.0) == []
    assert [c.at for c in change_points([5.0] * 6 + [6.0] * 4 + [5.0] * 2)] == [6, 10]


def test_few_values_that_are_not_constant() -> None:
    """Some runs must be known before noise is."""
    assert change_points([1.0, 1.1, 0.9, 5.0, 5.1, 5.0]) == []
    assert change_points([]) == []
    assert change_points([1.0]) == []


@pytest.mark.slow
@pytest.mark.parametrize("phi", [0.0, 0.6])
def test_false_alarms_are_rare(phi: float) -> None:
    """At a nominal 20% at most that share of 60 histories alarms, with and without autocorrelation."""
    histories = [autocorrelated(seed, 200, phi) for seed in range(60)]
    alarmed = [any(c.shift > 0 for c in change_points(runs, false_alarms=0.2)) for runs in histories]
    assert sum(alarmed) <= 0.3 * len(histories)
    assert sum(alarmed) > 0


def test_noise_of_segments() -> None:
    """The level of each segment is taken out; scale and coefficient are those of the process."""
    parts = [autocorrelated(seed, 400, 0.6) * 0.02 + level for seed, level in ((1, 0.0), (2, 5.0))]
    estimate = noise_of(parts)
    assert estimate.n == 800
    assert estimate.phi == pytest.approx(0.6, abs=0.1)
    assert estimate.scale == pytest.approx(0.016, rel=0.1)
    assert estimate.clean
    assert estimate.clip == CLIP_CLEAN
    parts[0][7] += 1.0
    assert noise_of(parts).clip == CLIP


def test_share_kept_is_the_variance_of_a_clipped_normal() -> None:
    """Against a numerical integral."""
    points = np.linspace(-9, 9, 200_001)
    expected = np.trapezoid(np.clip(points, -CLIP, CLIP) ** 2 * norm.pdf(points), points)
    assert _share_kept(CLIP) == pytest.approx(expected, rel=1e-6)


def test_drift() -> None:
    """A decay larger than noise is sure, one within noise is not, and single outliers move nothing."""
    slow = np.linspace(0.0, 0.1, 50)
    assert drift_of(noise(1, 50) + slow, 50).surely_moved
    assert not drift_of(noise(1, 50), 50).surely_moved
    assert not drift_of(np.zeros(50), 50).surely_moved
    outliers = noise(2, 50, 0.001)
    outliers[-3:] += 5.0
    assert abs(drift_of(outliers, 50).total) < 0.01


@settings(deadline=None)
@given(st.lists(st.floats(-1e300, 1e300), max_size=60), st.floats(1e-6, 1.0))
def test_any_values_are_answered(values: list[float], false_alarms: float) -> None:
    """Changes are in order, within the history, and inside the range that the data support."""
    changes = change_points(values, false_alarms=false_alarms)
    ats = [0, *(change.at for change in changes), len(values)]
    assert ats == sorted(set(ats)) or not values
    assert all(change.first <= change.at <= change.last < len(values) for change in changes)
    assert all(change.at <= change.seen for change in changes)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 50), st.floats(0.001, 1000.0), st.floats(-1000.0, 1000.0))
def test_unit_and_level_do_not_matter(seed: int, factor: float, level: float) -> None:
    """The same runs in another unit have the same changes."""
    runs = stepped(seed, 80, 0.1)
    assert [c.at for c in change_points(runs * factor + level)] == [c.at for c in change_points(runs)]


def test_coefficient_of_short_segments_is_not_too_small() -> None:
    """What a level and a slope of each take away is given back: an autocorrelation of 0.6 from 20 runs a segment."""
    slopes = [np.polyval(np.polyfit(range(20), part, 1), range(20)) for part in _parts()]
    rests = [part - slope for part, slope in zip(_parts(), slopes, strict=True)]
    assert noise_of(rests, fitted=2).phi == pytest.approx(0.6, abs=0.1)


def _parts() -> list[Floats]:
    return list(autocorrelated(8, 600, 0.6).reshape(30, 20))


def test_correlated_noise_is_no_drift() -> None:
    """Runs that follow each other look like a drift: of 40 histories, one at most is called so by a lax test."""
    moved = [drift_of(autocorrelated(seed, 100, 0.6), 50, false_alarms=1.0).surely_moved for seed in range(40)]
    assert sum(moved) <= 1
