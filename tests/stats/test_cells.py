"""Sums in cells: equal to sums over samples, and resampled as samples would be."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_modelbench.data.sample_hashes import hashes_of
from pytest_modelbench.stats.cells import MOST_CELLS, CellSums, resamples_for
from pytest_modelbench.stats.multiplicity import holm, lost_p


def filled(values: np.ndarray, ids: np.ndarray | None = None, chunk: int = 100) -> CellSums:
    """Return the sums of values, read chunk by chunk."""
    hashes = hashes_of(range(len(values))) if ids is None else hashes_of(ids)
    sums = CellSums()
    for start in range(0, len(values), chunk):
        cells = sums.place(hashes[start : start + chunk])
        part = values[start : start + chunk]
        one = np.zeros(len(part), dtype=np.intp)
        sums.add("n", cells, one, 1)
        sums.add("sum", cells, one, 1, part)
    return sums


@pytest.mark.parametrize("n", [40, MOST_CELLS, MOST_CELLS + 1, 20_000])
@pytest.mark.parametrize("parts", [2, 7, 61])
def test_parts_merge_to_the_last_bit(n: int, parts: int) -> None:
    """Shuffled, cut anywhere, read in chunks of any size, stored and read again, and merged in any order."""
    rng = np.random.default_rng(n + parts)
    values, ids = rng.standard_normal(n) * 10.0 ** rng.integers(-12, 12, n), np.arange(n)
    whole = filled(values, ids)
    order, merged = rng.permutation(n), CellSums()
    for some in [np.array_split(order, parts)[at] for at in rng.permutation(parts)]:
        merged.merge(CellSums.from_plain(filled(values[some], ids[some], chunk=7 * parts).plain()))
    assert merged.cells == whole.cells
    for name in ("n", "sum"):
        assert merged.total()[name].tobytes() == whole.total()[name].tobytes()
        assert merged.resamples(200, 3)[name].tobytes() == whole.resamples(200, 3)[name].tobytes()
    assert whole.total()["sum"][0, 0] == pytest.approx(math.fsum(values), rel=1e-15)


def test_labels_meet() -> None:
    """Parts of the data that have other classes are merged class by class."""
    first, second = CellSums(), CellSums()
    first.add("class", first.place(hashes_of([1])), np.array([0]), ["b"])
    second.add("class", second.place(hashes_of([2, 3])), np.array([1, 0]), ["a", "b"], np.array([0.5, 2.0]))
    first.merge(second)
    assert first.total(["a", "b", "c"])["class"].tolist() == [[2.0, 1.5, 0.0]]


def test_nan_is_told() -> None:
    """A sum that a NaN went into is NaN, also where it is merged; the others are not."""
    part = CellSums()
    part.add("x", part.place(hashes_of([1, 2])), np.array([0, 1]), 2, np.array([np.nan, 1.0]))
    sums = CellSums()
    sums.merge(CellSums.from_plain(part.plain()))
    assert np.isnan(sums.total()["x"][0, 0])
    assert sums.total()["x"][0, 1] == 1.0


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
    drawn = filled(values).resamples(4000, 0)
    means = drawn["sum"][:, 0] / drawn["n"][:, 0]
    assert means.std() == pytest.approx(values.std() / np.sqrt(n), rel=0.08)
    assert means.mean() == pytest.approx(values.mean(), abs=4 * values.std() / np.sqrt(n))


def test_sorted_data_are_no_strata() -> None:
    """Samples that come class by class are drawn as if they came in any order."""
    values = np.repeat([0.0, 1.0], 10_000)
    drawn = filled(values).resamples(4000, 0)
    means = drawn["sum"][:, 0] / drawn["n"][:, 0]
    assert means.std() == pytest.approx(0.5 / np.sqrt(20_000), rel=0.08)


def test_kinds_are_kept_apart() -> None:
    """Each sample adds to the sum of its kind, -1 to none."""
    sums = CellSums()
    cells = sums.place(hashes_of(range(4)))
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
