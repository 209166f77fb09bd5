"""`EvalData`: the samples both models are judged on, and what their outputs mean."""

from __future__ import annotations

import copy
import hashlib
import itertools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_modelbench.data.groups import Grouping, check_lengths, features_of, grouping
from pytest_modelbench.data.missing import as_values
from pytest_modelbench.data.sources import Chunk, MappedSource, Source, make_source
from pytest_modelbench.data.treatment import treatment_of
from pytest_modelbench.errors import DataError, ModelbenchError, ModelError, cause_of
from pytest_modelbench.models.outputs import as_array, is_tensor, leaves, rows, shapes, take

TASKS = ("multiclass", "binary", "multilabel", "regression")
OUTPUTS = ("logits", "probabilities", "labels", "values")
_serial = itertools.count(1)


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Some samples: inputs as the model takes them, targets (or None), and ids."""

    inputs: Any
    targets: Any
    ids: Sequence[Any]


class EvalData:
    """The evaluation data, read in the same order for every model and never copied as a whole.

    Args:
        inputs: array, tensor, list, DataFrame, tuple or mapping of arrays (several inputs; a mapping becomes
            keyword arguments), `Dataset`, `DataLoader`, or a re-iterable of batches.
        targets: one per sample; left out where the inputs bring them (datasets, loaders, `target=`).
        target: the column of a DataFrame, or key of a mapping, that holds the targets.
        task: `multiclass`, `binary`, `multilabel` or `regression`; inferred where that is safe.
        outputs: `logits`, `probabilities`, `labels` or `values`; inferred where that is safe.
        select: the head to judge where a model returns several: a key, an attribute or a position.
        ids: one id per sample, for the samples that reports name; positions by default.
        classes: the labels of the output columns, in order.
        batch_size: rows per forward pass when predictions are collected.
        sensitive: whom the model must not treat worse, one group per sample: a mapping such as `{"sex": sex}`, a
            frame, names of columns of the inputs, or functions of the inputs.
        slices: kinds of samples that are judged apart, spelled in the same way; a mask is one slice, any other
            column one for each of its values.
        missing: what becomes of samples whose sensitive feature or slice is missing: `error` (the default), `exclude`
            or `group`, unless a gate says otherwise.
        bins: into how many groups of about equal size numbers of features are put, or at which edges; a mapping for
            some features only; unless a gate says otherwise.

    Raises:
        DataError: empty data, lengths that differ, an unknown task, a one-shot iterator.

    >>> data = EvalData(np.zeros((5, 2)), np.arange(5), batch_size=2)
    >>> [len(batch.inputs) for batch in data.batches()]
    [2, 2, 1]
    """

    def __init__(  # noqa: PLR0913 - this is the settings object of the data
        self,
        inputs: Any,
        targets: Any = None,
        *,
        target: str | None = None,
        task: str | None = None,
        outputs: str | None = None,
        select: str | int | None = None,
        ids: Sequence[Any] | None = None,
        classes: Sequence[Any] | None = None,
        batch_size: int = 256,
        sensitive: Any = None,
        slices: Any = None,
        missing: str | None = None,
        bins: Any = None,
    ) -> None:
        _check_choice("task", task, TASKS)
        _check_choice("outputs", outputs, OUTPUTS)
        if batch_size < 1:
            raise DataError(f"batch_size: found {batch_size!r}, expected a whole number of at least 1")
        self.source: Source = make_source(inputs, targets, target)
        length = self.source.length
        if length == 0:
            raise DataError(f"the evaluation data is empty: inputs of shape {shapes(inputs)}")
        if ids is not None and length is not None and len(ids) != length:
            raise DataError(f"there are {length} samples and {len(ids)} ids; expected one id per sample")
        self.task = task
        self.outputs = outputs
        self.select = select
        self.ids = ids
        self.classes = classes
        self.batch_size = batch_size
        self._features = {"sensitive": features_of(sensitive, "sensitive"), "slice": features_of(slices, "slices")}
        for what, features in self._features.items():
            check_lengths(features, what, length)
        self._treatment = treatment_of(missing, bins)
        self._groupings: dict[tuple[Any, ...], Grouping] = {}
        self._fingerprint: str | None = None
        self._form: str | None = None
        self._serial = next(_serial)

    @property
    def inputs(self) -> Any:
        """All inputs, where they are in memory.

        Raises:
            DataError: they come from a dataset, a loader or a stream; iterate `batches()`.
        """
        return self._in_memory("inputs")

    @property
    def targets(self) -> Any:
        """All targets, where they are in memory; None where there are none.

        Raises:
            DataError: as for `inputs`.
        """
        return self._in_memory("targets")

    def _in_memory(self, name: str) -> Any:
        if not self.source.in_memory:
            raise DataError(f"{name} are not in memory as a whole. Iterate eval_data.batches()")
        return getattr(self.source, name)

    def batches(self, batch_size: int | None = None) -> Iterator[Batch]:
        """Yield batches of this size (the data's own by default), the last one possibly smaller.

        Raises:
            DataError: a batch whose targets do not fit its inputs, or no sample at all.
        """
        start = 0
        for inputs, targets in _guarded(self.source.batches(batch_size or self.batch_size)):
            count = rows(inputs)
            if targets is not None and len(targets) != count:
                raise DataError(f"a batch has {count} inputs and {len(targets)} targets; expected one per input")
            if self.ids is not None and start + count > len(self.ids):
                raise DataError(f"there are more samples than the {len(self.ids)} ids; expected one id per sample")
            ids = range(start, start + count) if self.ids is None else self.ids[start : start + count]
            yield Batch(inputs=inputs, targets=targets, ids=ids)
            start += count
        if start == 0:
            raise DataError("the evaluation data is empty: reading it gave no sample")

    def mapped(self, transform: Callable[[Any], Any]) -> EvalData:
        """Return the same samples with changed inputs; they are changed batch by batch, when they are read.

        Args:
            transform: takes the inputs of a batch (a copy) and returns as many others.
        """
        other = copy.copy(self)
        other.source = MappedSource(self.source, transform)
        other._serial, other._fingerprint = next(_serial), None  # noqa: SLF001 - a copy of this very class
        other._form = None  # noqa: SLF001
        return other

    def sensitive_names(self) -> list[str]:
        """Return the names of the sensitive features; their values are not read."""
        return list(self._features["sensitive"])

    def sensitive(self, names: Sequence[str] | None = None, missing: Any = None, bins: Any = None) -> list[Grouping]:
        """Return the groups of sensitive features, of all by default.

        Args:
            names: of the features.
            missing: what becomes of samples without a value; as the data say by default.
            bins: of numbers; as the data say by default.

        Raises:
            DataError: missing values, another length, or a column that is not there.
        """
        return self._grouped("sensitive", names, missing, bins)

    def slices(self, missing: Any = None, bins: Any = None) -> list[Grouping]:
        """Return the slices of each feature that names some.

        Raises:
            DataError: as for `sensitive`.
        """
        return self._grouped("slice", None, missing, bins)

    def _grouped(self, what: str, names: Sequence[str] | None, missing: Any, bins: Any) -> list[Grouping]:
        treatment = treatment_of(missing, bins).over(self._treatment)
        features = self._features[what]
        for name in features if names is None else names:
            if (what, name, treatment) not in self._groupings:
                found = grouping(name, features[name], self._read, what, treatment)
                self._groupings[what, name, treatment] = found
        return [self._groupings[what, name, treatment] for name in (features if names is None else names)]

    def _read(self, function: Callable[[Any], Any]) -> Any:
        """Apply a function to all inputs, batch by batch where they are not in memory."""
        if self.source.in_memory:
            return as_values(function(self.inputs))
        return np.concatenate([as_values(function(batch.inputs)) for batch in self.batches()])

    def fingerprint(self) -> str:
        """Hash the content, independent of batch size; datasets and loaders are read for it once.

        Returns:
            `data:` and 32 hexadecimal digits of BLAKE2b over shapes, dtypes and bytes of inputs and targets.
        """
        if self._fingerprint is None:
            digests: list[hashlib.blake2b] = []
            form = ""
            for batch in self.batches():
                columns = [*leaves(batch.inputs), *([] if batch.targets is None else leaves(batch.targets))]
                form = form or _form_of(batch.inputs)
                digests = digests or [_new_digest(column) for column in columns]
                for digest, column in zip(digests, columns, strict=True):
                    _hash_column(digest, column)
            parts = [*(d.hexdigest() for d in digests), form]
            whole = hashlib.blake2b("".join(parts).encode(), digest_size=16)
            self._fingerprint = f"data:{whole.hexdigest()}"
        return self._fingerprint

    def row_hashes(self, wanted: Collection[str] | None = None, most: int = 64) -> dict[str, str]:
        """Hash the inputs of single samples, by id: of the first `most`, or of all that are wanted and there."""
        found: dict[str, str] = {}
        for batch in self.batches():
            for at, one in enumerate(map(str, batch.ids)):
                if (len(found) < most) if wanted is None else (one in wanted):
                    digest = hashlib.blake2b(digest_size=16)
                    for leaf in leaves(take(batch.inputs, at, at + 1)):
                        _hash_column(digest, leaf)
                    found[one] = digest.hexdigest()
            if len(found) >= (most if wanted is None else len(wanted)):
                break
        return found

    def form(self) -> str:
        """Return the names and the shapes of the first sample's inputs, read alone: in a batch they may be padded."""
        if self._form is None:
            inputs = next(iter(self.batches(1))).inputs
            names = [*inputs] if isinstance(inputs, Mapping) else [*getattr(inputs, "columns", [])]
            shapes = [str(tuple(getattr(leaf, "shape", (1,)))[1:]) for leaf in leaves(inputs)]
            self._form = " ".join([*map(str, names), *shapes])
        return self._form

    def ids_hash(self) -> str | None:
        """Hash which samples there are, in whatever order; None where they have no names."""
        if self.ids is None:
            return None
        return hashlib.blake2b("\0".join(sorted(map(str, self.ids))).encode(), digest_size=16).hexdigest()

    @property
    def reading(self) -> str:
        """How outputs are read: what is stated of the task, their meaning, the head and the classes."""
        classes = None if self.classes is None else list(self.classes)
        return f"{self.task}|{self.outputs}|{self.select}|{classes}"

    @property
    def key(self) -> str:
        """What measurements are shared by: the content in memory, the object for datasets and loaders.

        How outputs are read is part of it, and so is the object where it brings ids.
        """
        by_content = self.source.in_memory and self.ids is None
        what = self.fingerprint() if by_content else f"object-{self._serial}"
        return f"{what}|{self.reading}"


def _guarded(chunks: Iterator[Chunk]) -> Iterator[Chunk]:
    """Tell of a dataset that raises as a fault of the data."""
    try:
        yield from chunks
    except ModelbenchError:
        raise
    except Exception as error:
        raise DataError(f"reading the evaluation data raised {cause_of(error)}") from error


def _check_choice(name: str, value: str | None, choices: tuple[str, ...]) -> None:
    if value is not None and value not in choices:
        raise DataError(f"{name}: found {value!r}, expected one of {', '.join(choices)}")


def _form_of(inputs: Any) -> str:
    """Return the names that a batch's arrays go by."""
    if isinstance(inputs, Mapping):
        return f"mapping of {list(inputs)}"
    return f"frame of {list(inputs.columns)}" if hasattr(inputs, "columns") else type(inputs).__name__


def _new_digest(column: Any) -> hashlib.blake2b:
    row_shape, dtype = tuple(getattr(column, "shape", (0,)))[1:], getattr(column, "dtype", "object")
    return hashlib.blake2b(f"{row_shape}{dtype}".encode(), digest_size=16)


def _hash_column(digest: hashlib.blake2b, column: Any) -> None:
    """Add the rows of one batch's column; the bytes do not depend on where the batch was cut."""
    if is_tensor(column) or hasattr(column, "dtype"):
        array = np.ascontiguousarray(as_array(column))
        if array.dtype != object:
            digest.update(array.tobytes())
            return
    if hasattr(column, "to_numpy"):
        column = column.to_numpy().tolist()
    for row in column:
        _hash_row(digest, row)


def _hash_row(digest: hashlib.blake2b, row: Any) -> None:
    """Add one row of a list, which may hold arrays: what they print leaves most of a long one out."""
    array = _numbers(row)
    if array is not None:
        digest.update(f"{array.shape}{array.dtype}".encode() + array.tobytes())
        return
    if hasattr(row, "tolist"):  # of objects
        row = row.tolist()
    if isinstance(row, Mapping):
        row = list(row.items())
    if isinstance(row, list | tuple) and not all(isinstance(part, str | int | float) for part in row):
        digest.update(f"{len(row)}[".encode())
        for part in row:
            _hash_row(digest, part)
        return
    digest.update(repr(row).encode() + b"\0")


def _numbers(row: Any) -> npt.NDArray[Any] | None:
    if not (is_tensor(row) or hasattr(row, "dtype") or hasattr(row, "__array_interface__")):
        return None
    try:
        array = np.ascontiguousarray(as_array(row))
    except ModelError:
        return None
    return None if array.dtype == object else array


def as_eval_data(found: Any) -> EvalData:
    """Return evaluation data for whatever a fixture or factory gave.

    A tuple of two is `(inputs, targets)`.

    Raises:
        DataError: it is no evaluation data.
    """
    if isinstance(found, EvalData):
        return found
    if isinstance(found, tuple):
        if len(found) != 2:
            raise DataError(f"found a tuple of {len(found)}; expected (inputs, targets) or EvalData(...)")
        return EvalData(*found)
    if hasattr(found, "columns") and hasattr(found, "iloc"):
        raise DataError("found a DataFrame; say which column is judged: EvalData(frame, target='column')")
    if found is None:
        raise DataError("found None; expected (inputs, targets) or EvalData(...)")
    return EvalData(found)


def with_reading(found: Any, reading: Mapping[str, Any]) -> EvalData:
    """Return evaluation data for what a factory gave, read as a file says (`task`, `outputs`, `target`, ...).

    Raises:
        DataError: it is no evaluation data, or it says itself how it is read.
    """
    if isinstance(found, EvalData):
        raise DataError(
            f"the factory returns EvalData, which says itself how it is read. Leave {', '.join(reading)} out, or "
            "return (inputs, targets)"
        )
    pair = isinstance(found, tuple) and len(found) == 2
    return EvalData(*(found if pair else (found,)), **reading)
