"""Forms of data from other libraries, what goes to the model of them, and mistakes in the arguments."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import datasets
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch
from torch.utils.data import DataLoader

from pytest_modelbench import EvalData, FakeModel
from pytest_modelbench.data.arrays import join, pick, rows
from pytest_modelbench.data.given import as_eval_data
from pytest_modelbench.data.missing import as_values, missing_of
from pytest_modelbench.errors import DataError
from pytest_modelbench.probes.answers.predictions import collect_outputs
from pytest_modelbench.probes.answers.stability import batch_variants

ROWS = 12
INPUTS = np.arange(ROWS * 2, dtype=np.float32).reshape(ROWS, 2)
TARGETS = np.arange(ROWS) % 3


def table(**more: Any) -> Any:
    """Return a dataset of Hugging Face with a text, ids, a label, and more columns."""
    texts = [f"word {index}" for index in range(ROWS)]
    return datasets.Dataset.from_dict({"text": texts, "ids": INPUTS.tolist(), "label": TARGETS.tolist(), **more})


def first(data: Any, size: int = 5) -> Any:
    """Return the first batch."""
    return next(as_eval_data(data).batches(size))


def test_hugging_face_dataset() -> None:
    """Numbers become arrays, texts stay lists, and the column `label` is the target, which the report says."""
    data = as_eval_data(table())
    batches = list(data.batches(5))
    assert [len(batch.ids) for batch in batches] == [5, 5, 2]
    assert [*batches[0].inputs] == ["text", "ids"]
    np.testing.assert_array_equal(np.concatenate([batch.inputs["ids"] for batch in batches]), INPUTS)
    np.testing.assert_array_equal(np.concatenate([batch.targets for batch in batches]), TARGETS)
    assert data.notes == ["targets: the column 'label', by its name"]


def test_columns_that_the_model_takes() -> None:
    """One name gives the model the values alone, several give a mapping; a format that was set stays."""
    assert first(EvalData(table(), columns="text")).inputs == [f"word {index}" for index in range(5)]
    assert [*first(EvalData(table(), columns=["ids"])).inputs] == ["ids"]
    tensors = first(EvalData(table().with_format("torch"), columns="ids"))
    assert isinstance(tensors.inputs, torch.Tensor)
    assert isinstance(tensors.targets, torch.Tensor)
    frame = pd.DataFrame({"a": INPUTS[:, 0], "b": INPUTS[:, 1], "y": TARGETS})
    assert list(first(EvalData(frame, target="y", columns=["b"])).inputs.columns) == ["b"]
    assert first(EvalData({"x": INPUTS, "idx": TARGETS}, TARGETS, columns="x")).inputs.shape == (5, 2)


def test_streamed_hugging_face_dataset() -> None:
    """It has no length before it is read, and is read in the same order every time."""
    data = EvalData(table().to_iterable_dataset().shuffle(seed=1, buffer_size=6), columns="ids")
    assert data.source.length is None
    assert [sum(len(batch.ids) for batch in data.batches(5)) for _ in range(2)] == [ROWS, ROWS]


def test_loader_of_mappings_has_columns_too() -> None:
    """A loader over a dataset of Hugging Face, and a target of any name."""
    loader = DataLoader(table(grade=TARGETS.tolist()).remove_columns(["label", "text"]).with_format("torch"))
    batch = first(EvalData(loader, target="grade", columns="ids"))
    assert (batch.inputs.shape, batch.targets.tolist()) == ((5, 2), TARGETS[:5].tolist())


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: first(table(labels=[0] * ROWS)), "'labels' and 'label' may both be the target"),
        (
            lambda: first(EvalData(table(labels=[0] * ROWS), target="labels")),
            r"a column 'label' beside target='labels', and it would go to the model.*columns=\['text', 'ids'\]",
        ),
        (lambda: EvalData({"x": INPUTS, "labels": TARGETS}, TARGETS), "'labels' beside targets, and it would go"),
        (
            lambda: first(EvalData(table(), columns=["nope"])),
            "no column 'nope' in the inputs; there are 'text', 'ids'",
        ),
        (lambda: EvalData(table(), columns=[]), r"columns: found \[\], expected one name or a list of names"),
        (lambda: EvalData(table(), columns=["ids", "ids"]), "names one column twice"),
        (lambda: EvalData(table(), target="label", columns="label"), "'label' is the target, and would go"),
        (lambda: EvalData(INPUTS, columns="x"), "columns='x' names columns, and the inputs are a ndarray"),
        (lambda: EvalData({"label": TARGETS}), "no column except the target 'label'"),
        (lambda: EvalData(table(), TARGETS), "targets were given together with a Dataset"),
        (
            lambda: as_eval_data(datasets.DatasetDict(train=table(), test=table())),
            r"a DatasetDict with the splits 'train', 'test'; expected one of them. Write EvalData\(dataset\['test'\]\)",
        ),
        (lambda: first(EvalData(table(y=[None] * ROWS), target="y", columns="ids")), "5 of the 5 targets"),
    ],
)
def test_columns_that_are_not_clear(make: Any, words: str) -> None:
    """Labels never go to a model unsaid."""
    with pytest.raises(DataError, match=words):
        make()


def test_labels_of_a_mapping_are_targets() -> None:
    """In memory as in batches, and the report says so."""
    data = EvalData({"x": INPUTS, "labels": TARGETS})
    assert [*data.inputs] == ["x"]
    assert data.targets is TARGETS
    assert data.notes == ["targets: the column 'labels', by its name"]


@pytest.mark.parametrize("form", ["csr", "csc", "coo", "bsr", "lil", "dok"])
def test_sparse_matrices(form: str) -> None:
    """Rows are handed over as they are, in batches, in other orders, and again."""
    matrix = scipy.sparse.csr_matrix(INPUTS).asformat(cast(Any, form))
    seen: list[Any] = []

    def answer(batch: Any) -> Any:
        seen.append(batch)
        return batch.toarray()

    data = EvalData(matrix, TARGETS % 2, batch_size=5)
    outputs = collect_outputs(FakeModel(answer), data)
    np.testing.assert_array_equal(outputs.array, INPUTS)
    assert {(type(batch), batch.shape[0]) for batch in seen} == {
        (scipy.sparse.csr_matrix, 5),
        (scipy.sparse.csr_matrix, 2),
    }
    assert not any(one.changed.any() for one in batch_variants(FakeModel(answer), data, 10, 0, None))
    other = INPUTS.copy()
    other[11, 1] += 1
    prints = [
        EvalData(scipy.sparse.csr_matrix(one), batch_size=size).fingerprint()
        for one in (INPUTS, other)
        for size in (5, 12)
    ]
    assert prints[0] == prints[1] != prints[2] == prints[3]


def test_sparse_batches_are_joined() -> None:
    """Of a stream whose batches have other sizes than asked for."""
    parts = [(scipy.sparse.csr_matrix(INPUTS[:7]), TARGETS[:7]), (scipy.sparse.csr_matrix(INPUTS[7:]), TARGETS[7:])]
    found = [batch.inputs.toarray() for batch in EvalData(parts).batches(5)]
    assert [len(one) for one in found] == [5, 5, 2]
    np.testing.assert_array_equal(np.concatenate(found), INPUTS)


def test_sparse_tensors() -> None:
    """They give up rows as dense ones do."""
    tensor = torch.from_numpy(INPUTS).to_sparse()
    found = [batch.inputs.to_dense().numpy() for batch in EvalData(tensor, TARGETS).batches(5)]
    np.testing.assert_array_equal(np.concatenate(found), INPUTS)
    assert pick(tensor, np.array([3, 1])).to_dense().tolist() == INPUTS[[3, 1]].tolist()
    assert EvalData(tensor).fingerprint() != EvalData(tensor * 2).fingerprint()


def test_polars_frames() -> None:
    """With a target, with a column alone, cast, joined and reordered."""
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame({"a": INPUTS[:, 0], "word": list("abcdefghijkl"), "y": TARGETS})
    data = EvalData(frame, target="y", dtype="float64", batch_size=5, slices="word")
    batches = list(data.batches())
    assert [batch.inputs.columns for batch in batches] == [["a", "word"]] * 3
    assert batches[0].inputs["a"].dtype == polars.Float64
    outputs = collect_outputs(FakeModel(lambda batch: np.stack([batch["a"].to_numpy()] * 3, axis=1)), data)
    np.testing.assert_array_equal(outputs.targets, TARGETS)
    assert len(data.slices()[0].names) == ROWS
    assert join([batches[0].inputs, batches[1].inputs]).shape == (10, 2)
    assert pick(frame, np.array([2, 0]))["word"].to_list() == ["c", "a"]
    assert EvalData(frame, target="y", columns="word").inputs.to_list() == list("abcdefghijkl")
    assert data.fingerprint() != EvalData(frame.reverse(), target="y", dtype="float64").fingerprint()
    with pytest.raises(DataError, match=r"a LazyFrame, which has no rows yet. Write frame.collect\(\)"):
        EvalData(frame.lazy(), target="y")


class Indexed:
    """A dataset by its methods alone."""

    def __len__(self) -> int:
        return ROWS

    def __getitem__(self, index: int) -> Any:
        return INPUTS[index], int(TARGETS[index])


def test_dataset_by_its_methods() -> None:
    """Torch's loaders take any object with a length and items."""
    batch = first(Indexed())
    np.testing.assert_array_equal(batch.inputs, INPUTS[:5])


class Batches:
    """A stream of one batch."""

    def __init__(self, inputs: Any, targets: Any) -> None:
        self.batch = inputs, targets

    def __iter__(self) -> Iterator[Any]:
        yield self.batch


def test_texts_of_a_stream_are_one_input() -> None:
    """A list of texts is no list of several inputs."""
    assert rows(first(Batches(["good", "bad"], [0, 1])).inputs) == 2


NAN = float("nan")
Build: Any = EvalData  # as users call it, whose types nobody checks
MASKED = np.ma.masked_array(INPUTS, mask=INPUTS == 7)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Build(MASKED, TARGETS), "inputs: 1 of 24 values are masked, the first at position 3"),
        (lambda: first(Batches(MASKED, TARGETS)), "inputs: 1 of 24 values are masked, the first at position 3"),
        (
            lambda: Build(INPUTS, np.ma.masked_array(TARGETS, mask=TARGETS == 2)),
            "targets: 4 of 12 values are masked",
        ),
        (lambda: Build(INPUTS, "abc"), "targets: found 'abc', expected a list or an array"),
        (lambda: Build(INPUTS, np.array(3)), "targets: found a ndarray, expected"),
        (lambda: Build(INPUTS, {1, 2}), "targets: found a set, expected"),
        (lambda: Build(INPUTS, (one for one in TARGETS)), "targets: found a generator, expected"),
        (lambda: Build(INPUTS, ids={*range(ROWS)}), "ids: found a set, expected"),
        (lambda: Build(INPUTS, ids=(str(one) for one in TARGETS)), "ids: found a generator, expected"),
        (lambda: Build(INPUTS, ids="abcdefghijkl"), "ids: found 'abcdefghijkl', expected"),
        (lambda: Build(INPUTS, classes="abc"), "classes: found 'abc', expected a list with the label of each"),
        (lambda: Build(INPUTS, classes={0, 1}), "classes: found a set, expected a list"),
        (lambda: Build(INPUTS, classes=[]), r"classes: found \[\], expected at least two labels"),
        (lambda: Build(INPUTS, classes=[0, 1, 0]), r"classes: 0 stands twice in \[0, 1, 0\]"),
        (lambda: Build(INPUTS, batch_size="8"), "batch_size: found '8', expected an integer of at least 1"),
        (lambda: Build(INPUTS, batch_size=-4), "batch_size: found -4, expected"),
        (lambda: Build(INPUTS, batch_size=True), "batch_size: found True, expected"),
        (lambda: Build(INPUTS, select=1.0), "select: found 1.0, expected the name of a head, or its position"),
        (lambda: Build(INPUTS, select=-1), "select: found -1, expected"),
        (lambda: Build(INPUTS, task=["binary"]), r"task: found \['binary'\], expected one of multiclass"),
        (lambda: Build({"x": INPUTS, "rate": 8000}), r"inputs\['rate'\]: found 8000, expected an array"),
        (lambda: Build({"x": {"y": None}}), r"inputs\['x'\]\['y'\]: found None, expected an array"),
        (lambda: first(Batches({"x": INPUTS, "rate": 8000}, TARGETS)), r"inputs\['rate'\]: found 8000, expected"),
        (lambda: Build({}), "the inputs are an empty dict"),
        (lambda: Build(np.array(1.0)), "inputs: found a ndarray, expected an array, a tensor or a list"),
        (lambda: Build({1, 2}), "found set"),
        (lambda: Build(INPUTS + 1j), r"complex numbers \(complex64\), expected real ones"),
        (lambda: Build(torch.zeros(2, dtype=torch.complex64)), "complex numbers"),
        (lambda: Build(torch.zeros(2, 2, device="meta")), "the device 'meta', which has no values"),
        (lambda: Build(tuple(np.zeros((30, 3, 8, 8))), np.zeros(30)), "A tuple is several inputs; for 30 samples"),
        (
            lambda: first(Batches([torch.zeros(3, 8, 8)] * 30, np.zeros(30))),
            r"a list of 30 arrays of shape \(3, 8, 8\) and 30 targets: one array for each sample, .*torch.stack\(inputs\)",
        ),
        (lambda: first(Build(INPUTS, ["a", NAN] * 6)), "2 of the 5 targets of a batch are missing, .* sample 1"),
        (lambda: first(Build(INPUTS, ["a", pd.NA] * 6)), "2 of the 5 targets of a batch are missing"),
        (lambda: first(Build(INPUTS, pd.Series(["a", None] * 6))), "2 of the 5 targets of a batch are missing"),
        (lambda: first(Build(INPUTS, ["a", 1] * 6)), "the targets mix texts and other values, such as 'a' and 1"),
    ],
)
def test_mistakes_in_arguments_and_forms(make: Any, words: str) -> None:
    """Each is one clear error that names the place."""
    with pytest.raises(DataError, match=words):
        make()


@pytest.mark.parametrize(
    ("column", "missing"),
    [
        (["a", NAN], [False, True]),
        (["a", None], [False, True]),
        ([1.0, NAN], [False, True]),
        ([1, 2], [False, False]),
        (np.ma.masked_array([1, 2], mask=[False, True]), [False, True]),
        (np.ma.masked_array([1, 2]), [False, False]),
        (pd.Series(["a", pd.NA]), [False, True]),
        (np.array(["2026-01-01", "NaT"], dtype="M8[D]"), [False, True]),
        (torch.tensor([1.0, NAN]), [False, True]),
    ],
)
def test_missing_is_missing_in_every_form(column: Any, missing: list[bool]) -> None:
    """A NaN among texts is not the text 'nan'."""
    assert missing_of(as_values(column)).tolist() == missing
