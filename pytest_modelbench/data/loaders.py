"""Read torch datasets and data loaders in a fixed order, and see workers that read the same samples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from pytest_modelbench.data.chunks import Chunk, Source, counted, length_of, resize, split_batch
from pytest_modelbench.data.columns import Columns
from pytest_modelbench.data.hashing import row_hash
from pytest_modelbench.errors import DataError

_CLEARLY = 8


class LoaderSource(Source):
    """A torch dataset or data loader, read in the order of its indices, with the loader's own collation.

    A loader that shuffles is read in order instead; a custom sampler is asked for its indices once, so that
    every model sees the same samples.
    """

    def __init__(self, loader: Any, columns: Columns) -> None:
        from torch.utils.data import DataLoader, IterableDataset

        self._loader = loader if isinstance(loader, DataLoader) else DataLoader(loader)
        self._columns = columns
        self._batched = self._loader.batch_size is not None or self._loader.batch_sampler is not None
        self._iterable = isinstance(self._loader.dataset, IterableDataset)
        announced = length_of(self._loader.dataset, required=not self._iterable)
        self._indices = _fixed_indices(self._loader)
        self._announced = announced if self._indices is None else len(self._indices)
        self.notes = _dropped(self._loader, announced, self._announced, iterable=self._iterable)

    @property
    def length(self) -> int | None:
        """The number of samples if the dataset knows it and does not make its batches itself."""
        return self._announced if self._batched else None

    def batches(self, batch_size: int) -> Iterator[Chunk]:
        """Collate samples into batches of the size asked for.

        Raises:
            DataError: several workers that read the same samples.
        """
        chunks = (split_batch(batch, self._columns) for batch in self._read(batch_size))
        if self._batched:
            yield from chunks
            return
        name = type(self._loader.dataset).__name__
        yield from resize(counted(chunks, self._announced, name), batch_size)

    def _read(self, batch_size: int) -> Iterator[Any]:
        from torch.utils.data import DataLoader, Subset

        loader, several = self._loader, self._iterable and self._loader.num_workers > 1
        if not self._batched and not several:
            yield from loader
            return
        again = DataLoader(
            loader.dataset if self._indices is None else Subset(loader.dataset, self._indices),
            batch_size=batch_size if self._batched else None,
            shuffle=False,
            collate_fn=_FromWorker(loader.collate_fn) if several else loader.collate_fn,
            num_workers=loader.num_workers,
            worker_init_fn=loader.worker_init_fn,
        )
        yield from _unequal_workers(again, self._announced) if several else again

    @property
    def picks(self) -> bool:  # type: ignore[override] # a constant elsewhere
        """Whether samples can be read in any order."""
        return self._batched and not self._iterable

    def batches_at(self, starts: Sequence[int], batch_size: int) -> Iterator[Chunk]:
        """Collate the batches that begin at some samples, and read no other."""
        from torch.utils.data import DataLoader, Subset

        indices = self._indices
        wanted = [
            at if indices is None else indices[at] for start in starts for at in range(start, start + batch_size)
        ]
        picked = Subset(self._loader.dataset, wanted)
        for batch in DataLoader(picked, batch_size=batch_size, collate_fn=self._loader.collate_fn):
            yield split_batch(batch, self._columns)


class _FromWorker:
    """Collates samples, and tells which worker read them and their hashes."""

    def __init__(self, collate: Any) -> None:
        self._collate = collate

    def __call__(self, samples: Any) -> tuple[int, list[int], Any]:
        from torch.utils.data import get_worker_info

        worker = get_worker_info()
        hashes = [row_hash(sample) for sample in samples] if isinstance(samples, list) else [row_hash(samples)]
        return (0 if worker is None else worker.id), hashes, self._collate(samples)


def _unequal_workers(loader: Any, announced: int | None) -> Iterator[Any]:
    """Yield the batches of all workers, and refuse workers that read the same samples.

    As many samples as announced are all of them, also where the workers read equal ones.

    Raises:
        DataError: at the end, if samples were read by two workers.
    """
    read: dict[int, list[int]] = {}
    for worker, hashes, batch in loader:
        read.setdefault(worker, []).extend(hashes)
        yield batch
    twice = read_twice(list(read.values()))
    if twice and sum(map(len, read.values())) != announced:
        name = type(loader.dataset).__name__
        raise DataError(
            f"{twice} samples were read by several of the {loader.num_workers} workers: the {name} "
            "gives every worker the same samples, and each would count more than once. Split them in __iter__ by "
            "torch.utils.data.get_worker_info() (its id and num_workers), or write num_workers=0. If equal "
            "samples belong to the data, announce their number by __len__"
        )


def read_twice(by_worker: Sequence[Sequence[int]]) -> int:
    """Return how many samples several workers read, or 0 if equal samples are the data's own.

    Equal samples that a worker reads twice by itself belong to the data. Where none does, samples that two workers
    have in common come from reading twice.

    >>> read_twice([[1, 2, 3], [1, 2, 3]]), read_twice([[1, 1, 2], [2, 3, 3]]), read_twice([[1, 2], [3, 4]])
    (3, 0, 0)
    """
    each = [np.unique(np.asarray(hashes, dtype=np.uint64)) for hashes in by_worker]
    if len(each) < 2:
        return 0
    distinct, workers = np.unique(np.concatenate(each), return_counts=True)
    common = int((workers > 1).sum())
    alone = all(len(unique) == len(hashes) for unique, hashes in zip(each, by_worker, strict=True))
    if common == len(distinct) or (alone and common >= _CLEARLY):
        return common
    return 0


def _dropped(loader: Any, announced: int | None, read: int | None, *, iterable: bool) -> list[str]:
    """Return what the report says of a loader that drops its last batch."""
    if not loader.drop_last:
        return []
    if not iterable and announced is not None and read is not None and read < announced:
        return [f"drop_last=True: {announced - read} of {announced} samples are excluded"]
    return ["drop_last=True: no sample is excluded, because batches of another size are made here"]


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
