"""Cast the inputs of the evaluation data to one number type, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pytest_modelbench.data.arrays import is_tensor, map_tree, number_parts
from pytest_modelbench.data.chunks import Chunk, Source
from pytest_modelbench.errors import DataError, shown

INPUT_DTYPES = ("float16", "bfloat16", "float32", "float64")


class CastSource(Source):
    """Another source's samples with their integers and floats in one type; texts and booleans stay.

    A mapping of names to types casts the inputs of these names alone, as for token ids beside images.
    """

    def __init__(self, source: Source, dtype: str | Mapping[str, str]) -> None:
        self._source = source
        self._dtype = dtype
        self.in_memory = source.in_memory
        self.notes = source.notes

    @property
    def length(self) -> int | None:
        """As of the other source."""
        return self._source.length

    @property
    def inputs(self) -> Any:
        """The other source's inputs as they were given, if they are in memory."""
        return getattr(self._source, "inputs")  # noqa: B009 - of sources in memory alone

    @property
    def targets(self) -> Any:
        """The other source's targets, if they are in memory."""
        return getattr(self._source, "targets")  # noqa: B009 - of sources in memory alone

    def batches(self, batch_size: int) -> Iterator[Chunk]:
        """Yield the other source's batches, cast.

        Raises:
            DataError: bfloat16 for inputs that are not tensors.
        """
        for inputs, targets in self._source.batches(batch_size):
            yield self._cast(inputs), targets

    @property
    def picks(self) -> bool:  # type: ignore[override] # a constant elsewhere
        """As of the other source."""
        return self._source.picks

    def batches_at(self, starts: Sequence[int], batch_size: int) -> Iterator[Chunk]:
        """Yield the other source's batches at some samples, cast."""
        for inputs, targets in self._source.batches_at(starts, batch_size):
            yield self._cast(inputs), targets

    def _cast(self, inputs: Any) -> Any:
        dtype = self._dtype
        if isinstance(dtype, str):
            return map_tree(lambda leaf: cast_leaf(leaf, dtype), inputs)
        names = list(inputs) if isinstance(inputs, Mapping) else list(getattr(inputs, "columns", ()))
        unknown = [name for name in dtype if name not in names]
        if unknown:
            there = ", ".join(map(str, names)) or f"one {type(inputs).__name__} without names"
            raise DataError(f"dtype: there is no input {unknown[0]!r}; the inputs are {there}")
        if not isinstance(inputs, Mapping):
            return _cast_frame(inputs, dtype)
        return {key: cast_leaf(leaf, dtype[key]) if key in dtype else leaf for key, leaf in inputs.items()}


def cast_leaf(leaf: Any, dtype: str) -> Any:
    """Return an array, tensor, frame or list with its integers and floats in one type.

    Raises:
        DataError: bfloat16 for anything but a tensor.
    """
    if is_tensor(leaf):
        return _cast_tensor(leaf, dtype)
    if hasattr(leaf, "columns"):
        return _cast_frame(leaf, {column: dtype for column in leaf.columns if number_parts(leaf[column])})
    numbers = number_parts(leaf)
    if isinstance(leaf, list) and not numbers:  # rows of their own shapes, or texts
        return [cast_leaf(row, dtype) if is_tensor(row) or hasattr(row, "dtype") else row for row in leaf]
    if not numbers:
        return leaf
    return (numbers[0] if isinstance(leaf, list) else leaf).astype(_of_numpy(dtype, leaf))


def _of_numpy(dtype: str, leaf: Any) -> str:
    if dtype == "bfloat16":
        raise DataError(
            f"dtype='bfloat16' is for tensors, and the inputs are {type(leaf).__name__}. Write "
            "torch.as_tensor(inputs), or dtype='float32'"
        )
    return dtype


def _cast_tensor(tensor: Any, dtype: str) -> Any:
    import torch

    if tensor.dtype == torch.bool or tensor.is_complex():
        return tensor
    return tensor.to(getattr(torch, dtype))


def _cast_frame(frame: Any, dtypes: Mapping[str, str]) -> Any:
    named = {column: _of_numpy(dtype, frame) for column, dtype in dtypes.items()}
    if hasattr(frame, "iloc"):
        return frame.astype(named)
    import polars as pl

    return frame.with_columns(
        [frame[column].cast(getattr(pl, dtype.capitalize())) for column, dtype in named.items()]
    )


def check_dtype(dtype: Any) -> None:
    """Refuse a number type that inputs cannot be cast to.

    Raises:
        DataError: it is none of `INPUT_DTYPES`, nor a mapping of names of inputs to them.
    """
    if isinstance(dtype, Mapping):
        for kind in dtype.values():
            check_dtype(kind)
        return
    if dtype is None or (isinstance(dtype, str) and dtype in INPUT_DTYPES):
        return
    text = dtype if isinstance(dtype, str) else getattr(dtype, "__name__", None) or str(dtype)
    likely = next((name for name in INPUT_DTYPES if text.endswith(name)), None)
    advice = f". Write dtype={likely!r}" if likely else ""
    raise DataError(f"dtype: found {shown(dtype)}, expected one of {', '.join(INPUT_DTYPES)}{advice}")
