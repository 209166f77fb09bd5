"""Where samples come from: arrays in memory, datasets, data loaders, streams of batches."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from pytest_modelbench.data.arguments import check_inputs, check_targets
from pytest_modelbench.data.arrays import (
    count_rows,
    duplicate,
    is_sparse,
    is_tensor,
    leaves,
    map_tree,
    rows,
    shapes,
    take,
)
from pytest_modelbench.data.chunks import Chunk, Source, counted, length_of, resize, split_batch
from pytest_modelbench.data.columns import Columns
from pytest_modelbench.data.huggingface import HuggingFaceSource, is_huggingface
from pytest_modelbench.data.loaders import LoaderSource
from pytest_modelbench.data.prompts import Prompts
from pytest_modelbench.errors import DataError, message_of


class ArraySource(Source):
    """Arrays, frames, or trees of arrays with one row per sample; batches are slices."""

    in_memory = True

    def __init__(self, inputs: Any, targets: Any) -> None:
        check_inputs(inputs)
        inputs = map_tree(_sliceable, inputs)
        count = len(check_targets(targets)) if targets is not None else None
        if len({count_rows(leaf) for leaf in leaves(inputs)}) != 1:
            raise DataError(
                f"the arrays of the inputs have different lengths: {shapes(inputs)}{_samples(inputs, count)}"
            )
        if count is not None and count != rows(inputs):
            raise DataError(
                f"there are {rows(inputs)} inputs and {count} targets; expected one target per "
                f"input{_samples(inputs, count)}"
            )
        self.inputs = inputs
        self.targets = targets

    @property
    def length(self) -> int:
        """The number of rows."""
        return rows(self.inputs)

    def batches(self, batch_size: int) -> Iterator[Chunk]:
        """Yield slices."""
        yield from self.batches_at(range(0, self.length, batch_size), batch_size)

    def batches_at(self, starts: Sequence[int], batch_size: int) -> Iterator[Chunk]:
        """Yield slices."""
        for start in starts:
            stop = start + batch_size
            yield take(self.inputs, start, stop), None if self.targets is None else take(self.targets, start, stop)


class StreamSource(Source):
    """Any iterable of `(inputs, targets)` batches that can be iterated again."""

    def __init__(self, batches: Iterable[Any], columns: Columns) -> None:
        self._batches = batches
        self._columns = columns
        self._announced = length_of(batches, required=False)

    @property
    def length(self) -> None:
        """Unknown before reading."""
        return

    def batches(self, batch_size: int) -> Iterator[Chunk]:
        """Cut and join the given batches to the size asked for."""
        chunks = (split_batch(batch, self._columns) for batch in self._batches)
        yield from resize(counted(chunks, self._announced, type(self._batches).__name__), batch_size)


class MappedSource(Source):
    """Another source's samples with changed inputs; `read` gives the batches of that source."""

    def __init__(
        self, source: Source, transform: Callable[[Any], Any], read: Callable[[int], Iterator[Chunk]] | None = None
    ) -> None:
        self._source = source
        self._transform = transform
        self._read = read or source.batches
        self.notes = source.notes

    @property
    def length(self) -> int | None:
        """As of the other source."""
        return self._source.length

    def batches(self, batch_size: int) -> Iterator[Chunk]:
        """Yield the other source's batches, changed.

        Raises:
            DataError: the transform raised, or gave another number of samples.
        """
        name = getattr(self._transform, "__name__", type(self._transform).__name__)
        for inputs, targets in self._read(batch_size):
            try:
                changed = self._transform(duplicate(inputs))
                count = rows(changed)
            except Exception as error:
                raise DataError(
                    f"transform {name} raised {type(error).__name__} on inputs of shape {shapes(inputs)}: "
                    f"{message_of(error)}"
                ) from error
            if count != rows(inputs):
                raise DataError(
                    f"transform {name} makes inputs of shape {shapes(changed)} from {shapes(inputs)}: another number "
                    "of samples, so outputs cannot be compared"
                )
            yield changed, targets


def _sliceable(leaf: Any) -> Any:
    """Return a sparse matrix of scipy in rows, the only form that gives up rows at once; anything else as it is."""
    return leaf if is_tensor(leaf) or not is_sparse(leaf) else leaf.tocsr()


def _samples(inputs: Any, targets: int | None) -> str:
    """Return advice for a tuple that holds one array for each sample."""
    if targets is None or not isinstance(inputs, tuple) or len(inputs) != targets:
        return ""
    return (
        f". A tuple is several inputs; for {targets} samples write a list, or one array with a row for each "
        "(numpy.stack, torch.stack)"
    )


def make_source(inputs: Any, targets: Any, columns: Columns) -> Source:
    """Choose the source for what a user calls evaluation data.

    Args:
        inputs: arrays, a mapping or tuple of arrays, a frame, a dataset, a loader, a source or an iterable
            of batches.
        targets: one per sample; None where the inputs bring them.
        columns: which columns of named inputs are the targets, and which go to the model.

    Raises:
        DataError: nothing fits, or a one-shot iterator that could only be read once.
    """
    if isinstance(inputs, Source):
        return inputs
    if hasattr(inputs, "collect_schema") and not hasattr(inputs, "shape"):
        raise DataError(f"found a {type(inputs).__name__}, which has no rows yet. Write frame.collect()")
    inputs = inputs if isinstance(inputs, tuple) else _sliceable(inputs)  # scipy's DOK is a mapping, too
    data = sys.modules.get("torch.utils.data")
    from_torch = data is not None and isinstance(inputs, data.DataLoader | data.Dataset)
    if is_huggingface(inputs) or from_torch or _is_indexed(inputs):
        if targets is not None:
            raise DataError(f"targets were given together with a {type(inputs).__name__}, which brings its own")
        return HuggingFaceSource(inputs, columns) if is_huggingface(inputs) else LoaderSource(inputs, columns)
    if isinstance(inputs, Mapping) or hasattr(inputs, "columns"):
        inputs, split = columns.split(inputs)
        return ArraySource(inputs, split if targets is None else targets)
    if isinstance(inputs, tuple) or is_tensor(inputs) or hasattr(inputs, "shape"):
        columns.expect_names(inputs)
        return ArraySource(inputs, targets)
    if isinstance(inputs, Iterator):
        raise DataError(
            f"a {type(inputs).__name__} can be read only once, and every model must read the data. "
            "Pass a list, a Dataset, or an object whose __iter__ starts anew"
        )
    if isinstance(inputs, list) and targets is None and len(inputs) == 2 and all(hasattr(i, "shape") for i in inputs):
        raise DataError("found a list of two arrays; for inputs and targets write a tuple: (inputs, targets)")
    if isinstance(inputs, list) and (targets is not None or not _looks_like_batches(inputs)):
        columns.expect_names(inputs)
        return ArraySource(inputs, targets)
    if isinstance(inputs, Iterable) and not isinstance(inputs, str | bytes | set | frozenset):
        if targets is not None:
            raise DataError("targets were given together with an iterable of batches, which brings its own")
        return StreamSource(inputs, columns)
    raise DataError(
        f"expected (inputs, targets), a Dataset, a DataLoader, a DataFrame with target=, or EvalData(...); "
        f"found {type(inputs).__name__}"
    )


def _is_indexed(inputs: Any) -> bool:
    """Whether inputs are a dataset by their methods alone: torch's loaders take any object with these two."""
    iterable = isinstance(inputs, Iterable | Mapping | tuple | list | str | bytes) or hasattr(inputs, "shape")
    return not iterable and hasattr(inputs, "__getitem__") and hasattr(inputs, "__len__")


def _looks_like_batches(inputs: list[Any]) -> bool:
    if isinstance(inputs, Prompts):
        return False  # each may be the list of a chat's messages
    return bool(inputs) and all(isinstance(item, tuple | list | Mapping) for item in itertools.islice(inputs, 5))
