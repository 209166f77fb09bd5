"""Evaluation data: every form of it, batches of any size, the same order for every model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import (
    DataLoader,
    Dataset,
    IterableDataset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

from pytest_modelbench import EvalData
from pytest_modelbench.data.arrays import as_array, leaves
from pytest_modelbench.data.given import as_eval_data
from pytest_modelbench.errors import DataError

ROWS = 10
INPUTS = np.arange(ROWS * 2, dtype=np.float32).reshape(ROWS, 2)
TARGETS = np.arange(ROWS) % 3


class Stream(IterableDataset[Any]):
    """Samples of unknown number."""

    def __iter__(self) -> Iterator[Any]:
        return iter(zip(torch.from_numpy(INPUTS), TARGETS.tolist(), strict=True))


class Batches:
    """A re-iterable of uneven batches."""

    def __iter__(self) -> Iterator[Any]:
        yield INPUTS[:3], TARGETS[:3]
        yield INPUTS[3:4], TARGETS[3:4]
        yield INPUTS[4:], TARGETS[4:]


class BatchedStream(IterableDataset[Any]):
    """A dataset that makes its batches itself."""

    def __iter__(self) -> Iterator[Any]:
        return iter(Batches())


def tensors() -> Dataset[Any]:
    return TensorDataset(torch.from_numpy(INPUTS), torch.from_numpy(TARGETS))


FORMS: dict[str, Any] = {
    "arrays": lambda: (INPUTS, TARGETS),
    "tensors": lambda: (torch.from_numpy(INPUTS), torch.from_numpy(TARGETS)),
    "mapping": lambda: EvalData({"x": INPUTS, "y": TARGETS}, target="y"),
    "frame": lambda: EvalData(pd.DataFrame({"a": INPUTS[:, 0], "b": INPUTS[:, 1], "y": TARGETS}), target="y"),
    "dataset": tensors,
    "loader": lambda: DataLoader(tensors(), batch_size=4),
    "shuffled-loader": lambda: DataLoader(tensors(), batch_size=4, shuffle=True),
    "iterable-dataset": Stream,
    "iterable-loader": lambda: DataLoader(Stream(), batch_size=3),
    "unbatched-loader": lambda: DataLoader(BatchedStream(), batch_size=None),
    "batches": Batches,
    "list-of-batches": lambda: list(Batches()),
}


def read(data: EvalData, size: int) -> tuple[list[int], np.ndarray, np.ndarray, list[Any]]:
    """Return batch sizes, all inputs as two columns, all targets and all ids."""
    batches = list(data.batches(size))
    columns = [
        np.concatenate([np.reshape(as_array(leaf), (len(b.ids), -1)) for leaf in leaves(b.inputs)], axis=1)
        for b in batches
    ]
    targets = np.concatenate([as_array(batch.targets) for batch in batches])
    return [len(b.ids) for b in batches], np.concatenate(columns), targets, [i for b in batches for i in b.ids]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("size", [1, 4, 100])
def test_every_form_gives_the_same_samples(form: str, size: int) -> None:
    """Whatever the form, batches have the size asked for and samples come in order with their positions."""
    sizes, inputs, targets, ids = read(as_eval_data(FORMS[form]()), size)
    assert sizes[:-1] == [size] * (len(sizes) - 1)
    assert sum(sizes) == ROWS
    np.testing.assert_array_equal(inputs, INPUTS)
    np.testing.assert_array_equal(targets, TARGETS)
    assert ids == list(range(ROWS))


@pytest.mark.parametrize("form", ["arrays", "tensors", "mapping"])
def test_batches_are_views(form: str) -> None:
    """Nothing is copied: a batch shares memory with what the user gave."""
    batch = next(as_eval_data(FORMS[form]()).batches(4))
    assert np.shares_memory(as_array(leaves(batch.inputs)[0]), INPUTS)


def test_length_is_known_or_unknown() -> None:
    """Streams do not know their length before they are read."""
    assert as_eval_data(FORMS["loader"]()).source.length == ROWS
    assert as_eval_data(Stream()).source.length is None
    assert as_eval_data(Batches()).source.length is None


def test_sampler_is_asked_once() -> None:
    """A subset stays the subset, and every pass gives every model the same samples in the same order."""
    loader = DataLoader(tensors(), batch_size=2, sampler=SubsetRandomSampler([7, 1, 4, 2]))
    data = as_eval_data(loader)
    first, second = read(data, 3), read(data, 3)
    np.testing.assert_array_equal(first[1], second[1])
    assert sorted(first[1][:, 0].tolist()) == [2.0, 4.0, 8.0, 14.0]
    weighted = as_eval_data(DataLoader(tensors(), sampler=WeightedRandomSampler([1.0] * ROWS, 6)))
    assert weighted.source.length == 6


def test_fingerprint_is_the_content_whatever_the_batches() -> None:
    """The same samples have one fingerprint at every batch size; one other target changes it."""
    prints = {EvalData(INPUTS, TARGETS, batch_size=size).fingerprint() for size in (1, 3, 100)}
    assert len(prints) == 1
    changed = TARGETS.copy()
    changed[-1] += 1
    assert EvalData(INPUTS, changed).fingerprint() not in prints
    assert EvalData(INPUTS.astype(np.float64), TARGETS).fingerprint() not in prints


def test_what_outputs_mean_is_part_of_the_key() -> None:
    """The same samples read as logits and as probabilities are two questions."""
    assert EvalData(INPUTS, TARGETS, outputs="logits").key != EvalData(INPUTS, TARGETS).key
    assert EvalData(INPUTS, TARGETS).key == EvalData(INPUTS.copy(), TARGETS.copy()).key


def test_ids_of_ones_own() -> None:
    """Reports name samples as the user does."""
    data = EvalData(INPUTS, TARGETS, ids=[f"image-{i}" for i in range(ROWS)])
    assert list(list(data.batches(4))[1].ids) == ["image-4", "image-5", "image-6", "image-7"]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: EvalData(INPUTS, TARGETS[:-1]), "there are 10 inputs and 9 targets"),
        (lambda: EvalData({"a": INPUTS, "b": INPUTS[:3]}), r"different lengths: \{a: \(10, 2\), b: \(3, 2\)\}"),
        (lambda: EvalData(INPUTS[:0], TARGETS[:0]), "the evaluation data is empty"),
        (lambda: list(EvalData(iter_again([])).batches()), "reading it gave no sample"),
        (lambda: EvalData(iter([1])), "can be read only once"),
        (lambda: EvalData(tensors(), TARGETS), "targets were given together with a TensorDataset"),
        (lambda: EvalData(Batches(), TARGETS), "targets were given together with an iterable of batches"),
        (
            lambda: EvalData(pd.DataFrame({"a": [1]}), target="y"),
            "there is no column 'y' in the inputs; there are 'a'",
        ),
        (lambda: EvalData({"a": INPUTS}, target="y"), "there is no column 'y' in the inputs; there are 'a'"),
        (lambda: EvalData(INPUTS, TARGETS, target="y"), "both targets and target='y'"),
        (lambda: EvalData(INPUTS, target="y"), "names a column, and the inputs are a ndarray"),
        (lambda: EvalData("data.csv"), "found str"),
        (lambda: as_eval_data(pd.DataFrame({"a": [1]})), r"EvalData\(frame, target='column'\)"),
        (lambda: EvalData(INPUTS, batch_size=0), "expected an integer of at least 1"),
        (lambda: EvalData(INPUTS, ids=[1]), "there are 10 samples and 1 ids"),
        (lambda: list(EvalData(Batches(), ids=[1]).batches()), "more samples than the 1 ids"),
        (lambda: list(EvalData(iter_again([(1, 2, 3)])).batches()), "a batch has 3 parts"),
        (lambda: list(EvalData(iter_again([(INPUTS, TARGETS[:4])])).batches(100)), "10 inputs and 4 targets"),
    ],
)
def test_bad_data(make: Any, words: str) -> None:
    """Each fault is one clear error."""
    with pytest.raises(DataError, match=words):
        make()


def iter_again(items: list[Any]) -> Any:
    class Again:
        def __iter__(self) -> Iterator[Any]:
            return iter(items)

    return Again()


@pytest.mark.parametrize(
    "changed",
    [
        lambda rows: rows,
        lambda rows: [torch.as_tensor(row) for row in rows],
        lambda rows: [{"sound": row, "rate": 8000} for row in rows],
        lambda rows: [(row, [row]) for row in rows],
    ],
    ids=["arrays", "tensors", "mappings", "tuples"],
)
def test_long_arrays_in_lists_count_in_full(changed: Callable[[Any], Any]) -> None:
    """Clips of several lengths come as lists, and printing a long array leaves its middle out."""
    clips = [np.linspace(0, 1, 3000, dtype=np.float32), np.linspace(0, 1, 4000, dtype=np.float32)]
    noisy = [clip.copy() for clip in clips]
    noisy[0][1500] = 9
    first, second, again = (EvalData(changed(one), np.array([0, 1])) for one in (clips, noisy, [*clips]))
    assert first.fingerprint() == again.fingerprint() != second.fingerprint()
    assert first.key == again.key != second.key
    assert first.row_hashes()["0"] != second.row_hashes()["0"]
    assert first.row_hashes()["1"] == second.row_hashes()["1"]


def test_rows_of_objects_are_hashed() -> None:
    """Rows of a frame with words, rows with gaps, and objects that are no arrays though they have a dtype."""

    class Odd:
        dtype = "odd"

        def __repr__(self) -> str:
            return "odd"

    frame = pd.DataFrame({"age": [1, 2], "job": ["a", "b"]})
    for rows in (list(frame.to_numpy()), [[1, None], [2, "x"]], [Odd(), Odd()]):
        assert EvalData(rows, np.array([0, 1])).key == EvalData([*rows], np.array([0, 1])).key
    other = list(frame.replace("b", "c").to_numpy())
    assert EvalData(other, np.array([0, 1])).key != EvalData(list(frame.to_numpy()), np.array([0, 1])).key


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_inputs_are_cast_when_a_batch_is_made(dtype: str) -> None:
    """Integers and floats of arrays, tensors, lists, frames and mappings; texts, booleans and the original stay."""
    bytes_ = np.arange(20, dtype=np.uint8).reshape(10, 2)
    frame = pd.DataFrame({"a": range(10), "word": list("abcdefghij"), "yes": [True] * 10})
    mapping = {"x": torch.from_numpy(bytes_), "mask": torch.ones(10, dtype=torch.bool), "text": ["a"] * 10}
    forms = (bytes_, mapping, frame, bytes_.tolist(), [np.zeros(3, np.uint8), *[np.zeros(2, np.uint8)] * 9])
    arrays, tree, table, numbers, ragged = (
        next(EvalData(form, TARGETS, dtype=dtype).batches(4)).inputs for form in forms
    )
    assert arrays.dtype == numbers.dtype == dtype == table["a"].dtype
    assert bytes_.dtype == np.uint8
    assert {str(row.dtype) for row in ragged} == {dtype}
    assert (tree["x"].dtype, tree["mask"].dtype, tree["text"]) == (getattr(torch, dtype), torch.bool, ["a"] * 4)
    assert (table["word"].tolist(), table["yes"].dtype) == (list("abcd"), bool)


def test_one_input_of_several_is_cast() -> None:
    """Token ids stay integers beside images in half precision, and a transform sees what the model sees."""
    both = {"ids": torch.ones(10, 3, dtype=torch.int64), "image": torch.ones(10, 4, dtype=torch.uint8)}
    data = EvalData(both, dtype={"image": "bfloat16"})
    seen = [next(one.batches(4)).inputs for one in (data, data.mapped(lambda inputs: inputs))]
    assert {(one["ids"].dtype, one["image"].dtype) for one in seen} == {(torch.int64, torch.bfloat16)}
    assert data.inputs["image"].dtype == torch.uint8
    assert data.key != EvalData(both).key


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: EvalData(INPUTS, dtype="int8"), "dtype: found 'int8', expected one of float16, bfloat16"),
        (
            lambda: EvalData(INPUTS, dtype=cast(Any, torch.float32)),
            r"dtype: found torch.float32, .*Write dtype='float32'",
        ),
        (lambda: EvalData(INPUTS, dtype=cast(Any, np.float64)), "Write dtype='float64'"),
        (lambda: list(EvalData(INPUTS, dtype="bfloat16").batches()), "for tensors, and the inputs are ndarray"),
        (
            lambda: list(EvalData(INPUTS, dtype={"x": "float16"}).batches()),
            "no input 'x'; the inputs are one ndarray",
        ),
        (lambda: list(EvalData({"a": INPUTS}, dtype={"x": "float16"}).batches()), "no input 'x'; the inputs are a"),
    ],
)
def test_number_type_that_does_not_fit(make: Any, words: str) -> None:
    """Each fault is one clear error."""
    with pytest.raises(DataError, match=words):
        make()
