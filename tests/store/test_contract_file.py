"""The file of a contract: what comes back of large sets, other types, other orders."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_modelbench.errors import DataError
from pytest_modelbench.probes.predictions import Outputs
from pytest_modelbench.store.contract import Contract
from pytest_modelbench.store.recorded import Recorded, RecordedData, write_contract

MANY = 150_000  # three parts


def outputs(array: Any, targets: Any = None, ids: Any = None, classes: Any = None) -> Outputs:
    array = np.asarray(array)
    return Outputs(
        model="teacher",
        array=array,
        targets=None if targets is None else np.asarray(targets),
        ids=range(len(array)) if ids is None else ids,
        nonfinite=np.zeros(len(array), dtype=np.int32),
        input_finite=np.ones(len(array), dtype=bool),
        classes=classes,
        calls=1,
    )


def written(path: Path, *data: Outputs) -> Contract:
    recorded = Recorded(data=[RecordedData(outputs=one, inputs=f"inputs-{i}") for i, one in enumerate(data)])
    write_contract(recorded, path, {}, {})
    return Contract.open(path)


@pytest.mark.parametrize(
    ("array", "targets", "classes"),
    [
        (np.random.default_rng(0).normal(size=(MANY, 3)).astype(np.float32), np.arange(MANY) % 3, ["a", "b", "c"]),
        (np.arange(MANY) % 7, np.arange(MANY) % 7, None),
        (np.array(["cat", "dog", "fox"])[np.arange(MANY) % 3], np.array(["cat", "dog"])[np.arange(MANY) % 2], None),
        (np.arange(MANY) % 2 == 0, None, None),
        (np.array([[1.0, np.nan], [np.inf, 2.0], [3.0, 4.0]]), np.array([0.5, 1.5, 2.5]), None),
    ],
    ids=["logits", "labels", "texts", "truths", "not finite"],
)
def test_what_comes_back(tmp_path: Path, array: Any, targets: Any, classes: Any) -> None:
    """Values, types of numbers, classes; what is not finite is counted again."""
    told = outputs(array, targets, classes=classes)
    found = written(tmp_path / "c.mbc", told).outputs_for(told, "inputs-0")
    np.testing.assert_array_equal(found.array, told.array)
    assert found.array.dtype.kind == told.array.dtype.kind
    assert found.classes == classes
    if targets is not None:
        assert found.targets is not None
        np.testing.assert_array_equal(found.targets, told.targets)
    assert found.nonfinite.sum() == (np.sum(~np.isfinite(array)) if array.dtype.kind == "f" else 0)


def test_another_order_of_many(tmp_path: Path) -> None:
    """Ids pair what comes in another order, over all parts."""
    rng = np.random.default_rng(0)
    array, order = rng.normal(size=(MANY, 2)), rng.permutation(MANY)
    ids = [f"sample {i}" for i in range(MANY)]
    contract = written(tmp_path / "c.mbc", outputs(array, np.arange(MANY), ids))
    student = outputs(np.zeros(MANY), np.arange(MANY)[order], [ids[i] for i in order])
    found = contract.outputs_for(student, "other first inputs")
    np.testing.assert_array_equal(found.array, array[order])
    assert list(found.ids) == list(student.ids)


def test_several_evaluation_sets(tmp_path: Path) -> None:
    """Each student gets the outputs for its own inputs, also where sets are equally large."""
    first, second = outputs(np.zeros(5)), outputs(np.ones(5))
    contract = written(tmp_path / "c.mbc", first, second)
    assert contract.outputs_for(first, "inputs-1").array.tolist() == [1.0] * 5
    assert contract.outputs_for(first, "inputs-0").array.tolist() == [0.0] * 5
    with pytest.raises(DataError, match="is for other inputs, or for these in another order"):
        contract.outputs_for(first, "inputs-2")


def test_large_sets_are_streamed(tmp_path: Path) -> None:
    """Neither writing nor reading holds all of it."""
    rows = 2_000_000
    path = tmp_path / "large.npy"
    held = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(rows, 20))
    held[:] = np.arange(20)
    told = outputs(held)
    whole = held.nbytes
    tracemalloc.start()
    contract = written(tmp_path / "c.mbc", told)
    found = contract.outputs_for(told, "inputs-0")
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < whole / 2
    np.testing.assert_array_equal(found.array[-1], np.arange(20))
