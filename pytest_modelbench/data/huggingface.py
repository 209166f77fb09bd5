"""Read the datasets of Hugging Face, in memory maps or streamed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from pytest_modelbench.data.arrays import number_parts
from pytest_modelbench.data.chunks import Chunk, Source
from pytest_modelbench.data.columns import Columns
from pytest_modelbench.errors import DataError


class HuggingFaceSource(Source):
    """A `datasets.Dataset` or `IterableDataset`: columns become arrays where they are numbers, lists otherwise.

    A format that was set (`with_format('torch')`) stays.
    """

    def __init__(self, dataset: Any, columns: Columns) -> None:
        self._dataset = dataset
        self._columns = columns

    @property
    def length(self) -> int | None:
        """The number of rows; unknown for a streamed dataset."""
        return len(self._dataset) if hasattr(self._dataset, "__len__") else None

    def batches(self, batch_size: int) -> Iterator[Chunk]:
        """Yield slices of the dataset, split into inputs and targets."""
        for batch in self._dataset.iter(batch_size=batch_size):
            yield self._columns.split({name: _column(values) for name, values in batch.items()})


def _column(values: Any) -> Any:
    numbers = number_parts(values) if isinstance(values, list) else []
    return numbers[0] if numbers else values


def is_huggingface(data: Any) -> bool:
    """Whether data are a dataset of the library `datasets`, which is not imported for the question.

    Raises:
        DataError: they are several splits of one.
    """
    library = sys.modules.get("datasets")
    kinds = [getattr(library, name, None) for name in ("Dataset", "IterableDataset")]
    if any(isinstance(kind, type) and isinstance(data, kind) for kind in kinds):
        return True
    splits = [getattr(library, name, None) for name in ("DatasetDict", "IterableDatasetDict")]
    if any(isinstance(kind, type) and isinstance(data, kind) for kind in splits):
        named = list(data)
        raise DataError(
            f"found a {type(data).__name__} with the splits {', '.join(map(repr, named))}; expected one of them. "
            f"Write EvalData(dataset[{(named[-1] if named else 'test')!r}])"
        )
    return False
