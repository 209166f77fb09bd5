"""Recorded rows: in memory or in a file, the same numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_modelbench.probes.answers.columns import Column, in_chunks, narrow, slices


@given(st.lists(st.integers(1, 9), min_size=1, max_size=9), st.integers(0, 200))
def test_rows_come_back_in_order(sizes: list[int], in_memory_bytes: int) -> None:
    """However many fit into memory."""
    rng = np.random.default_rng(0)
    batches = [rng.normal(size=(size, 3)).astype(np.float32) for size in sizes]
    column = Column(in_memory_bytes)
    for batch in batches:
        column.append(batch)
    found = column.array()
    assert np.array_equal(found, np.concatenate(batches))
    assert np.array_equal(np.concatenate(list(in_chunks(found))), np.concatenate(batches))


def test_large_columns_are_mapped() -> None:
    """They cannot be written to, and are read again after they were given back."""
    column = Column(in_memory_bytes=1000)
    for start in range(0, 3000, 500):
        column.append(np.arange(start, start + 500.0))
    found = column.array()
    with pytest.raises(ValueError, match="read-only"):
        found[0] = 1
    assert sum(float(chunk.sum()) for chunk in in_chunks(found)) == sum(range(3000))
    assert float(found.sum()) == sum(range(3000))


def test_texts_stay_in_memory() -> None:
    """Whatever their size."""
    column = Column(in_memory_bytes=1)
    column.append(np.array(["a", "b"]))
    column.append(np.array(["longer"]))
    assert column.array().tolist() == ["a", "b", "longer"]


@given(st.integers(0, 500), st.integers(1, 100))
def test_slices_cover_everything(length: int, rows: int) -> None:
    """Once, in order."""
    assert [i for part in slices(length, rows) for i in range(part.start, part.stop)] == list(range(length))


@given(st.lists(st.integers(-(2**40), 2**40), min_size=1))
def test_narrow_keeps_every_number(values: list[int]) -> None:
    """In as few bytes as they need."""
    array = np.array(values)
    assert narrow(array).tolist() == values
    assert narrow(array).itemsize <= array.itemsize
