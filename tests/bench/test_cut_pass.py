"""Parts of data in memory: where they begin, and what is sent of them."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from scipy import sparse

from pytest_modelbench.bench.cut_pass import Part, joined, parts_of
from pytest_modelbench.data.evaldata import EvalData
from pytest_modelbench.errors import ModelError
from pytest_modelbench.probes.answers.predictions import Outputs


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


def part(rows: int, *, width: int = 2, bad: bool = False) -> Outputs:
    """Return outputs, all of them not finite for inputs that are not finite, or none."""
    return Outputs(
        model="net",
        array=np.full((rows, width), rows, dtype=np.float32),
        targets=None,
        ids=range(rows),
        nonfinite=np.full(rows, width if bad else 0, dtype=np.int32),
        input_finite=np.full(rows, not bad),
        classes=None,
        calls=1,
    )


def test_outputs_of_parts_are_put_together() -> None:
    """Rows, counts of what is not finite, and passes; another shape is an error that names the sample."""
    whole = joined(iter([part(2), part(3, bad=True)]), "net")
    assert whole.array[:, 0].tolist() == [2, 2, 3, 3, 3]
    assert whole.nonfinite.tolist() == [0, 0, 2, 2, 2]
    assert whole.input_finite.tolist() == [True, True, False, False, False]
    assert whole.calls == 2
    with pytest.raises(
        ModelError, match=r"net changed the shape of its output from \(\*, 2\) to \(\*, 4\) at sample 0"
    ):
        joined(iter([part(2), part(2, width=4)]), "net")
