"""Apply a corruption to batches: the same inputs for every model, made when they are read and never stored."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_modelbench.data.arrays import (
    as_array,
    duplicate,
    is_tensor,
    join,
    leaves,
    like,
    map_tree,
    number_parts,
    take,
)
from pytest_modelbench.data.chunks import Chunk, Source, resize
from pytest_modelbench.data.corruptions import images, series, tabular, text
from pytest_modelbench.data.corruptions.fitting import Fit, IntArray, Leaf, columns_of, least_and_most, outside, read
from pytest_modelbench.data.corruptions.names import Cell
from pytest_modelbench.data.corruptions.streams import Generators, stream, streams
from pytest_modelbench.data.evaldata import EvalData
from pytest_modelbench.errors import DataError, cause_of

Array = npt.NDArray[Any]


Beat = Callable[[], None]


def _silent() -> None:
    """Do nothing."""


def corrupted(
    data: EvalData, cell: Cell, found: Fit, chosen: IntArray | None = None, beat: Beat = _silent
) -> EvalData:
    """Return evaluation data whose inputs are corrupted batch by batch, when they are read.

    Args:
        data: the evaluation data.
        cell: the corruption, its severity and seed.
        found: what `fit` found in the data.
        chosen: the positions of the samples that are used, in order; all by default.
        beat: called for each sample, so that a watchdog knows that work goes on.
    """
    ids = None if chosen is None else [data.ids[i] if data.ids is not None else i for i in chosen.tolist()]
    return data.derived(CorruptedSource(data, cell, found, chosen, beat), ids)


class CorruptedSource(Source):
    """Some samples of evaluation data with corrupted inputs."""

    def __init__(self, data: EvalData, cell: Cell, found: Fit, chosen: IntArray | None, beat: Beat) -> None:
        self._data = data
        self._cell = cell
        self._leaves = found.leaves[cell.corruption.family]
        self._chosen = chosen
        self._beat = beat
        self.notes = data.source.notes

    @property
    def length(self) -> int | None:
        """The number of samples, as far as it is known before reading."""
        return self._data.source.length if self._chosen is None else len(self._chosen)

    def batches(self, batch_size: int) -> Iterator[Chunk]:
        """Yield corrupted batches.

        Raises:
            DataError: a custom corruption raised, or returned something else than a sample of the same form.
        """
        yield from resize(self._corrupted(batch_size), batch_size)

    def _corrupted(self, batch_size: int) -> Iterator[Chunk]:
        for inputs, targets, ids in read(self._data, batch_size, self._chosen):
            yield apply(inputs, ids, self._cell, self._leaves, self._beat), targets


def apply(inputs: Any, ids: Sequence[Any], cell: Cell, forms: Sequence[Leaf], beat: Beat = _silent) -> Any:
    """Return a batch's inputs corrupted; the batch itself stays as it is.

    Args:
        inputs: the batch.
        ids: of its samples: each has random numbers of its own.
        cell: the corruption, its severity and seed.
        forms: what is known of each array of the inputs.
        beat: called for each sample.

    Raises:
        DataError: values outside of the range, or a custom corruption that breaks its form.
    """
    if cell.corruption.function is not None:
        return _custom(inputs, ids, cell, forms, beat)
    rngs, waiting = streams(cell, ids, beat), iter(forms)

    def change(leaf: Any) -> Any:
        form = next(waiting)
        return _LEAF[form.family](leaf, form, cell, rngs) if form.family else duplicate(leaf)

    return map_tree(change, inputs)


def _images(leaf: Any, form: Leaf, cell: Cell, rngs: Generators) -> Any:
    name = cell.corruption.name
    whole = _scaled(leaf, form)
    whole = whole[..., None] if form.axis is None else np.moveaxis(whole, 1 + form.axis, -1)
    level = images.level(name, whole[0], cell.severity)
    changed = np.stack([images.IMAGES[name](image, level, rng) for image, rng in zip(whole, rngs, strict=True)])
    changed = changed[..., 0] if form.axis is None else np.moveaxis(changed, -1, 1 + form.axis)
    return _back(leaf, np.clip(changed, 0, 1) * (form.high - form.low) + form.low, form)


def _scaled(leaf: Any, form: Leaf) -> Array:
    """Return values from 0 to 1.

    Raises:
        DataError: some are outside of the range.
    """
    array = number_parts(leaf)[0]
    low, high = least_and_most([array])
    if outside(low, high, form.low, form.high):
        raise DataError(
            f"the inputs run from {low:.4g} to {high:.4g} here, outside of the range from {form.low:g} to "
            f"{form.high:g}. Write range=(lo, hi), the least and the greatest value that an input can have"
        )
    scaled: Array = np.clip((array.astype(np.float64) - form.low) / (form.high - form.low), 0, 1)
    return scaled


def _back(leaf: Any, values: Array, form: Leaf) -> Any:
    """Return values in the form and the dtype of a leaf, rounded where it holds integers, within the range."""
    array = number_parts(leaf)[0]
    values = np.clip(values, form.low, form.high)
    if array.dtype.kind in "iu":
        values = np.round(values)
    return like(leaf, values.astype(array.dtype))


def _series(leaf: Any, form: Leaf, cell: Cell, rngs: Generators) -> Any:
    array = number_parts(leaf)[0].astype(np.float64)
    whole = array[..., None] if array.ndim == 2 else np.moveaxis(array, 1 + (form.axis or 0), 1)
    change, level = series.SERIES[cell.corruption.name], series.LEVELS[cell.corruption.name][cell.severity - 1]
    changed = np.stack([change(one, level, rng) for one, rng in zip(whole, rngs, strict=True)])
    changed = changed[..., 0] if array.ndim == 2 else np.moveaxis(changed, 1, 1 + (form.axis or 0))
    return _back(leaf, changed, form)


def _text(leaf: Any, _: Leaf, cell: Cell, rngs: Generators) -> Any:
    if hasattr(leaf, "columns"):
        return with_columns(
            leaf,
            {
                name: _texts(values, cell, rngs)
                for name, values in columns_of(leaf).items()
                if values.dtype.kind in "OU" and all(isinstance(row, str) for row in values)
            },
        )
    changed = _texts(leaf, cell, rngs)
    return list(changed) if isinstance(leaf, list) else like(leaf, changed) if leaf.dtype.kind != "U" else changed


def _texts(values: Any, cell: Cell, rngs: Generators) -> Array:
    name = cell.corruption.name
    change, share = text.TEXT[name], text.SHARES[name][cell.severity - 1]
    changed = [change(str(one), share, rng) for one, rng in zip(values, rngs, strict=True)]
    whole = np.empty(len(changed), dtype=object)
    whole[:] = changed
    return whole.astype(str) if getattr(getattr(values, "dtype", None), "kind", "") == "U" else whole


def _table(leaf: Any, form: Leaf, cell: Cell, rngs: Generators) -> Any:
    columns = columns_of(leaf)
    changed = tabular.corrupted_columns(cell.corruption.name, columns, form.columns, cell.severity, rngs)
    return with_columns(leaf, changed)


def with_columns(leaf: Any, changed: Mapping[Any, Array]) -> Any:
    """Return a frame or an array with some columns replaced."""
    if not hasattr(leaf, "columns"):
        array = np.array(leaf) if isinstance(leaf, list) else as_array(leaf).copy()
        for at, values in changed.items():
            array[(slice(None), at) if array.ndim == 2 else slice(None)] = values
        return like(leaf, array)
    if not hasattr(leaf, "iloc"):
        frame = leaf.clone()
        for name, values in changed.items():
            plain = None if values.dtype.kind == "O" else values
            listed = values.tolist() if plain is None else plain
            frame = frame.with_columns(type(leaf[name])(name, listed).cast(leaf[name].dtype).alias(name))
        return frame
    frame = leaf.copy()
    for name, values in changed.items():
        frame[name] = type(leaf[name])(values, index=leaf.index).astype(leaf[name].dtype)
    return frame


_LEAF = {"images": _images, "series": _series, "text": _text, "tabular": _table}


def _custom(inputs: Any, ids: Sequence[Any], cell: Cell, forms: Sequence[Leaf], beat: Beat) -> Any:
    """Corrupt one sample after the other by a function of the user's, and check what it returns."""
    samples = []
    for at, sample_id in enumerate(ids):
        beat()
        sample = map_tree(functools.partial(_sample, at=at), inputs)
        changed = _called(cell, sample, sample_id)
        if at == 0:
            again = _called(cell, map_tree(functools.partial(_sample, at=at), inputs), sample_id)
            _refuse_random(cell, changed, again, sample_id)
        samples.append(changed)
    whole = [
        _joined([leaves(sample)[number] for sample in samples], leaf) for number, leaf in enumerate(leaves(inputs))
    ]
    waiting = iter(zip(whole, forms, strict=True))

    def clipped(leaf: Any) -> Any:
        new, form = next(waiting)
        if not np.isfinite(form.low) or hasattr(leaf, "columns") or not number_parts(leaf):
            return new
        array = as_array(new)
        return like(leaf, np.clip(array, form.low, form.high).astype(array.dtype))

    return map_tree(clipped, inputs)


def _sample(leaf: Any, at: int) -> Any:
    """Return a copy of one row: a row of an array, a text, or a frame of one row."""
    if hasattr(leaf, "columns"):
        return duplicate(take(leaf, at, at + 1))
    row = leaf.iloc[at] if hasattr(leaf, "iloc") else leaf[at]
    return row.clone() if is_tensor(row) else row.copy() if isinstance(row, np.ndarray) else row


def _called(cell: Cell, sample: Any, sample_id: Any) -> Any:
    function = cell.corruption.function
    if function is None:
        raise DataError(f"corruption {cell.corruption} has no function")
    before = [_description(leaf) for leaf in leaves(sample)]
    try:
        changed = function(sample, cell.severity, stream(cell, sample_id))
        after = [_description(leaf) for leaf in leaves(changed)]
    except Exception as error:
        raise DataError(f"corruption {cell} raised {cause_of(error)} on sample {sample_id}") from error
    if before != after:
        raise DataError(
            f"corruption {cell} makes {', '.join(after)} from {', '.join(before)} (sample {sample_id}). A corrupted "
            "sample keeps its shape and type: write .astype(image.dtype) at the end, or .to(image.dtype)"
        )
    return changed


def _description(leaf: Any) -> str:
    if hasattr(leaf, "columns"):
        return f"a frame of {', '.join(f'{name} ({leaf[name].dtype})' for name in leaf.columns)}"
    kind = getattr(leaf, "dtype", None)
    if kind is None:
        return type(leaf).__name__
    return f"{str(kind).removeprefix('torch.')} of shape {tuple(leaf.shape)}"


def _refuse_random(cell: Cell, first: Any, second: Any, sample_id: Any) -> None:
    """Refuse a corruption whose second call on one sample gives another result."""
    from pytest_modelbench.data.hashing import batch_hash

    if batch_hash(map_tree(_batched, first)) != batch_hash(map_tree(_batched, second)):
        raise DataError(
            f"corruption {cell} gives another result each time it is called with sample {sample_id}: models would "
            "be compared on different inputs. Take all random numbers from its third argument, rng"
        )


def _batched(leaf: Any) -> Any:
    if hasattr(leaf, "columns") or is_tensor(leaf):
        return leaf
    return [leaf] if isinstance(leaf, str) else np.asarray(leaf)


def _joined(samples: Sequence[Any], leaf: Any) -> Any:
    """Return samples as one array in the form of the batch's."""
    if hasattr(leaf, "columns"):
        return join(list(samples))
    if is_tensor(leaf):
        return sys.modules["torch"].stack(list(samples))
    if isinstance(leaf, list):
        return list(samples)
    if hasattr(leaf, "iloc"):
        return type(leaf)(list(samples), index=leaf.index, dtype=leaf.dtype)
    return np.asarray(samples, dtype=leaf.dtype) if leaf.dtype.kind != "U" else np.asarray(samples)
