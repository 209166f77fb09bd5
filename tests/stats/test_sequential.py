"""Looks on a schedule, and the error they may spend."""

from __future__ import annotations

from itertools import islice, pairwise

import numpy as np
from scipy import stats

from pytest_modelbench.stats.intervals import mean_interval
from pytest_modelbench.stats.sequential import look_schedule, spent_alpha


def test_schedule_grows_geometrically() -> None:
    """Each look comes after half as much again, so that looks are few."""
    sizes = list(islice(look_schedule(), 12))
    assert sizes == sorted(set(sizes))
    assert all(1.3 < later / earlier < 1.8 for earlier, later in pairwise(sizes))


def test_error_is_never_overspent() -> None:
    """The shares of any number of looks add up to less than alpha."""
    assert sum(spent_alpha(0.05, look) for look in range(1, 10_000)) < 0.05


def test_peeking_at_every_look_keeps_the_error() -> None:
    """Stopping at the first look that excludes the truth errs at most at the nominal rate over all looks."""
    rng = np.random.default_rng(0)
    sizes = list(islice(look_schedule(), 9))
    runs = 400
    wrong = 0
    for _ in range(runs):
        values = rng.normal(size=sizes[-1])
        lows = [
            mean_interval(values[:size], spent_alpha(0.05, look)).low or 0.0
            for look, size in enumerate(sizes, start=1)
        ]
        wrong += any(low > 0 for low in lows)
    assert stats.binomtest(wrong, runs, 0.05, alternative="greater").pvalue > 0.01
