"""The samples that are attacked: a random subset, the same for every model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_modelbench.data.arrays import as_array
from pytest_modelbench.data.evaldata import EvalData
from pytest_modelbench.errors import DoesNotFit

Array = npt.NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Ground:
    """The samples that are attacked, all in memory."""

    inputs: Array
    targets: Array
    ids: tuple[Any, ...]
    data: EvalData


def ground_of(data: EvalData, samples: int, seed: int) -> Ground:
    """Return the samples that are attacked, in the order in which they are.

    Raises:
        DoesNotFit: the data have no targets, or no single array of inputs.
    """
    count = data.source.length
    if count is None:
        count = sum(len(batch.ids) for batch in data.batches())
    chosen = np.random.default_rng([seed, count]).permutation(count)[:samples].tolist()
    rows = _rows(data, set(chosen))
    inputs = np.stack([rows[row][0] for row in chosen])
    subset = EvalData(
        inputs,
        _flat(np.asarray([rows[row][1] for row in chosen])),
        task=data.task,
        outputs=data.outputs,
        select=data.select,
        classes=data.classes,
        batch_size=data.batch_size,
    )
    ids = tuple(rows[row][2] for row in chosen)
    return Ground(inputs=inputs, targets=as_array(subset.targets), ids=ids, data=subset)


def _rows(data: EvalData, chosen: set[int]) -> dict[int, tuple[Array, Any, Any]]:
    """Return input, target and id of the chosen rows."""
    rows: dict[int, tuple[Array, Any, Any]] = {}
    start = 0
    for batch in data.batches():
        _refuse(batch.inputs, batch.targets)
        inside = [row for row in range(len(batch.ids)) if start + row in chosen]
        if inside:
            array, labels = as_array(batch.inputs), as_array(batch.targets)
            rows |= {start + row: (array[row].copy(), labels[row], batch.ids[row]) for row in inside}
        start += len(batch.ids)
    return rows


def _refuse(inputs: object, targets: Sequence[Any] | None) -> None:
    if targets is None:
        raise DoesNotFit("attacks need targets, and the evaluation data have none")
    if isinstance(inputs, dict | tuple) or not hasattr(inputs, "shape"):
        raise DoesNotFit("attacks change one array of floating-point inputs, and the data have several, or no array")


def _flat(labels: Array) -> Array:
    """Return labels of shape (n, 1) as (n,)."""
    return labels.reshape(len(labels), -1)[:, 0] if labels.ndim > 1 and labels[0].size == 1 else labels
