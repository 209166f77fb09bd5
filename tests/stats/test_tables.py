"""Counts that are resampled as counts: as often as samples drawn one by one would be."""

from __future__ import annotations

import numpy as np
import pytest

from pytest_modelbench.stats.cells import FEWEST_CELLS_OF_A_STRATUM, drawn_evenly
from pytest_modelbench.stats.tables import MOST_KINDS, resampled


@pytest.mark.parametrize(("kinds", "each"), [(4, 30), (4, 3000), (MOST_KINDS + 40, 1), (MOST_KINDS + 40, 60)])
def test_counts_vary_like_those_of_samples(kinds: int, each: int) -> None:
    """Few kinds and many, few samples and many: the moments of a multinomial draw."""
    counts = np.full(kinds, each)
    n = int(counts.sum())
    drawn = resampled(np.arange(kinds), counts, 4000, np.random.default_rng(0))
    shares = drawn.sums(drawn.kind % 2, 2) / n
    assert shares.sum(axis=1) == pytest.approx(np.ones(4000), rel=0.2)
    share = shares[:, 0] / shares.sum(axis=1)
    assert share.mean() == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(n))
    assert share.std() == pytest.approx(0.5 / np.sqrt(n), rel=0.15)


def test_kinds_that_belong_nowhere_are_not_counted() -> None:
    """A class of -1 adds to no sum; several kinds may be of one class."""
    drawn = resampled(np.array([3, 5, 9]), np.array([10, 20, 30]), 50, np.random.default_rng(0))
    all_of_them = drawn.sums(np.zeros(3, dtype=np.intp), 1)
    assert set(all_of_them[:, 0].tolist()) == {60.0}
    some = drawn.sums(np.array([0, -1, 1]), 2)
    assert (some.sum(axis=1) < 60).any()
    assert some[:, 0].mean() == pytest.approx(10, abs=2)


def test_even_draws() -> None:
    """As many draws as cells, each cell once on average, with the variance of a multinomial."""
    cells = FEWEST_CELLS_OF_A_STRATUM
    drawn = drawn_evenly(cells, 2000, np.random.default_rng(0))
    assert set(drawn.sum(axis=1).tolist()) == {float(cells)}
    assert drawn.mean(axis=0) == pytest.approx(np.ones(cells), abs=0.15)
    assert drawn.var() == pytest.approx(1 - 1 / cells, rel=0.05)
