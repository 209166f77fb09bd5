"""Sums in cells: equal to sums over samples, and resampled as samples would be."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_modelbench.stats.cells import MOST_CELLS, CellSums, resamples_for
from pytest_modelbench.stats.multiplicity import holm, lost_p


def filled(values: np.ndarray, strata: np.ndarray | None = None, chunk: int = 100, seed: int = 0) -> CellSums:
    """Return the sums of values, read chunk by chunk."""
    codes = np.zeros(len(values), dtype=np.intp) if strata is None else strata
    sums = CellSums(np.bincount(codes[codes >= 0]).tolist(), seed)
    for start in range(0, len(values), chunk):
        cells = sums.place(codes[start : start + chunk])
        part = values[start : start + chunk]
        one = np.zeros(len(part), dtype=np.intp)
        sums.add("n", cells, one, 1)
        sums.add("sum", cells, one, 1, part)
    return sums


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=300), st.integers(1, 50))
def test_totals_are_sums(values: list[float], chunk: int) -> None:
    """However the data are cut."""
    total = filled(np.array(values), chunk=chunk).total()
    assert total["sum"][0, 0] == pytest.approx(sum(values), abs=1e-6)
    assert total["n"][0, 0] == len(values)


@pytest.mark.parametrize("n", [500, MOST_CELLS, 50_000])
def test_spread_of_a_mean(n: int) -> None:
    """Of few samples the ordinary bootstrap, of many the random groups: the standard error either way."""
    values = np.random.default_rng(1).exponential(size=n)
    drawn = filled(values).resamples(4000)
    means = drawn["sum"][:, 0] / drawn["n"][:, 0]
    assert means.std() == pytest.approx(values.std() / np.sqrt(n), rel=0.08)
    assert means.mean() == pytest.approx(values.mean(), abs=4 * values.std() / np.sqrt(n))


def test_sorted_data_are_no_strata() -> None:
    """Samples that come class by class are drawn as if they came in any order."""
    values = np.repeat([0.0, 1.0], 10_000)
    drawn = filled(values).resamples(4000)
    means = drawn["sum"][:, 0] / drawn["n"][:, 0]
    assert means.std() == pytest.approx(0.5 / np.sqrt(20_000), rel=0.08)


def test_strata_keep_their_sizes() -> None:
    """Every resample has as many samples of each stratum; those that are left out add nothing."""
    strata = np.array([0] * 30 + [1] * 70 + [-1] * 20)
    values = np.where(strata == 1, 1.0, np.where(strata == 0, 0.0, 1e9))
    drawn = filled(values, strata).resamples(50)
    assert set(drawn["n"][:, 0].tolist()) == {100.0}
    assert set(drawn["sum"][:, 0].tolist()) == {70.0}


def test_kinds_are_kept_apart() -> None:
    """Each sample adds to the sum of its kind, -1 to none."""
    sums = CellSums([4], 0)
    cells = sums.place(np.zeros(4, dtype=np.intp))
    sums.add("class", cells, np.array([0, 2, -1, 2]), 3, np.array([1.0, 2, 4, 8]))
    assert sums.total()["class"].tolist() == [[1.0, 0.0, 10.0]]


def test_number_of_resamples() -> None:
    """Enough that the ends are order statistics, also at small errors."""
    assert resamples_for(0.05) == 999
    assert resamples_for(0.0001) == 19_999


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_the_step_down_rule(p_values: list[float]) -> None:
    """A hypothesis is rejected at a level by the adjusted value where the rule, gone through by hand, rejects it."""
    adjusted = holm(p_values)
    for level in (0.01, 0.05, 0.3):
        rejected = set()
        for rank, index in enumerate(np.argsort(p_values, kind="stable").tolist()):
            if p_values[index] * (len(p_values) - rank) > level:
                break
            rejected.add(index)
        assert rejected == {i for i, value in enumerate(adjusted) if value <= level}


def test_loss_beyond_chance() -> None:
    """One-sided: a sign test on the discordant pairs."""
    assert lost_p(4, 0) == pytest.approx(1 / 16)
    assert lost_p(0, 4) == 1.0
