"""Parts of data in memory: where they begin, and what is sent of them."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from scipy import sparse

from pytest_modelbench.bench.cut_pass import Part, parts_of
from pytest_modelbench.data.evaldata import EvalData


@pytest.mark.parametrize("shards", [1, 3, 4, 7, 100])
def test_parts_begin_where_batches_do(shards: int) -> None:
    """All samples once, in order, in at most as many parts as there are batches."""
    data = EvalData(np.arange(103.0).reshape(-1, 1), np.zeros(103, dtype=int), batch_size=10)
    parts = parts_of(data, 11, shards)
    assert [sample for part in parts for sample in part.samples] == list(range(103))
    assert all(part.samples.start % 10 == 0 for part in parts)
    assert len(parts) == min(shards, 11)
    assert max(len(part.samples) for part in parts) <= 10 * -(-11 // len(parts))


@pytest.mark.parametrize(
    "inputs",
    [
        np.arange(80_000.0).reshape(-1, 4),
        torch.arange(80_000.0).reshape(-1, 4),
        {"a": torch.arange(20_000.0), "b": np.arange(20_000)},
        sparse.csr_matrix(np.eye(20_000, 4)),
        [f"text {number}" for number in range(20_000)],
    ],
    ids=["array", "tensor", "mapping", "sparse", "texts"],
)
def test_only_the_samples_of_a_part_are_sent(inputs: object) -> None:
    """Views of tensors, too; they arrive as data with their own ids, and batches as in the whole."""
    data = EvalData(inputs, np.zeros(20_000, dtype=int), batch_size=50)
    sent = pickle.dumps(Part(data, range(200, 350)))
    assert len(sent) < len(pickle.dumps(data.inputs)) / 20
    arrived = list(pickle.loads(sent).batches())  # noqa: S301 - our own
    whole = list(data.batches())[4:7]
    assert [list(batch.ids) for batch in arrived] == [list(batch.ids) for batch in whole]
    for ours, theirs in zip(arrived, whole, strict=True):
        assert str(ours.inputs) == str(theirs.inputs)


def test_ids_of_texts_travel() -> None:
    """They name samples in a worker's messages."""
    data = EvalData(np.zeros((5, 2)), ids=list("abcde"), batch_size=2)
    (batch,) = pickle.loads(pickle.dumps(Part(data, range(2, 4)))).batches()  # noqa: S301 - our own
    assert list(batch.ids) == ["c", "d"]
    assert str(Part(data, range(2, 4))) == "samples 2 to 3"
