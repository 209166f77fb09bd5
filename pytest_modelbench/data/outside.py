"""Samples that are none of the data's kind: those that the user names, and those that are made from the data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_modelbench.data.arrays import as_array, rows, shapes, take
from pytest_modelbench.data.evaldata import EvalData
from pytest_modelbench.data.hashing import row_hash
from pytest_modelbench.errors import DataError, DoesNotFit, cause_of

Array = npt.NDArray[Any]
SAMPLES = 1000
"""How many samples are made."""


def noise(inputs: Array, rng: np.random.Generator) -> Array:
    """Return uniform noise between the least and the greatest value of each column, or of all pixels."""
    axes = 0 if inputs.ndim == 2 else None
    low, high = inputs.min(axis=axes), inputs.max(axis=axes)
    return rng.uniform(low, high, inputs.shape).astype(inputs.dtype)


def shuffled(inputs: Array, rng: np.random.Generator) -> Array:
    """Return the samples with the values of each in a random order; of a table, each column over the rows."""
    if inputs.ndim == 2:
        return np.stack([column[rng.permutation(len(column))] for column in inputs.T], axis=1)
    flat = inputs.reshape(len(inputs), -1)
    return np.asarray(rng.permuted(flat, axis=1).reshape(inputs.shape))


MADE: Mapping[str, Callable[[Array, np.random.Generator], Array]] = {"noise": noise, "shuffled": shuffled}
"""What can be made of one array of numbers."""


def sets_outside(data: EvalData, asked: str | Callable[[], Any] | None, seed: int) -> dict[str, EvalData]:
    """Return the sets that a gate asks for, each with the samples that the models are asked for.

    Args:
        data: the evaluation data, which are inside.
        asked: the name of a set of the data's, of `MADE`, or a function that returns inputs; None for all of the
            data's.
        seed: of sets that are made.

    Raises:
        DataError: there is no such set, it is empty, of another form than the data, or holds samples of the data.
        DoesNotFit: none is asked for, and the data have none.
    """
    named = dict(data.ood)
    if asked is None:
        if not named:
            raise DoesNotFit(
                "nothing says what is out of distribution. Write EvalData(..., ood={'name': inputs}), or ood= with "
                f"'module:function' or {', '.join(map(repr, MADE))}"
            )
        return {name: _checked(name, inputs, data) for name, inputs in named.items()}
    if callable(asked):
        try:
            inputs = asked()
        except Exception as error:
            raise DataError(f"ood= raised {cause_of(error)}") from error
        name = getattr(asked, "__name__", "ood")
        return {name: _checked(name, inputs, data)}
    if asked in named:
        return {asked: _checked(asked, named[asked], data)}
    if asked not in MADE:
        known = ", ".join(map(repr, [*named, *MADE]))
        raise DataError(f"ood={asked!r} is unknown, expected one of {known}, or 'module:function'")
    made = MADE[asked](_numbers(data), np.random.default_rng([seed, *asked.encode()]))
    return {asked: _asked_like(made, data)}


def _numbers(data: EvalData) -> Array:
    """Return the first samples of the data as one array of numbers.

    Raises:
        DoesNotFit: they are none.
    """
    parts, count = [], 0
    for batch in data.batches():
        if not hasattr(batch.inputs, "shape") or as_array(batch.inputs).dtype.kind not in "fiu":
            raise DoesNotFit(
                f"noise and shuffled values are made of one array of numbers, and a batch of the data is "
                f"{shapes(batch.inputs)}. Bring a set: EvalData(..., ood={{'name': inputs}})"
            )
        parts.append(as_array(batch.inputs))
        count += len(batch.ids)
        if count >= SAMPLES:
            break
    return np.concatenate(parts)[:SAMPLES]


def _asked_like(inputs: Any, data: EvalData) -> EvalData:
    return EvalData(inputs, batch_size=data.batch_size, select=data.select, dtype=data.dtype)


def _checked(name: str, inputs: Any, data: EvalData) -> EvalData:
    try:
        outside = _asked_like(inputs, data)
    except DataError as error:
        raise DataError(f"the set {name!r} of ood=: {error}") from error
    ours, theirs = next(iter(data.batches(1))).inputs, next(iter(outside.batches(1))).inputs
    if shapes(ours) != shapes(theirs):
        raise DataError(
            f"a sample of the set {name!r} of ood= is {shapes(theirs)}, and one of the data is {shapes(ours)}"
        )
    inside = set(_hashes(data))
    both = sum(number in inside for number in _hashes(outside))
    if both:
        raise DataError(
            f"{both} samples of the set {name!r} of ood= are samples of the data: what is inside cannot be outside. "
            "Remove them"
        )
    return outside


def _hashes(data: EvalData) -> list[int]:
    return [
        row_hash(take(batch.inputs, row, row + 1)) for batch in data.batches() for row in range(rows(batch.inputs))
    ]
