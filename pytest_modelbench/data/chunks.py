"""Read samples in batches: what a source of samples is, and how batches are taken apart, cut and joined."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pytest_modelbench.data.arguments import check_inputs, check_targets
from pytest_modelbench.data.arrays import is_tensor, join, rows, shapes, take
from pytest_modelbench.data.columns import Columns
from pytest_modelbench.errors import DataError, ModelbenchError, cause_of

Chunk = tuple[Any, Any]


class Source(ABC):
    """Samples that can be read again and again, in the same order every time; targets may be None.

    `notes` state what was decided about them that the user did not write.
    """

    in_memory = False
    picks = False
    notes: Sequence[str] = ()

    def batches_at(self, starts: Sequence[int], batch_size: int) -> Iterator[Chunk]:
        """Yield the full batches that begin at some samples.

        Raises:
            DataError: these samples can only be read one after the other, which `picks` says.
        """
        raise DataError(
            f"{type(self).__name__} reads {batch_size} samples at {starts[0]} only after those before them"
        )

    @abstractmethod
    def batches(self, batch_size: int) -> Iterator[Chunk]:
        """Yield `(inputs, targets)` of exactly this size, the last one possibly smaller."""

    @property
    @abstractmethod
    def length(self) -> int | None:
        """The number of samples, or None where only reading tells."""


def length_of(announcing: Any, *, required: bool) -> int | None:
    """Return what `len()` says of a dataset or a stream, or None if it has no length.

    Raises:
        DataError: `__len__` raised, or gave no length; a stream may raise TypeError or NotImplementedError.
    """
    if not required and not hasattr(announcing, "__len__"):
        return None
    try:
        return len(announcing)
    except Exception as error:
        if not required and isinstance(error, TypeError | NotImplementedError) and "integer" not in str(error):
            return None
        name = type(announcing).__name__
        raise DataError(
            f"len() of the {name} raised {cause_of(error)}. Write a __len__ that returns the number of samples"
        ) from error


def split_batch(batch: Any, columns: Columns) -> Chunk:
    """Return inputs and targets of one batch of a dataset, loader or stream, checked.

    Raises:
        DataError: as `_split` does; inputs without rows, complex numbers, masked values.
    """
    inputs, targets = _split(batch, columns)
    check_inputs(inputs)
    return inputs, targets if targets is None else check_targets(targets)


def _split(batch: Any, columns: Columns) -> Chunk:
    """Return inputs and targets of one batch of a dataset, loader or stream.

    `(inputs, targets)` pairs are taken apart; a mapping or a frame gives up its target column.

    Raises:
        DataError: another number of parts, or a list of inputs that may be samples or several inputs.
    """
    if isinstance(batch, Mapping) or hasattr(batch, "columns"):
        return columns.split(batch)
    columns.expect_names(batch)
    if _is_zipped(batch):
        return list(batch[0]), list(batch[1])
    if isinstance(batch, list | tuple):
        if len(batch) == 2:
            inputs, targets = batch
            return _several(inputs, targets) if isinstance(inputs, list) else inputs, targets
        if len(batch) == 1:
            return batch[0], None
        raise DataError(
            f"a batch has {len(batch)} parts; expected (inputs, targets), or a mapping with a key 'labels'"
        )
    return batch, None


def _is_zipped(batch: Any) -> bool:
    """Whether a batch is inputs and targets of each sample, in two tuples as `zip(*samples)` makes them."""
    if not (isinstance(batch, list | tuple) and len(batch) == 2 and all(isinstance(part, tuple) for part in batch)):
        return False
    inputs, targets = batch
    return len(inputs) == len(targets) > 0 and all(
        isinstance(target, Mapping) or getattr(target, "ndim", 0) > 0 for target in targets
    )


def _several(inputs: list[Any], targets: Any) -> Any:
    """Return a batch's list as several inputs, as torch collates tuples, or as it is with an entry for each sample.

    Such entries are texts, or arrays of different shapes that are not rows of several inputs.

    Raises:
        DataError: it holds one array of the same shape for each target.
    """
    if not inputs or any(not (is_tensor(array) or hasattr(array, "shape")) for array in inputs):
        return inputs
    expected = len(targets) if hasattr(targets, "__len__") else None
    if expected is not None and len(inputs) == expected and any(len(array) != expected for array in inputs):
        if len({shapes(array) for array in inputs}) > 1:
            return inputs
        stacked = "torch.stack(inputs)" if is_tensor(inputs[0]) else "numpy.stack(inputs)"
        raise DataError(
            f"a batch has a list of {len(inputs)} arrays of shape {shapes(inputs[0])} and {expected} targets: one "
            f"array for each sample, or several inputs? For one input write {stacked}; for several write a tuple "
            "with one row for each sample"
        )
    return tuple(inputs)


def resize(chunks: Iterable[Chunk], batch_size: int) -> Iterator[Chunk]:
    """Cut and join batches to one size, holding no more than one batch and its predecessor's rest."""
    held: list[Chunk] = []
    count = 0
    for inputs, targets in chunks:
        start, size = 0, rows(inputs)
        while start < size:
            stop = min(size, start + batch_size - count)
            held.append((take(inputs, start, stop), None if targets is None else take(targets, start, stop)))
            count += stop - start
            start = stop
            if count == batch_size:
                yield _joined(held)
                held, count = [], 0
    if held:
        yield _joined(held)


def _joined(held: list[Chunk]) -> Chunk:
    targets = [targets for _, targets in held]
    return join([inputs for inputs, _ in held]), None if targets[0] is None else join(targets)


def counted(chunks: Iterable[Chunk], announced: int | None, what: str) -> Iterator[Chunk]:
    """Yield all chunks, and refuse fewer or more than `len()` announced, as batches or as samples.

    Raises:
        DataError: at the end, with both numbers.
    """
    batches = samples = 0
    for inputs, targets in chunks:
        batches, samples = batches + 1, samples + rows(inputs)
        yield inputs, targets
    if announced is not None and announced not in {batches, samples}:
        raise DataError(
            f"len() of the {what} is {announced}, and reading it gave {batches} batches with {samples} samples. "
            "Correct __len__, or look for what ends the reading early (a StopIteration raised inside ends it without "
            "a word)"
        )


def guarded(chunks: Iterator[Chunk]) -> Iterator[Chunk]:
    """Tell of a dataset that raises as a fault of the data."""
    try:
        yield from chunks
    except ModelbenchError:
        raise
    except Exception as error:
        raise DataError(f"reading the evaluation data raised {cause_of(error)}") from error
