"""Where samples come from: arrays in memory, map-style and iterable datasets, data loaders.

A source yields `(inputs, targets)` in the same order every time it is read; targets may be None.
"""

from __future__ import annotations

import itertools
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from typing import Any

from pytest_modelbench.errors import DataError
from pytest_modelbench.models.outputs import duplicate, is_tensor, join, leaves, rows, shapes, take

Chunk = tuple[Any, Any]


class Source(ABC):
    """Samples that can be read again and again."""

    in_memory = False
    picks = False

    def batches_at(self, starts: Sequence[int], batch_size: int) -> Iterator[Chunk]:
        """Yield the full batches that begin at some samples, where `picks` says that they can be had so."""
        raise NotImplementedError

    @abstractmethod
    def batches(self, batch_size: int) -> Iterator[Chunk]:
        """Yield batches of exactly this size, the last one possibly smaller."""

    @property
    @abstractmethod
    def length(self) -> int | None:
        """The number of samples, or None where only reading tells."""


class ArraySource(Source):
    """Arrays, frames, or trees of arrays with one row per sample; batches are slices."""

    in_memory = True

    def __init__(self, inputs: Any, targets: Any) -> None:
        counts = {len(leaf) for leaf in leaves(inputs)}
        if len(counts) != 1:
            raise DataError(f"the arrays of the inputs have different lengths: {shapes(inputs)}")
        if targets is not None and len(targets) != rows(inputs):
            raise DataError(
                f"there are {rows(inputs)} inputs and {len(targets)} targets; expected one target per input"
            )
        self.inputs = inputs
        self.targets = targets

    @property
    def length(self) -> int:
        """The number of rows."""
        return rows(self.inputs)

    def batches(self, batch_size: int) -> Iterator[Chunk]:
        """Yield slices."""
        for start in range(0, self.length, batch_size):
            stop = start + batch_size
            yield take(self.inputs, start, stop), None if self.targets is None else take(self.targets, start, stop)


class LoaderSource(Source):
    """A torch dataset or data loader, read in the order of its indices, with the loader's own collation.

    A loader that shuffles is read in order instead; a custom sampler is asked for its indices once, so that
    every model sees the same samples.
    """

    def __init__(self, loader: Any) -> None:
        from torch.utils.data import DataLoader

        self._loader = loader if isinstance(loader, DataLoader) else DataLoader(loader)
        self._indices = _fixed_indices(self._loader)

    @property
    def length(self) -> int | None:
        """The number of samples where the dataset knows it."""
        if self._indices is not None:
            return len(self._indices)
        dataset = self._loader.dataset
        return len(dataset) if isinstance(dataset, Sized) else None

    def batches(self, batch_size: int) -> Iterator[Chunk]:
        """Collate samples into batches of the size asked for."""
        from torch.utils.data import DataLoader, Subset

        loader = self._loader
        if loader.batch_size is None and loader.batch_sampler is None:
            yield from _resize((_split(batch) for batch in loader), batch_size)
            return
        dataset = loader.dataset if self._indices is None else Subset(loader.dataset, self._indices)
        again = DataLoader(
            dataset,
            batch_size=batch_size,
            shuffle=False,
            collate_fn=loader.collate_fn,
            num_workers=loader.num_workers,
            worker_init_fn=loader.worker_init_fn,
        )
        for batch in again:
            yield _split(batch)

    @property
    def picks(self) -> bool:  # type: ignore[override] # a constant elsewhere
        """Whether samples can be read in any order."""
        from torch.utils.data import IterableDataset

        loader = self._loader
        batched = loader.batch_size is not None or loader.batch_sampler is not None
        return batched and not isinstance(loader.dataset, IterableDataset)

    def batches_at(self, starts: Sequence[int], batch_size: int) -> Iterator[Chunk]:
        """Collate the batches that begin at some samples, and read no other."""
        from torch.utils.data import DataLoader, Subset

        known = self._indices
        wanted = [at if known is None else known[at] for start in starts for at in range(start, start + batch_size)]
        picked = Subset(self._loader.dataset, wanted)
        for batch in DataLoader(picked, batch_size=batch_size, collate_fn=self._loader.collate_fn):
            yield _split(batch)


class StreamSource(Source):
    """Any iterable of `(inputs, targets)` batches that can be iterated again."""

    def __init__(self, batches: Iterable[Any]) -> None:
        self._batches = batches

    @property
    def length(self) -> None:
        """Unknown before reading."""
        return

    def batches(self, batch_size: int) -> Iterator[Chunk]:
        """Cut and join the given batches to the size asked for."""
        yield from _resize((_split(batch) for batch in self._batches), batch_size)


class MappedSource(Source):
    """Another source's samples with changed inputs."""

    def __init__(self, source: Source, transform: Callable[[Any], Any]) -> None:
        self._source = source
        self._transform = transform

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
        for inputs, targets in self._source.batches(batch_size):
            try:
                changed = self._transform(duplicate(inputs))
                count = rows(changed)
            except Exception as error:
                raise DataError(
                    f"transform {name} raised {type(error).__name__} on inputs of shape {shapes(inputs)}: {error}"
                ) from error
            if count != rows(inputs):
                raise DataError(
                    f"transform {name} makes inputs of shape {shapes(changed)} from {shapes(inputs)}: another number "
                    "of samples, so answers cannot be compared"
                )
            yield changed, targets


def _fixed_indices(loader: Any) -> list[int] | None:
    """Return the indices that a loader draws, or None where it reads its whole dataset in order."""
    from torch.utils.data import IterableDataset, RandomSampler, SequentialSampler

    if isinstance(loader.dataset, IterableDataset) or loader.batch_sampler is None:
        return None
    sampler = loader.sampler
    if (
        isinstance(sampler, SequentialSampler)
        and not loader.drop_last
        and type(loader.batch_sampler).__name__ == ("BatchSampler")
    ):
        return None
    if isinstance(sampler, RandomSampler) and not sampler.replacement and sampler.num_samples == len(loader.dataset):
        return None
    return [int(index) for batch in loader.batch_sampler for index in batch]


def _split(batch: Any) -> Chunk:
    """Return inputs and targets of one batch of a dataset, loader or stream.

    `(inputs, targets)` pairs are taken apart; a mapping gives up its key `labels`, `label`, `targets` or `target`.
    """
    if isinstance(batch, Mapping):
        key = next((k for k in ("labels", "label", "targets", "target") if k in batch), None)
        return {k: v for k, v in batch.items() if k != key}, None if key is None else batch[key]
    if isinstance(batch, list | tuple):
        if len(batch) == 2:
            inputs, targets = batch
            return (tuple(inputs) if isinstance(inputs, list) else inputs), targets
        if len(batch) == 1:
            return batch[0], None
        raise DataError(
            f"a batch has {len(batch)} parts; expected (inputs, targets), or a mapping with a key 'labels'"
        )
    return batch, None


def _resize(chunks: Iterable[Chunk], batch_size: int) -> Iterator[Chunk]:
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
                yield _join_chunks(held)
                held, count = [], 0
    if held:
        yield _join_chunks(held)


def _join_chunks(held: list[Chunk]) -> Chunk:
    targets = [targets for _, targets in held]
    return join([inputs for inputs, _ in held]), None if targets[0] is None else join(targets)


def make_source(inputs: Any, targets: Any, target: str | None) -> Source:
    """Choose the source for what a user calls evaluation data.

    Args:
        inputs: arrays, a mapping or tuple of arrays, a DataFrame, a dataset, a loader or an iterable of batches.
        targets: one per sample; None where the inputs bring them.
        target: the column (or key) of the inputs that holds the targets.

    Raises:
        DataError: nothing fits, or a one-shot iterator that could only be read once.
    """
    if target is not None:
        inputs, targets = _take_target(inputs, targets, target)
    data = sys.modules.get("torch.utils.data")
    if data is not None and isinstance(inputs, data.DataLoader | data.Dataset):
        if targets is not None:
            raise DataError(f"targets were given beside a {type(inputs).__name__}, which brings its own")
        return LoaderSource(inputs)
    if isinstance(inputs, Mapping | tuple) or is_tensor(inputs) or hasattr(inputs, "shape"):
        return ArraySource(inputs, targets)
    if isinstance(inputs, Iterator):
        raise DataError(
            f"a {type(inputs).__name__} can be read only once, and every model must read the data. "
            "Pass a list, a Dataset, or an object whose __iter__ starts anew"
        )
    if isinstance(inputs, list) and targets is None and len(inputs) == 2 and all(hasattr(i, "shape") for i in inputs):
        raise DataError("found a list of two arrays; for inputs and targets write a tuple: (inputs, targets)")
    if isinstance(inputs, list) and (targets is not None or not _looks_like_batches(inputs)):
        return ArraySource(inputs, targets)
    if isinstance(inputs, Iterable) and not isinstance(inputs, str):
        if targets is not None:
            raise DataError("targets were given beside an iterable of batches, which brings its own")
        return StreamSource(inputs)
    raise DataError(
        f"expected (inputs, targets), a Dataset, a DataLoader, a DataFrame with target=, or EvalData(...); "
        f"found {type(inputs).__name__}"
    )


def _looks_like_batches(inputs: list[Any]) -> bool:
    return bool(inputs) and all(isinstance(item, tuple | list | Mapping) for item in itertools.islice(inputs, 5))


def _take_target(inputs: Any, targets: Any, target: str) -> Chunk:
    if targets is not None:
        raise DataError(f"both targets and target={target!r} were given; expected one of them")
    if isinstance(inputs, Mapping):
        if target in inputs:
            return {key: value for key, value in inputs.items() if key != target}, inputs[target]
        known = ", ".join(map(repr, inputs))
    elif hasattr(inputs, "columns"):
        if target in inputs.columns:
            return inputs.drop(columns=[target]), inputs[target]
        known = ", ".join(map(repr, inputs.columns))
    else:
        raise DataError(f"target={target!r} names a column, and the inputs are a {type(inputs).__name__}")
    raise DataError(f"there is no column {target!r} in the inputs; there are {known}")
