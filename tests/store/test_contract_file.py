"""The file of a contract: what comes back of large sets, other types, other orders."""

from __future__ import annotations

import dataclasses
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_modelbench.data.evaldata import EvalData
from pytest_modelbench.errors import DataError
from pytest_modelbench.probes.answers.predictions import Outputs
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


def data_of(told: Outputs, salt: float = 0.0) -> EvalData:
    """Return evaluation data with these ids and targets, whose inputs are the ids' numbers."""
    ids = None if isinstance(told.ids, range) else told.ids
    numbers = range(len(told)) if ids is None else [int(one.split()[-1]) for one in ids]
    return EvalData(np.array([[salt + n] for n in numbers]), told.targets, ids=ids)


def written(path: Path, *recorded: tuple[Outputs, EvalData]) -> Contract:
    data = [
        RecordedData(
            outputs=one, key=of.fingerprint(), reading=of.reading, spot={} if of.ids is None else of.row_hashes()
        )
        for one, of in recorded
    ]
    write_contract(Recorded(data=data), path, {}, {})
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
    data = data_of(told)
    found = written(tmp_path / "c.mbc", (told, data)).outputs_for(told, data)
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
    recorded = outputs(array, np.arange(MANY), ids)
    contract = written(tmp_path / "c.mbc", (recorded, data_of(recorded)))
    student = outputs(np.zeros(MANY), np.arange(MANY)[order], [ids[i] for i in order])
    found = contract.outputs_for(student, data_of(student))
    np.testing.assert_array_equal(found.array, array[order])
    assert list(found.ids) == list(student.ids)
    with pytest.raises(DataError, match="is for other inputs: sample .* has others"):
        contract.outputs_for(student, data_of(student, salt=0.5))
    with pytest.raises(DataError, match="is for other inputs: "):
        contract.outputs_for(recorded, data_of(recorded, salt=0.5))


def test_several_evaluation_sets(tmp_path: Path) -> None:
    """Each student gets the outputs for its own inputs, also where sets are equally large, or read otherwise."""
    first, second = outputs(np.zeros(5)), outputs(np.ones(5))
    one, other, third = data_of(first), data_of(first, salt=0.5), data_of(first, salt=0.25)
    contract = written(tmp_path / "c.mbc", (first, one), (second, other))
    assert contract.outputs_for(first, other).array.tolist() == [1.0] * 5
    assert contract.outputs_for(first, one).array.tolist() == [0.0] * 5
    with pytest.raises(DataError, match="is for other inputs: or these in another order"):
        contract.outputs_for(first, third)
    with pytest.raises(DataError, match="was recorded with other output settings"):
        contract.outputs_for(first, EvalData(one.inputs, select="age"))


def test_inputs_that_were_not_finite(tmp_path: Path) -> None:
    """Whether a sample was fed NaN is kept: its answer is excused."""
    told = dataclasses.replace(outputs(np.zeros(5)), input_finite=np.array([True, False, True, True, True]))
    data = data_of(told)
    found = written(tmp_path / "c.mbc", (told, data)).outputs_for(told, data)
    assert found.input_finite.tolist() == told.input_finite.tolist()


@pytest.mark.slow
def test_large_sets_are_streamed(tmp_path: Path) -> None:
    """Neither writing nor reading holds all of it, however wide a row is."""
    rows = 20_000
    path = tmp_path / "large.npy"
    held = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(rows, 5_000))
    held[:] = np.arange(5_000)
    told = outputs(held)
    data = data_of(told)
    tracemalloc.start()
    contract = written(tmp_path / "c.mbc", (told, data))
    found = contract.outputs_for(told, data)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < held.nbytes / 2
    np.testing.assert_array_equal(found.array[-1], np.arange(5_000))
