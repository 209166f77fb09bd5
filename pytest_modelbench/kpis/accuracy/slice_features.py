"""The numbers of each sample in which a weak slice is searched: of its inputs, or of the groups it is in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pytest_modelbench.data.arrays import as_array, is_tensor, leaves, number_parts
from pytest_modelbench.data.evaldata import EvalData
from pytest_modelbench.errors import DataError, DoesNotFit

MOST_FEATURES = 1000
MOST_NUMBERS = 64 * 2**20
Array = npt.NDArray[np.float32]


class Features(NamedTuple):
    """`values` has a row for each sample of `rows`, the positions of samples in order; `of` says what they are."""

    values: Array
    names: Sequence[str]
    rows: npt.NDArray[np.intp]
    of: str


def features_of(data: EvalData, n: int, seed: int) -> Features:
    """Return numbers of `n` samples: those of their inputs, or else of their sensitive features and slices.

    Inputs are read batch by batch. Of very many numbers only those of a random part of the samples are kept.

    Raises:
        DoesNotFit: the inputs have no numbers, too many, or not as many for each sample, and the data name no groups.
    """
    try:
        return _of_inputs(data, n, seed)
    except DoesNotFit as reason:
        named = [*data.sensitive(), *data.slices()]
        if not named:
            raise
        codes = [
            (f"{grouping.name}={name}" if grouping in data.sensitive() else name)
            for grouping in named
            for name in grouping.names
        ]
        columns = [mask for grouping in named for _, mask in grouping.with_names()]
        if len(columns) > MOST_FEATURES or any(len(mask) != n for mask in columns):
            raise
        values = np.stack(columns, axis=1).astype(np.float32)
        return Features(values, codes, np.arange(n), f"sensitive features and slices ({reason})")


def _of_inputs(data: EvalData, n: int, seed: int) -> Features:
    kept: list[Array] = []
    names: list[str] = []
    rows = np.arange(n)
    start = 0
    for batch in data.batches():
        values, called = _numbers_of(batch.inputs)
        if not names:
            names = called
            if len(names) * n > MOST_NUMBERS:
                rows = np.sort(np.random.default_rng(seed).permutation(n)[: MOST_NUMBERS // len(names)])
        if len(called) != len(names):
            raise DoesNotFit(
                f"weak_slice_drop searches equally many numbers for each sample, and the inputs have {len(names)} in "
                f"the first batch and {len(called)} in a later one. Name slices instead: EvalData(..., slices=...)"
            )
        first, last = np.searchsorted(rows, [start, start + len(values)])
        kept.append(values[rows[first:last] - start])
        start += len(values)
    if start != n:
        raise DataError(f"the data gave {start} samples when they were read again, and {n} before")
    return Features(np.nan_to_num(np.concatenate(kept)), names, rows, "inputs")


def _numbers_of(inputs: Any) -> tuple[Array, list[str]]:
    """Return the numbers of a batch, (samples, numbers), and what each is called."""
    parts: list[Array] = []
    names: list[str] = []
    for name, leaf in _named_leaves(inputs):
        for called, part in _columns(name, leaf):
            flat = part.reshape(len(part), -1)
            parts.append(flat.astype(np.float32))
            names += [
                called if called and flat.shape[1] == 1 else f"{called or 'x'}[{i}]" for i in range(flat.shape[1])
            ]
    if not 0 < len(names) <= MOST_FEATURES:
        raise DoesNotFit(
            f"weak_slice_drop searches up to {MOST_FEATURES} numbers for each sample, and the inputs have "
            f"{len(names)}. Name slices instead: EvalData(..., slices=...)"
        )
    return np.concatenate(parts, axis=1), names


def _named_leaves(inputs: Any) -> list[tuple[str, Any]]:
    if isinstance(inputs, Mapping):
        return [(str(name), leaf) for name, tree in inputs.items() for leaf in leaves(tree)]
    arrays = leaves(inputs)
    return [("" if len(arrays) == 1 else f"x{number}", leaf) for number, leaf in enumerate(arrays)]


def _columns(name: str, leaf: Any) -> list[tuple[str, npt.NDArray[Any]]]:
    """Return the numbers of a leaf, with truth values as 0 and 1; of a frame each column's."""
    if hasattr(leaf, "columns"):
        return [(str(column), part) for column in leaf.columns for _, part in _columns("", leaf[column])]
    values = as_array(leaf) if is_tensor(leaf) or hasattr(leaf, "dtype") else None
    if values is not None and values.dtype.kind == "b":
        return [(name, values.astype(np.float32))]
    return [(name, part) for part in number_parts(leaf)]
